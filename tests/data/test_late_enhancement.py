"""Scar and oedema: class numbers, merged masks, specks removed - on hand-built cases."""

import numpy as np
import pytest
import tiny
import torch

from cinema.data.late_enhancement import classes, region_rows, tidied_myops, to_classes, to_labels
from cinema.data.loaders import StudyFrames
from cinema.data.study import Study, View, save_study
from cinema.training.segmentation import late_enhancement_task
from cinema.training.task import evaluated

BACKGROUND, RV, LV, MYO, OEDEMA, SCAR = range(6)  # class numbers of MyoPS in the release


def test_class_numbers_of_the_release():
    """EMIDEC's files: 1 cavity, 2 myocardium, 3 infarct, 4 no-reflow. MyoPS: data.md, section 9."""
    assert classes("emidec") == {0: 0, 3: 1, 2: 2, 4: 3, 5: 4}
    assert classes("myops") == {0: 0, 1: 1, 3: 2, 2: 3, 6: 4, 4: 5}


@pytest.mark.parametrize(("dataset", "labels"), [("emidec", (0, 2, 3, 4, 5)), ("myops", (0, 1, 2, 3, 4, 6))])
def test_there_and_back(dataset, labels):
    store = np.random.default_rng(0).choice(np.array(labels, np.uint8), (7, 6, 3))
    numbers = to_classes(store, dataset)
    assert sorted(np.unique(numbers)) == list(range(len(labels)))
    np.testing.assert_array_equal(to_labels(numbers, dataset), store)


def test_foreign_labels_and_names_are_refused():
    with pytest.raises(ValueError, match=r"holds the label 1; allowed are 0, 2, 3, 4, 5"):
        to_classes(np.array([0, 1]), "emidec")  # EMIDEC has no right ventricle
    with pytest.raises(ValueError, match="emidec, myops, not 'acdc'"):
        late_enhancement_task("acdc")


def test_merged_masks_of_emidec():
    """Infarct inside no-reflow and muscle: counts by hand."""
    true = np.array([[1, 1, 2, 2, 3, 3, 4, 0]])
    predicted = np.array([[1, 0, 2, 3, 3, 2, 4, 4]])
    rows = {row["structure"]: row for row in region_rows(predicted, true, (1.0, 1.0), "emidec")}
    assert rows["LV"]["dice"] == pytest.approx(2 * 1 / 3)
    assert rows["MYO"]["dice"] == pytest.approx(2 * 5 / 11)  # 2, 3 and 4 together
    assert rows["scar"]["dice"] == pytest.approx(2 * 2 / 7)  # 3 and 4 together
    assert rows["no-reflow"]["dice"] == pytest.approx(2 * 1 / 3)
    assert rows["scar"]["iou"] == pytest.approx(2 / 5)


def test_merged_masks_of_myops():
    true = np.array([[[RV], [LV], [MYO], [OEDEMA], [SCAR], [SCAR]]])
    predicted = np.array([[[RV], [LV], [OEDEMA], [SCAR], [SCAR], [MYO]]])
    rows = {row["structure"]: row["dice"] for row in region_rows(predicted, true, (1.0, 1.0, 10.0), "myops")}
    assert rows == pytest.approx({"RV": 1, "LV": 1, "MYO": 1, "oedema": 2 * 2 / 6, "scar": 2 * 1 / 4})


def test_empty_references_count():
    nothing, speck = np.zeros((4, 4), int), np.zeros((4, 4), int)
    speck[1, 1] = 4
    both = {row["structure"]: row for row in region_rows(nothing, nothing, (1, 1), "emidec")}
    alone = {row["structure"]: row for row in region_rows(speck, nothing, (1, 1), "emidec")}
    assert both["scar"]["dice"] == 1 and alone["scar"]["dice"] == 0 and alone["LV"]["dice"] == 1
    assert np.isnan(both["scar"]["iou"]) and np.isnan(alone["scar"]["hd95_mm"])


def ring(size=40, z=1):
    """Muscle everywhere but a border of background."""
    plane = np.full((size, size, z), MYO)
    plane[:2] = plane[-2:] = plane[:, :2] = plane[:, -2:] = BACKGROUND
    return plane


def test_small_scars_give_way_and_large_ones_stay():
    numbers = ring(z=2)
    numbers[5:12, 5:13, 0] = SCAR  # 56 pixels
    numbers[5:11, 5:15, 1] = SCAR  # 60 pixels, in a large oedema
    numbers[11:26, 5:15, 1] = OEDEMA
    tidy = tidied_myops(numbers)
    np.testing.assert_array_equal(tidy[..., 0], ring()[..., 0])
    np.testing.assert_array_equal(tidy[..., 1], numbers[..., 1])
    assert tidy.dtype == np.uint8


def test_small_scars_in_oedema_become_oedema():
    numbers = ring()
    numbers[5:25, 5:25] = OEDEMA
    numbers[10:13, 10:13] = SCAR
    expected = ring()
    expected[5:25, 5:25] = OEDEMA
    np.testing.assert_array_equal(tidied_myops(numbers), expected)


def test_small_oedema_with_scar_goes_as_one():
    """60 pixels of scar alone pass the first rule; with 100 of oedema they are 160 and fail the second."""
    numbers = ring()
    numbers[5:15, 5:15], numbers[15:21, 5:15] = OEDEMA, SCAR
    np.testing.assert_array_equal(tidied_myops(numbers), ring())
    numbers[21:25, 5:15] = OEDEMA  # 200 together
    np.testing.assert_array_equal(tidied_myops(numbers), numbers)


def test_neighbours_across_corners_are_one_component():
    numbers = ring()
    numbers[4:14, 4:14] = numbers[14:24, 14:24] = OEDEMA  # 100 each, touching by a corner
    np.testing.assert_array_equal(tidied_myops(numbers), numbers)


def test_replacement_is_the_most_frequent_around():
    numbers = np.zeros((30, 30, 1), int)
    numbers[10:16, 10:16] = LV
    numbers[12:14, 12:14] = SCAR
    assert (tidied_myops(numbers)[12:14, 12:14] == LV).all()
    numbers[:] = RV
    numbers[:, 15:] = MYO
    numbers[10:12, 14:16] = SCAR  # 6 of each around: the lower grey value, 200 (MYO) before 600 (RV)
    assert (tidied_myops(numbers)[10:12, 14:16] == MYO).all()


@pytest.mark.parametrize("corner", [(0, 0), (0, 28), (28, 0), (28, 28)])
def test_components_at_the_border_are_replaced_too(corner):
    """In the release the enlarged box starts at -1 there, and nothing is in it."""
    numbers = np.full((30, 30, 1), MYO)
    numbers[corner[0] : corner[0] + 2, corner[1] : corner[1] + 2] = SCAR
    assert (tidied_myops(numbers) == MYO).all()


def test_nothing_to_replace_with():
    numbers = np.full((5, 5, 1), SCAR)
    np.testing.assert_array_equal(tidied_myops(numbers), numbers)


def test_task_trains_and_scores(tmp_path):
    rng = np.random.default_rng(0)
    masks = rng.choice(np.array([0, 2, 3, 4, 5], np.uint8), (12, 16, 3, 1))
    view = View(rng.random((12, 16, 3, 1), np.float32), np.diag([2.5, 2.5, 10, 1]), masks, (0,))
    path = save_study(Study("e", "test", {"sax": view}), tmp_path)
    items = StudyFrames([path], ("sax",), "channels", tiny.GRID, classes=classes("emidec"))
    emidec, model = late_enhancement_task("emidec"), tiny.Pixelwise(classes=5)
    batch = torch.utils.data.default_collate([items[0]])
    value, _ = emidec.loss(model, batch)
    value.backward()
    assert torch.isfinite(value)
    table = evaluated(model, items, emidec)
    assert table.structure.tolist() == ["LV", "MYO", "scar", "no-reflow"]
    assert table.true_volume_ml[2] == pytest.approx((masks >= 4).sum() * 2.5 * 2.5 * 10 / 1000)
    assert emidec.summary(table)["mean_dice"] == pytest.approx(table.dice.mean())
