"""What notebooks 04 to 07 do with patients: few of them, some without reference,
pairs with repeats, classes nobody has."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from cinema.analysis import attributes, disease, ejection, long_axis
from cinema.data.study import Study, View, save_study
from cinema.stats import classification, estimates


def rng():
    return np.random.default_rng(0)


# Ejection fraction ----------------------------------------------------------------------------------------------------


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
    row = ejection.from_cine(path, lambda image, spacing: asked.append(image.shape[3]) or image)
    assert row == {"study": "one", "LV": ef, "RV": 0.0}
    assert asked == [4 if ends[0] is None else 2]


def test_agreement_leaves_out_who_lacks_a_number_and_averages_seeds_per_patient():
    known = pd.DataFrame({"LV": [50.0, 60.0, np.nan], "RV": np.nan}, index=["a", "b", "c"])
    rows = pd.DataFrame(
        {"study": ["a", "a", "b", "c"], "seed": [0, 1, 0, 0], "LV": [52.0, 56.0, 57.0, 10.0], "RV": 1.0}
    )
    fit = ejection.agreement(rows, known, "LV", rng())
    assert fit.mae.value == 3.5 and fit.bias.value == 0.5 and fit.mae.n == 2  # (54 - 50) and (57 - 60)
    assert fit.limits is None and np.isnan(fit.mae.lower)
    assert ejection.agreement(rows, known, "RV", rng()) is None
    assert "n too small" in ejection.in_words({("x", "LV"): fit}).loc[("x", "LV"), "limits of agreement"]


def test_agreement_of_enough_patients_is_that_of_bland_and_altman():
    true = pd.Series([30.0, 40.0, 50.0, 60.0, 70.0], index=list("abcde"))
    rows = pd.DataFrame({"study": true.index, "seed": 0, "LV": true.to_numpy() + [1, -2, 3, 0, 2]})
    fit = ejection.agreement(rows, true.to_frame("LV"), "LV", rng())
    sd = np.std([1, -2, 3, 0, 2], ddof=1)
    assert fit.bias.value == pytest.approx(0.8)
    assert [limit.value for limit in fit.limits[1:]] == pytest.approx([0.8 - 1.959964 * sd, 0.8 + 1.959964 * sd])


def test_pairs_average_repeats_and_drop_who_came_once():
    table = pd.DataFrame(
        {
            "id": ["a1", "b1", "b1r", "a2", "x"],
            "patient": ["p1", "p1", "p1", "p2", None],
            "rescan": ["A", "B", "B", "A", None],
        }
    )
    pairs = ejection.scans(table)
    assert list(pairs.index) == ["p1"]
    ef = pd.Series({"a1": 50.0, "b1": 54.0, "b1r": 58.0, "a2": 40.0})
    assert [list(one) for one in ejection.scan_means(pairs, ef)] == [[50.0], [56.0]]
    rows = ef.rename("LV").rename_axis("study").reset_index().assign(seed=0)
    cv = ejection.repeatability(rows, pairs, rng())
    assert cv.n == 1 and cv.value == pytest.approx(100 * np.sqrt(0.5 * 36 / 53**2))  # the published form: 8.0 %
    assert ejection.scans(table.drop(columns="rescan")).empty
    assert ejection.repeatability(rows, ejection.scans(table.drop(columns="rescan")), rng()).n == 0


def test_a_part_of_a_rescan_set_keeps_pairs_whole():
    table = pd.DataFrame({"id": [f"s{i}" for i in range(20)], "patient": [f"p{i // 2}" for i in range(20)]})
    part = ejection.every_nth_patient(table, 6)
    assert len(part) == 6 and part["patient"].value_counts().eq(2).all()
    assert len(ejection.every_nth_patient(table, 100)) == 20


def test_direct_regression_says_nothing_about_a_side_without_reference():
    x = pd.DataFrame(rng().standard_normal((12, 3)), index=[f"s{i}" for i in range(12)])
    known = pd.DataFrame({"LV": 50 + 10 * x[0], "RV": np.nan})
    rows = ejection.direct(x, known, x.index[:10], x.index[10:])
    assert rows["LV"].to_numpy() == pytest.approx(known["LV"].iloc[10:].to_numpy(), abs=1.0)
    assert rows["RV"].isna().all() and list(rows["study"]) == ["s10", "s11"]


# Disease --------------------------------------------------------------------------------------------------------------


def people(train, val, test):
    table = pd.DataFrame(
        [
            {"id": f"{split}{i}", "split": split, "disease": name}
            for split, names in (("train", train), ("val", val), ("test", test))
            for i, name in enumerate(names)
        ]
    )
    classes = disease.classes_of(table, ("DCM", "NOR", "HCM", "ARV"))
    return disease.patients_of(table, classes), classes


def test_classes_are_those_trained_with_the_healthy_one_first():
    table, classes = people(["DCM", "NOR", "HCM"], ["NOR"], ["ARV", "DCM", "XXX"])
    assert classes == ("NOR", "DCM", "HCM")
    assert list(table.loc[table["split"] == "test", "disease"]) == ["DCM"]
    assert not disease.lacking(table, classes)


@pytest.mark.parametrize(
    "train, val, test, word",
    [(["DCM", "HCM"], ["DCM"], ["DCM"], "NOR"), (["NOR", "DCM"], [], ["DCM"], "a patient each")],
)
def test_what_is_lacking_is_said(train, val, test, word):
    assert word in disease.lacking(*people(train, val, test))


def test_detection_agrees_with_scikit_learn_and_takes_its_threshold_from_validation_patients():
    ill = ["DCM"] * 10
    table, classes = people(["NOR", "DCM"], [*ill, "NOR"], ["NOR"] * 6 + ill)
    p_ill = rng().random(len(table))
    p = np.column_stack([1 - p_ill, p_ill])
    found, test = disease.detected(p, table, rng()), disease.in_split(table, "test")
    assert found.auc.value == pytest.approx(roc_auc_score(table["number"][test], p_ill[test]))
    val = disease.in_split(table, "val") & (table["number"] > 0).to_numpy()
    assert (p_ill[val] >= found.threshold).sum() == 9  # nine of ten, and no more
    assert found.threshold == classification.threshold_for_sensitivity(
        table["number"][disease.in_split(table, "val")], p_ill[disease.in_split(table, "val")], 0.9
    )
    caught = int((p_ill[test][6:] > 0.5).sum())
    interval = binomtest(caught, 10).proportion_ci(method="wilson")
    assert found.sensitivity[:3] == pytest.approx((caught / 10, interval.low, interval.high))


def test_detection_without_healthy_test_patients_has_a_sensitivity_and_nothing_else():
    table, _ = people(["NOR", "DCM"], ["DCM"], ["DCM"] * 6)
    p = np.tile([0.2, 0.8], (len(table), 1))
    found = disease.detected(p, table, rng())
    assert found.sensitivity.value == 1.0
    assert np.isnan(found.auc.value) and np.isnan(found.specificity.value)
    assert not disease.differences({"a": p, "b": p}, "a", table)
    assert "nan" not in disease.text_table({"a": {"auc": found.auc}}).to_string()


# Attributes -----------------------------------------------------------------------------------------------------------


def test_attributes_that_a_set_lacks_or_has_too_few_of_are_named():
    table = pd.DataFrame(
        {"sex": ["F"] * 6 + ["M"] * 6, "vendor": ["A"] * 8 + ["B"] * 4, "age_years": [40.0] * 5 + [np.nan] * 7}
    )
    told = {name: attributes.known(table, name) for name in attributes.ATTRIBUTES}
    assert not told["sex"].lacks and len(told["sex"].rows) == 12
    assert "needs 10" in told["vendor"].lacks  # B has fewer than folds and goes; A alone is too few
    assert "5 usable" in told["age"].lacks and told["BMI"].lacks == "the data set does not tell it"


def test_a_planted_attribute_is_read_and_a_shuffled_one_is_not():
    x = rng().standard_normal((60, 8))
    table = pd.DataFrame({"sex": np.where(x[:, 0] > 0, "M", "F"), "age_years": 50 + 10 * x[:, 1]})
    for name in ("sex", "age"):
        told = attributes.known(table, name)
        got = attributes.quality(attributes.read(x, told, name), told, name, rng())
        idle = attributes.floor(told, name, rng())
        assert got.value > 0.9 if name == "sex" else got.value < 0.3 * idle.value
        mixed = attributes.Known(told.rows, rng().permutation(told.values))
        lost = attributes.quality(attributes.read(x, mixed, name), mixed, name, rng())
        assert lost.value < 0.75 if name == "sex" else lost.value > 0.8 * idle.value


# Landmarks ------------------------------------------------------------------------------------------------------------


def test_the_mean_position_and_a_patient_counted_once(tmp_path):
    rows = []
    for i, (split, shift) in enumerate((("train", 0), ("train", 8), ("test", 4), ("test", 8))):
        points = np.array([[[10, 10], [20, 10], [15, 40]]], np.float32) + shift
        view = View(np.zeros((64, 64, 1, 1), np.uint8), np.diag([4.0, 4.0, 1.0, 1.0]), landmarks=points)
        path = save_study(Study(f"p{i}_lax_2c", "test", {"lax_2c": view}), tmp_path)
        rows.append({"id": f"p{i}_lax_2c", "path": str(path), "split": split})
    scores = long_axis.mean_position(pd.DataFrame(rows), "lax_2c")
    means = long_axis.per_patient(scores, {"p2_lax_2c": "one", "p3_lax_2c": "two"})
    assert dict(zip(means["study"], means["distance_mm"], strict=True)) == pytest.approx(
        {"one": 0.0, "two": 4 * 4 * np.sqrt(2)}
    )  # 4 pixels along each axis, 4 published pixels each
    joined = long_axis.per_patient(scores, {"p2_lax_2c": "one", "p3_lax_2c": "one"})
    (estimate,) = long_axis.distances(joined, ("arm",), rng()).values()
    assert estimate.n == 1 and isinstance(estimate, estimates.Estimate)
    assert long_axis.whole_picture("lax_4c") == {"lax_4c": ((64, 64), (4.0, 4.0))}


def test_the_rate_that_came_nearest_on_validation_pictures_is_kept_for_each_arm():
    history = pd.DataFrame(
        {
            "arm": ["a", "a", "b", "b"],
            "learning_rate": [1.0, 2.0, 1.0, 2.0],
            "val_mean_distance_mm": [3.0, 2.0, 4.0, 5.0],
        }
    )
    scores = pd.DataFrame(
        {"arm": ["a", "a", "b", "b"], "learning_rate": [1.0, 2.0, 1.0, 2.0], "distance_mm": [9, 1, 2, 9]}
    )
    assert list(long_axis.chosen(history, scores)["distance_mm"]) == [1, 2]
