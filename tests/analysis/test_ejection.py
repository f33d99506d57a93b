"""Ejection fraction of studies from masks, and what pairs of scans say."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import tiny
import torch

from cinema.analysis import ejection
from cinema.data.study import load_study
from cinema.plots import agreement, style
from cinema.stats import estimates
from cinema.stats.metrics import coefficient_of_variation_percent


@pytest.fixture(name="paths")
def _paths(tmp_path):
    return tiny.write(tmp_path, 3, ("sax",))


def test_exact_masks_give_the_ef_of_counted_voxels(paths):
    table = ejection.from_masks(paths, ejection.exact_masks)
    labels = load_study(paths[1]).views["sax"].labels
    ed, es = ((labels[..., t] == 3).sum() for t in (0, 3))
    assert list(table["study"]) == ["p000", "p001", "p002"]
    assert table["LV"][1] == pytest.approx(100 * (ed - es) / ed)
    assert table["RV"].between(-1e-9, 100).all()


def test_network_masks_have_the_grid_and_frames_of_the_study(paths):
    study = load_study(paths[0])
    masks = ejection.network_masks(study, tiny.Pixelwise())
    assert masks.shape == (*study.views["sax"].image.shape[:3], 2) and masks.dtype == np.uint8


def test_an_empty_mask_counts_as_no_ejection(paths):
    table = ejection.from_masks(paths, lambda study: np.zeros((*study.views["sax"].image.shape[:3], 2), np.uint8))
    assert (table[["LV", "RV"]] == 0).all(axis=None)


def test_the_reader_looks_about_the_middle_of_the_picture_and_leaves_threads_alone(paths):
    before = torch.get_num_threads()
    table = ejection.by_reader(paths[:1])
    assert list(table) == ["study", "LV", "RV"] and torch.get_num_threads() == before
    assert table[["LV", "RV"]].apply(lambda column: column.between(0, 100)).all(axis=None)


def test_variation_is_the_published_formula_and_a_constant_has_none():
    rng = np.random.default_rng(0)
    first, second = rng.normal(60, 5, (2, 40))
    found = ejection.variation(ejection.pair_terms(first, second), rng)
    assert found.value == pytest.approx(coefficient_of_variation_percent(first, second))
    assert found.lower < found.value < found.upper and found.n == 40
    assert ejection.variation(ejection.pair_terms(np.full(9, 55.0), np.full(9, 55.0)), rng).value == 0
    assert list(ejection.pair_terms([0, 50], [0, 56])) == pytest.approx([0, 0.0064075], rel=1e-3)


def test_variation_difference_is_paired_and_changes_sign():
    rng = np.random.default_rng(1)
    truth = rng.normal(60, 8, (2, 60)).mean(axis=0)
    tight, loose = (ejection.pair_terms(*(truth + rng.normal(0, sd, (2, 60)))) for sd in (1, 4))
    gap = ejection.variation_difference(tight, loose, np.random.default_rng(2))
    turned = ejection.variation_difference(loose, tight, np.random.default_rng(2))
    assert gap.upper < 0 and gap.value == pytest.approx(-turned.value)
    assert gap.value == pytest.approx(100 * (np.sqrt(tight.mean()) - np.sqrt(loose.mean())))


def test_components_find_the_planted_variances_and_add_up():
    rng = np.random.default_rng(3)
    planted = {"heart": 1.0, "slices": 2.0, "reading": 3.0}
    steps = {name: rng.normal(0, sd, (2, 4000)) for name, sd in planted.items()}
    found = ejection.components(steps, rng)
    measured = found.pop("measured").value
    assert measured == pytest.approx(np.mean(sum(first - second for first, second in steps.values()) ** 2))
    assert sum(part.value for part in found.values()) == pytest.approx(measured)
    for name, sd in planted.items():
        assert found[name].lower < 2 * sd**2 < found[name].upper
    assert found["together"].lower < 0 < found["together"].upper
    assert all(isinstance(part, estimates.Estimate) for part in found.values())


def test_shrunk_ends_with_the_middle():
    assert list(ejection.shrunk([40, 60], 1, 55)) == [40, 60]
    assert list(ejection.shrunk([40, 60], 0, 55)) == [55, 55]


def test_figures_say_n_and_draw_every_method():
    e = estimates.Estimate
    _, ax = style.figure()
    series = {"LV": {"a": e(3, 2, 4, 9), "b": e(5, 4, 7, 9)}, "RV": {"a": e(6, 5, 8, 7)}}
    agreement.methods(ax, series, "x", {"line": 1})
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    assert "n = 7 or 9" in ax.get_title("left") and len(ax.containers) == 2
    _, ax = style.figure()
    agreement.rescans(ax, [50, 60, 40], [52, 57, 40])
    assert "n = 3 pairs" in ax.get_title("left") and "points" in ax.get_ylabel()
    _, ax = style.figure()
    agreement.trade_off(ax, {"a": (e(3, 2, 4, 9), e(5, 4, 7, 9))}, [(3, 5), (0, 9)], "x", "y")
    assert len(ax.containers) == 1 and ax.get_ylim()[0] == 0
