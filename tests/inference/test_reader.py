"""The project's own reader: data, poses, peaks, heart finding, and the training command in miniature."""

import numpy as np
import pytest
import torch

from cinema import files
from cinema.inference import reader
from cinema.inference.reader import OwnReader, peak, rotate, rotate_back, two_peaks
from cinema.models.weights import metadata_of, restore
from cinema.phantom.body import CODE
from cinema.phantom.heart import Heart
from cinema.phantom.image import Acquisition, acquire
from cinema.terms import LABELS
from experiments.own_weights import readers
from experiments.own_weights.domain_randomisation import Look
from experiments.own_weights.library import LIBRARY_VERSION, library_path, packed, write_entry
from experiments.own_weights.slices import GROUP, DressedSlices, chosen_slices, emptied


@pytest.fixture(scope="module", name="library")
def _library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    for index in range(2):
        write_entry(folder, index, 0)
    return folder


def test_every_pose_is_undone():
    batch = torch.arange(2 * 5 * 5.0).reshape(2, 5, 5)
    posed = [rotate(batch, turn) for turn in range(8)]
    assert len({tuple(p.flatten().tolist()) for p in posed}) == 8
    for turn, p in enumerate(posed):
        assert torch.equal(rotate_back(p, turn), batch)


def test_peaks_are_found_to_a_fraction_of_a_pixel():
    x, y = np.indices((80, 80))
    bump = lambda cx, cy, top: top * np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / 2.7**2)
    np.testing.assert_allclose(peak(bump(20.3, 41.6, 1.0)), (20.3, 41.6), atol=0.1)
    first, second = two_peaks(bump(20.3, 41.6, 1.0) + bump(50.0, 33.0, 0.7))
    np.testing.assert_allclose(first, (20.3, 41.6), atol=0.1)
    np.testing.assert_allclose(second, (50.0, 33.0), atol=0.1)


def test_normalised_ignores_scale_and_offset_and_survives_a_constant():
    image = np.random.default_rng(0).normal(size=(40, 40))
    np.testing.assert_allclose(reader.normalised(image), reader.normalised(300 * image + 50), atol=1e-4)
    assert not reader.normalised(np.full((8, 8), 7.0)).any()


def test_items_repeat_within_an_epoch_and_differ_between_epochs(library):
    data = DressedSlices(library, "lax", 2, visits=2)
    first, again = data[1], data[1]
    assert torch.equal(first["image"]["lax"], again["image"]["lax"])
    data.set_epoch(1)
    assert not torch.equal(first["image"]["lax"], data[1]["image"]["lax"])
    assert first["image"]["lax"].shape == (1, 144, 144) and first["heat"]["lax"].shape == (2, 144, 144)


def test_heatmaps_peak_where_the_label_has_its_apex(library):
    """Whatever the warp: the apex heat lies at the rim of the cavity, as far as can be from the hinges."""
    data = DressedSlices(library, "lax", 2, visits=8, look=Look(shift_mm=0, elastic_mm=2))
    for index in range(len(data)):
        item = data[index]
        cavity = np.argwhere(item["label"]["lax"][0].numpy() == LABELS["LV"])
        hinges = np.mean(two_peaks(item["heat"]["lax"][0].numpy()), axis=0)
        apex = peak(item["heat"]["lax"][1].numpy())
        far = cavity[np.linalg.norm(cavity - hinges, axis=1).argmax()]
        assert np.linalg.norm(far - apex) * reader.PIXEL_MM < 9


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda folder: DressedSlices(folder, "sax", 1), FileNotFoundError, "render the library"),
        (lambda folder: DressedSlices(folder, "coronal", 1), ValueError, "kind"),
        (lambda _: readers.train("reader_mri"), ValueError, "unknown weights"),
        (lambda _: readers.train("reader_sax", "huge"), ValueError, "unknown profile"),
    ],
)
def test_what_is_missing_or_unknown_is_named(call, error, words, tmp_path):
    with pytest.raises(error, match=words):
        call(tmp_path)


@pytest.mark.parametrize("name", readers.KINDS)
def test_training_command_in_miniature(name, tmp_path, monkeypatch, library):
    """Render, train, save, restore, read: every step of the command that makes the shipped weights."""
    monkeypatch.setattr(readers, "RECIPES", {"ci": readers.Recipe(n_hearts=2, visits=2, steps=2)})
    monkeypatch.setattr(readers, "N_HELD_OUT", 1)
    monkeypatch.setitem(readers.KINDS, name, readers.KINDS[name] | {"batch_size": 1})
    monkeypatch.setenv("CINEMA_DATA", str(tmp_path))
    monkeypatch.setattr(readers, "WEIGHTS", tmp_path / "weights")
    made = tmp_path / "work" / "ci" / f"library_{LIBRARY_VERSION}"
    made.mkdir(parents=True)
    for index in range(2):
        library_path(made, index).write_bytes(library_path(library, index).read_bytes())
    path = readers.train(name, "ci")
    assert path == tmp_path / "work" / "ci" / f"{name}.safetensors" and not (tmp_path / "weights").exists()
    assert metadata_of(path)["data"] == "virtual hearts only"
    assert next(restore(path).parameters()).dtype == torch.float32
    own = OwnReader(path.parent)
    image = np.random.default_rng(0).random((90, 100, 1, 2), np.float32)
    if name == "reader_sax":
        assert own.predict_sax(image, (1.4, 1.4, 8)).shape == image.shape
    else:
        labels, marks = own.predict_lax(image, (1.4, 1.4, 8))
        assert labels.shape == image.shape and marks.shape == (2, 3, 2) and np.isfinite(marks).all()


def test_shipped_reader_finds_a_heart_off_centre():
    """A virtual heart 40 mm off the middle of a large field of view, never seen in training."""
    if not (files.WEIGHTS / "reader_sax.safetensors").exists():
        pytest.skip("reader_sax.safetensors is not there; python3 -m cinema train reader_sax makes it")
    grid = {"sax": ((200, 200, 8), (1.4, 1.4, 12.0))}
    heart = Heart(150, 62, 165, 75, 100, 94, 13, detail_seed=987654)
    scan = acquire(heart, Acquisition(seed=5), [0.0, 0.35], grid, ("sax",))["sax"]
    image, truth = (np.roll(a, (30, -20), (0, 1)) for a in (scan.image, scan.labels))
    predicted = OwnReader().predict_sax(image, scan.spacing_mm)
    for value in LABELS.values():
        overlap = 2 * np.sum((predicted == value) & (truth == value)) / np.sum((predicted == value) + (truth == value))
        assert overlap > 0.75


def test_a_short_axis_item_is_neighbouring_slices_under_one_look(library):
    item = DressedSlices(library, "sax", 2, visits=4)[3]
    assert item["image"]["sax"].shape == item["label"]["sax"].shape == (GROUP, 112, 112)
    for seed in range(50):
        slices = chosen_slices(np.random.default_rng(seed), 20)
        steps = np.diff(slices)
        assert len(slices) == GROUP and (steps == steps[0]).all() and 0 <= slices.min() <= slices.max() < 20


def test_neighbours_stand_before_and_behind():
    stack = torch.arange(1.0, 5.0)[None, :, None, None].expand(2, 4, 2, 2)
    seen = reader.with_neighbours(stack, torch.tensor([False, True]))[..., 0, 0]
    assert seen[0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 0]]
    assert seen[1].tolist() == [[0, 1, 0], [0, 2, 0], [0, 3, 0], [0, 4, 0]]


def test_a_cavity_without_blood_is_closed():
    codes = packed(np.full((4, 10, 10), CODE["papillary"]), np.full((4, 10, 10), LABELS["LV"]))
    assert (emptied(codes) == packed(CODE["myocardium"], np.uint8(LABELS["MYO"]))).all()
    codes[:, :3] = packed(CODE["lv_blood"], np.uint8(LABELS["LV"]))
    assert emptied(codes) is codes
