"""The project's own reader: data, poses, peaks, heart finding, and the training command in miniature."""

import numpy as np
import pytest
import torch

import cinema.reader as reader_module
from cinema import shipping
from cinema.models.weights import metadata_of, restore
from cinema.phantom.dress import Look
from cinema.phantom.library import library_path, write_entry
from cinema.reader import OwnReader, peak, pose, two_peaks, unpose
from cinema.tasks import reading
from cinema.terms import LABELS


@pytest.fixture(scope="module", name="library")
def _library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    for index in range(2):
        write_entry(folder, index, 0)
    return folder


def test_every_pose_is_undone():
    batch = torch.arange(2 * 5 * 5.0).reshape(2, 5, 5)
    posed = [pose(batch, turn) for turn in range(8)]
    assert len({tuple(p.flatten().tolist()) for p in posed}) == 8
    for turn, p in enumerate(posed):
        assert torch.equal(unpose(p, turn), batch)


def test_peaks_are_found_to_a_fraction_of_a_pixel():
    x, y = np.indices((80, 80))
    bump = lambda cx, cy, top: top * np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / 2.7**2)
    np.testing.assert_allclose(peak(bump(20.3, 41.6, 1.0)), (20.3, 41.6), atol=0.1)
    first, second = two_peaks(bump(20.3, 41.6, 1.0) + bump(50.0, 33.0, 0.7))
    np.testing.assert_allclose(first, (20.3, 41.6), atol=0.1)
    np.testing.assert_allclose(second, (50.0, 33.0), atol=0.1)


def test_normalised_ignores_scale_and_offset_and_survives_a_constant():
    image = np.random.default_rng(0).normal(size=(40, 40))
    np.testing.assert_allclose(reading.normalised(image), reading.normalised(300 * image + 50), atol=1e-4)
    assert not reading.normalised(np.full((8, 8), 7.0)).any()


def test_items_repeat_within_an_epoch_and_differ_between_epochs(library):
    data = reading.DressedSlices(library, "lax", 2, visits=2)
    first, again = data[1], data[1]
    assert torch.equal(first["image"]["lax"], again["image"]["lax"])
    data.set_epoch(1)
    assert not torch.equal(first["image"]["lax"], data[1]["image"]["lax"])
    assert first["image"]["lax"].shape == (1, 144, 144) and first["heat"]["lax"].shape == (2, 144, 144)


def test_heatmaps_peak_where_the_label_has_its_apex(library):
    """Whatever the warp: the apex heat lies at the rim of the cavity, as far as can be from the hinges."""
    data = reading.DressedSlices(library, "lax", 2, visits=8, look=Look(shift_mm=0, elastic_mm=2))
    for index in range(len(data)):
        item = data[index]
        cavity = np.argwhere(item["label"]["lax"].numpy() == LABELS["LV"])
        hinges = np.mean(two_peaks(item["heat"]["lax"][0].numpy()), axis=0)
        apex = peak(item["heat"]["lax"][1].numpy())
        far = cavity[np.linalg.norm(cavity - hinges, axis=1).argmax()]
        assert np.linalg.norm(far - apex) * reading.PIXEL_MM < 9


def test_missing_library_and_unknown_kind_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="render the library"):
        reading.DressedSlices(tmp_path, "sax", 1)
    with pytest.raises(ValueError, match="kind"):
        reading.DressedSlices(tmp_path, "coronal", 1)


@pytest.mark.parametrize("name", shipping.KINDS)
def test_training_command_in_miniature(name, tmp_path, monkeypatch, library):
    """Render, train, save, restore, read: every step of the command that makes the shipped weights."""
    monkeypatch.setattr(shipping, "RECIPES", {"ci": shipping.Recipe(n_hearts=2, visits=2, steps=2, batch_size=2)})
    monkeypatch.setattr(shipping, "N_HELD_OUT", 1)
    monkeypatch.setattr(shipping, "FOLDER", tmp_path / "weights")
    made = tmp_path / "work" / "ci" / "library"
    made.mkdir(parents=True)
    for index in range(2):
        library_path(made, index).write_bytes(library_path(library, index).read_bytes())
    path = shipping.train(name, "ci")
    assert path == tmp_path / "weights" / f"{name}.safetensors" and metadata_of(path)["data"] == "virtual hearts only"
    assert next(restore(path).parameters()).dtype == torch.float32
    own = OwnReader(path.parent)
    image = np.random.default_rng(0).random((90, 100, 1, 2), np.float32)
    if name == "reader_sax":
        assert own.predict_sax(image, (1.4, 1.4, 8)).shape == image.shape
    else:
        labels, marks = own.predict_lax(image, (1.4, 1.4, 8))
        assert labels.shape == image.shape and marks.shape == (2, 3, 2) and np.isfinite(marks).all()


def test_unknown_weights_and_profile_are_named():
    with pytest.raises(ValueError, match="unknown weights"):
        shipping.train("reader_mri")
    with pytest.raises(ValueError, match="unknown profile"):
        shipping.train("reader_sax", "huge")


def test_shipped_reader_finds_a_heart_off_centre():
    """A virtual heart 40 mm off the middle of a large field of view, never seen in training."""
    from cinema.phantom.image import Acquisition, acquire
    from cinema.phantom.shape import Heart

    if not (reader_module.FOLDER / "reader_sax.safetensors").exists():
        pytest.skip("data/weights/reader_sax.safetensors is not there; python3 -m cinema train reader_sax makes it")
    grid = {"sax": ((200, 200, 8), (1.4, 1.4, 12.0))}
    heart = Heart(150, 62, 165, 75, 100, 94, 13, detail_seed=987654)
    scan = acquire(heart, Acquisition(seed=5), [0.0, 0.35], grid, ("sax",))["sax"]
    image, truth = (np.roll(a, (30, -20), (0, 1)) for a in (scan.image, scan.labels))
    predicted = OwnReader().predict_sax(image, scan.spacing_mm)
    for value in LABELS.values():
        overlap = 2 * np.sum((predicted == value) & (truth == value)) / np.sum((predicted == value) + (truth == value))
        assert overlap > 0.75
