"""Ejection fraction of virtual people and of patients, few of them, some without reference; what pairs of scans say."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from cinema.analysis import ejection
from cinema.data.study import Study, View, load_study, save_study
from cinema.stats.metrics import coefficient_of_variation_percent


@pytest.fixture(name="paths")
def _paths(tmp_path):
    return tiny.write(tmp_path, 3, ("sax",))


def rng():
    return np.random.default_rng(0)


def test_study_masks_give_the_ef_of_counted_voxels_and_ways_stay_in_order(paths):
    exact = ejection.study_masks
    table = ejection.read({("a", 7): (exact, paths), ("b", 1): (exact, paths[:1])}, jobs=2)
    labels = load_study(paths[1]).views["sax"].labels
    ed, es = ((labels[..., t] == 3).sum() for t in (0, 3))
    rows = [("a", 7, "p000"), ("a", 7, "p001"), ("a", 7, "p002"), ("b", 1, "p000")]
    assert list(zip(table["arm"], table["seed"], table["study"], strict=True)) == rows
    assert table["LV"][1] == pytest.approx(100 * (ed - es) / ed) and table["RV"].between(-1e-9, 100).all()
    nobody = ejection.read({("a", 0): (exact, [])})
    assert nobody.empty and list(nobody) == list(table)


def test_network_masks_have_the_grid_and_frames_of_the_study_and_empty_ones_count_as_no_ejection(paths, monkeypatch):
    monkeypatch.setattr(ejection.arms, "model_of", lambda run: tiny.Pixelwise())
    view = load_study(paths[0]).views["sax"]
    masks = ejection.network_masks(None)(view, [0, 3])
    assert masks.shape == (*view.image.shape[:3], 2) and masks.dtype == np.uint8
    assert ejection.from_masks(paths[0], lambda view, frames: 0 * masks) == {"study": "p000", "LV": 0, "RV": 0}


def test_the_reader_looks_about_the_middle_of_the_picture_and_leaves_threads_alone(paths):
    before = torch.get_num_threads()
    table = ejection.read({(ejection.READER, 0): (ejection.reader_masks, paths[:1])})
    assert torch.get_num_threads() == before
    assert table[["LV", "RV"]].apply(lambda column: column.between(0, 100)).all(axis=None)


def cine(lv_voxels, ed=None, es=None):
    """A study of one slice, voxels of 1 ml, whose image holds 3 in so many voxels of each frame."""
    image = np.zeros((10, 10, 1, len(lv_voxels)), np.uint8)
    for t, n in enumerate(lv_voxels):
        image[..., t].reshape(-1)[:n] = 3
    return Study("one", "test", {"sax": View(image, np.diag([10.0, 10.0, 10.0, 1.0]))}, ed_frame=ed, es_frame=es)


@pytest.mark.parametrize("ends, ef", [((None, None), 75.0), ((0, 2), 50.0)])
def test_ed_and_es_where_named_else_the_extremes_of_the_cycle(tmp_path, ends, ef):
    path = save_study(cine([60, 80, 30, 20], *ends), tmp_path)
    asked = []
    row = ejection.from_masks(path, lambda view, frames: asked.append(len(frames)) or view.image[..., frames])
    assert row == {"study": "one", "LV": ef, "RV": 0.0}
    assert asked == [4 if ends[0] is None else 2]


def test_the_reference_is_what_a_data_set_says_or_what_a_reader_would_draw_in_a_virtual_heart():
    table = pd.DataFrame({"id": ["a", "b"], "lv_ef_percent": [50.0, np.nan], "rv_ef_percent": [40.0, 41.0]})
    told = ejection.reference(table)
    assert told.loc["a"].to_dict() == {"LV": 50.0, "RV": 40.0} and np.isnan(told.loc["b", "LV"])
    true = ejection.reference(
        table.assign(true_lv_ef_percent=[65.0, 66.0], true_drawn_lv_ef_percent=[60.0, 61.0]).drop(
            columns="rv_ef_percent"
        )
    )
    assert list(true["LV"]) == [60.0, 61.0] and true["RV"].isna().all()
    assert ejection.reference(table[:0]).empty


def test_agreement_leaves_out_who_lacks_a_number_and_averages_seeds_per_patient():
    known = pd.DataFrame({"LV": [50.0, 60.0, np.nan], "RV": np.nan}, index=["a", "b", "c"])
    rows = pd.DataFrame({"study": list("aabc"), "seed": [0, 1, 0, 0], "LV": [52.0, 56.0, 57.0, 10.0], "RV": 1.0})
    fit = ejection.agreement(rows, known, "LV", rng())
    assert fit["mae"].value == 3.5 and fit["bias"].value == 0.5 and fit["mae"].n == 2  # (54 - 50) and (57 - 60)
    assert "lower_limit" not in fit and np.isnan(fit["mae"].lower)
    assert ejection.agreement(rows, known, "RV", rng()) == {}


def test_agreement_of_enough_patients_is_that_of_bland_and_altman():
    true = pd.Series([30.0, 40.0, 50.0, 60.0, 70.0], index=list("abcde"))
    rows = pd.DataFrame({"study": true.index, "seed": 0, "LV": true.to_numpy() + [1, -2, 3, 0, 2]})
    fit = ejection.agreement(rows, true.to_frame("LV"), "LV", rng())
    sd = np.std([1, -2, 3, 0, 2], ddof=1)
    limits = [fit[name].value for name in ("lower_limit", "upper_limit")]
    assert fit["bias"].value == pytest.approx(0.8)
    assert limits == pytest.approx([0.8 - 1.959964 * sd, 0.8 + 1.959964 * sd])
    assert fit["band_accuracy"].value == 1.0 and fit["band_mcc"].value == 1.0


def test_pairs_average_repeats_and_drop_who_came_once():
    scans = [("a1", "p1", "A"), ("b1", "p1", "B"), ("b1r", "p1", "B"), ("a2", "p2", "A"), ("x", None, None)]
    table = pd.DataFrame(scans, columns=["id", "patient", "rescan"])
    pairs = ejection.scans(table)
    assert list(pairs.index) == ["p1"]
    ef = pd.Series({"a1": 50.0, "b1": 54.0, "b1r": 58.0, "a2": 40.0})
    assert [list(one) for one in ejection.scan_means(pairs, ef)] == [[50.0], [56.0]]
    rows = ef.rename("LV").rename_axis("study").reset_index().assign(seed=0)
    cv = ejection.variation(ejection.terms_of(rows, pairs), rng())
    assert cv.n == 1 and cv.value == pytest.approx(100 * np.sqrt(0.5 * 36 / 53**2))  # the published form: 8.0 %
    nobody = ejection.scans(table.drop(columns="rescan"))
    assert nobody.empty
    for few in (rows, rows[:0]):
        assert ejection.variation(ejection.terms_of(few, nobody), rng()).n == 0


def test_a_part_of_a_rescan_set_keeps_pairs_whole():
    table = pd.DataFrame({"id": [f"s{i}" for i in range(20)], "patient": [f"p{i // 2}" for i in range(20)]})
    part = ejection.every_nth_patient(table, 6)
    assert len(part) == 6 and part["patient"].value_counts().eq(2).all()
    assert len(ejection.every_nth_patient(table, 100)) == 20
    assert ejection.every_nth_patient(table[:0], 6).empty


def test_direct_regression_says_nothing_about_a_side_without_reference():
    x = pd.DataFrame(rng().standard_normal((12, 3)), index=[f"s{i}" for i in range(12)])
    known = pd.DataFrame({"LV": 50 + 10 * x[0], "RV": np.nan})
    rows = ejection.direct(x, known, x.index[:10], x.index[10:])
    assert rows["LV"].to_numpy() == pytest.approx(known["LV"].iloc[10:].to_numpy(), abs=1.0)
    assert rows["RV"].isna().all() and list(rows["study"]) == ["s10", "s11"]
    nobody = pd.DataFrame(columns=["id", "path", "split"])
    assert ejection.direct_of_patients(nobody, ejection.reference(nobody), [], [], None).empty


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
