"""What notebooks 06 and 07 do with patients: few of them, some without reference, classes nobody has."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from cinema.analysis import attributes, disease
from cinema.stats import classification


def rng():
    return np.random.default_rng(0)


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
