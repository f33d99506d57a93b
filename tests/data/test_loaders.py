"""Items from study files: what they hold, and that their randomness is right."""

import numpy as np
import pytest
import tiny
import torch

from cinema.data.loaders import StudyFrames, batches, epoch_order
from cinema.data.study import Study, View, load_study, save_study
from cinema.data.transforms import SEGMENTATION, min_max

AFFINE = np.diag([2.5, 2.5, 10, 1])


def test_labelled_item(tmp_path):
    paths = tiny.write(tmp_path, n=2, n_frames=3)
    items = StudyFrames(paths, ("sax", "lax_4c"), grid=tiny.GRID)
    assert len(items) == 6
    item = items[4]
    study = load_study(paths[1])
    assert (item["id"], item["frame"], item["phase"]) == ("p001", 1, "")
    assert [items[k]["phase"] for k in (3, 5)] == ["ED", "ES"]
    np.testing.assert_array_equal(item["image"]["sax"][0], min_max(study.views["sax"].image[..., 1]))
    np.testing.assert_array_equal(item["label"]["lax_4c"], study.views["lax_4c"].labels[:, :, 0, 1])
    assert list(item["image"]) == ["sax", "lax_4c"] and item["label"]["sax"].dtype == torch.int64
    assert item["image"]["lax_4c"].shape == (1, 16, 16) and item["spacing_mm"]["sax"].tolist() == [2.5, 2.5, 10.0]


def stored(folder, name="a", **views):
    return save_study(Study(name, "test", views), folder)


def test_pairs_are_channels_scaled_together(tmp_path):
    paths = tiny.write(tmp_path, n=3)
    items = StudyFrames(paths, ("sax",), "ed_es", tiny.GRID, targets=[2, 0, 1])
    frames = load_study(paths[1]).views["sax"].image[..., [0, 3]]
    np.testing.assert_array_equal(items[1]["image"]["sax"], np.moveaxis(min_max(frames), -1, 0))
    assert [items[k]["target"] for k in range(3)] == [2, 0, 1] and items[0]["phase"] == "ED+ES"


def late_enhancement(folder, n_frames=3, label_frames=(1,), name="m"):
    rng = np.random.default_rng(0)
    masks = rng.choice(np.array([0, 1, 2, 3, 4, 6], np.uint8), (16, 16, 4, len(label_frames))) if label_frames else None
    view = View(rng.random((16, 16, 4, n_frames), np.float32), AFFINE, masks, label_frames)
    return stored(folder, name, sax=view)


@pytest.mark.parametrize(("n_frames", "frame"), [(3, -1), (1, 0)])
def test_sequences_are_channels_with_the_mask_of_the_one_labelled_frame(tmp_path, n_frames, frame):
    path = late_enhancement(tmp_path, n_frames=n_frames, label_frames=(n_frames // 2,))
    view = load_study(path).views["sax"]
    items = StudyFrames([path], ("sax",), "channels", tiny.GRID)
    assert (len(items), items[0]["phase"], items[0]["frame"]) == (1, "", frame)
    np.testing.assert_array_equal(items[0]["image"]["sax"], np.moveaxis(min_max(view.image), -1, 0))
    np.testing.assert_array_equal(items[0]["label"]["sax"], view.labels[..., 0])
    augmented = StudyFrames([path], ("sax",), "channels", tiny.GRID, SEGMENTATION)[0]
    assert augmented["image"]["sax"].shape == (n_frames, 16, 16, 4) and augmented["label"]["sax"].shape == (16, 16, 4)


def test_labels_become_class_numbers(tmp_path):
    path = late_enhancement(tmp_path)
    store = load_study(path).views["sax"].labels[..., 0]
    table = {0: 0, 1: 1, 3: 2, 2: 3, 6: 4, 4: 5}
    items = StudyFrames([path], ("sax",), "channels", tiny.GRID, classes=table)
    expected = np.select([store == k for k in table], list(table.values()))
    np.testing.assert_array_equal(items[0]["label"]["sax"], expected)
    assert items.describe() != StudyFrames([path], ("sax",), "channels", tiny.GRID).describe()
    with pytest.raises(ValueError, match=r"holds the label 6; allowed are 0, 1, 2, 3, 4"):
        StudyFrames([path], ("sax",), "channels", tiny.GRID, classes={0: 0, 1: 1, 2: 2, 3: 3, 4: 4})[0]


def test_what_cannot_be_channels_is_left_out_or_refused(tmp_path):
    good, bare = late_enhancement(tmp_path), late_enhancement(tmp_path, label_frames=(), name="bare")
    assert len(StudyFrames([good, bare], ("sax",), "channels", tiny.GRID)) == 1
    other = late_enhancement(tmp_path, n_frames=2, name="two")
    with pytest.raises(ValueError, match="unequal numbers of frames"):
        StudyFrames([good, other], ("sax",), "channels", tiny.GRID)
    with pytest.raises(ValueError, match="needs one mask"):
        StudyFrames(tiny.write(tmp_path / "cine", 1, ("sax",)), ("sax",), "channels", tiny.GRID)


def test_landmark_items_skip_frames_without_landmarks(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.uniform(2, 13, (4, 3, 2)).astype(np.float32)
    points[[0, 2]] = np.nan
    path = stored(tmp_path, lax_2c=View(rng.random((16, 16, 1, 4), np.float32), AFFINE, landmarks=points))
    items = StudyFrames([path], ("lax_2c",), "landmarks", tiny.GRID)
    assert [items[k]["frame"] for k in range(len(items))] == [1, 3]
    np.testing.assert_array_equal(items[1]["points"]["lax_2c"], points[3])


def test_padding_and_its_undoing(tmp_path):
    item = StudyFrames(tiny.write(tmp_path, n=1, views=("sax",), size=(12, 14, 3)), ("sax",), grid=tiny.GRID)[0]
    assert item["image"]["sax"].shape == (1, 16, 16, 4) and item["size"]["sax"].tolist() == [12, 14, 3]
    assert not item["image"]["sax"][:, 12:].any() and not item["label"]["sax"][..., 3:].any()


def test_larger_images_are_cropped_only_when_augmented(tmp_path):
    paths = tiny.write(tmp_path, n=1, views=("sax",), size=(24, 20, 6))
    assert StudyFrames(paths, ("sax",), grid=tiny.GRID)[0]["image"]["sax"].shape == (1, 24, 20, 6)
    assert StudyFrames(paths, ("sax",), grid=tiny.GRID, augment=SEGMENTATION)[0]["image"]["sax"].shape == (1, 16, 16, 4)


def passes(dataset, workers):
    """The images of two epochs, in order."""
    loader = batches(dataset, [[0, 1], [2, 3], [4, 5], [6, 7]], workers)
    result = []
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        result.append(torch.cat([batch["image"]["sax"] for batch in loader]))
    return result


def test_workers_change_nothing_and_epochs_differ(tmp_path):
    """The release's workers all draw the same numbers, in every epoch: here none do."""
    view = View(np.random.default_rng(0).random((16, 16, 4, 1), np.float32), AFFINE)
    paths = [stored(tmp_path, f"p{k}", sax=view) for k in range(8)]  # eight times one image
    dataset = StudyFrames(paths, ("sax",), "all", tiny.GRID, SEGMENTATION)
    alone, shared = passes(dataset, 0), passes(dataset, 2)
    for ours, theirs in zip(alone, shared, strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(alone[0], alone[1])
    assert len({image.numpy().tobytes() for epoch in alone for image in epoch}) >= 14  # some may be left as they are
    assert torch.equal(passes(dataset, 0)[1], alone[1])


def test_random_frames_differ_between_epochs_and_agree_between_views(tmp_path):
    image = np.broadcast_to(np.arange(1.0, 9.0, dtype=np.float32), (16, 16, 1, 8)).copy()
    image[0, 0] = 0
    views = {name: View(image[..., :n] + 0, AFFINE) for name, n in (("lax_2c", 8), ("lax_4c", 6))}
    dataset = StudyFrames([stored(tmp_path, **views)], tuple(views), "random", tiny.GRID)
    frames = []
    for epoch in range(60):
        dataset.set_epoch(epoch)
        frames.append(dataset[0]["frame"])
    assert set(frames) == set(range(6))  # frames only one view has are never chosen


def test_order_is_a_permutation_that_changes():
    first, second = epoch_order(50, 0, 0), epoch_order(50, 0, 1)
    assert sorted(first) == sorted(second) == list(range(50)) and not np.array_equal(first, second)
    assert np.array_equal(first, epoch_order(50, 0, 0)) and not np.array_equal(first, epoch_order(50, 1, 0))


def test_description_tells_data_sets_apart(tmp_path):
    paths = tiny.write(tmp_path, n=4)
    settings = (
        (paths, ("sax",), "labelled", tiny.GRID),
        (paths[:2], ("sax",), "labelled", tiny.GRID),
        (paths, ("sax",), "labelled", tiny.GRID, SEGMENTATION),
        (paths, ("sax",), "ed_es", tiny.GRID, None, [0, 1, 0, 1]),
        (paths, ("sax",), "ed_es", tiny.GRID, None, [0, 1, 1, 1]),
    )
    assert len({StudyFrames(*setting).describe() for setting in settings}) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": "some"}, "choose one of labelled"),
        ({"views": ("sax", "3ch")}, "unknown view '3ch'"),
        ({"views": ("lax_2c",)}, "has no view lax_2c"),
        ({"frames": "ed_es", "targets": [1]}, "1 targets for 2 studies"),
        ({"frames": "landmarks"}, "no landmarks frames of sax"),
    ],
)
def test_what_cannot_be_is_refused_at_once(tmp_path, change, message):
    arguments = {"paths": tiny.write(tmp_path, n=2), "views": ("sax",), "grid": tiny.GRID} | change
    with pytest.raises(ValueError, match=message):
        StudyFrames(**arguments)


def test_missing_file_frames_and_spacing(tmp_path):
    with pytest.raises(FileNotFoundError):
        StudyFrames([tmp_path / "none.h5"], ("sax",))
    path = stored(tmp_path, sax=View(np.ones((8, 8, 2, 2), np.float32), np.diag([1.0, 1.0, 10, 1])))
    with pytest.raises(ValueError, match="no ED and ES frame"):
        StudyFrames([path], ("sax",), "ed_es")
    with pytest.raises(ValueError, match="the grid asks for 2.5 x 2.5; resample"):
        StudyFrames([path], ("sax",), "all", tiny.GRID)[0]
