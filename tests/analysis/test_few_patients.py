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


def people(**names):
    """Patients of these diseases by split."""
    rows = [(f"{split}{i}", split, name) for split, some in names.items() for i, name in enumerate(some)]
    return pd.DataFrame(rows, columns=["id", "split", "disease"])


ENOUGH = ["NOR", "NOR", "DCM", "DCM", "DCM"]


def test_classes_are_those_trained_with_the_healthy_one_first():
    given = people(train=["DCM", "NOR", "HCM"], val=["DCM"], test=[*ENOUGH, "RV", "XXX"])
    table, classes = disease.patients(given, "acdc")
    assert classes == ("NOR", "DCM", "HCM")
    assert list(table.loc[table["split"] == "test", "number"]) == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    "names, words",
    [
        (dict(train=["DCM", "HCM"], val=["DCM"], test=ENOUGH), "training patients of acdc are of DCM, HCM; NOR"),
        (dict(train=[], val=["DCM"], test=ENOUGH), "of no class"),
        (dict(train=["NOR", "DCM"], val=["NOR"], test=ENOUGH), "0 ill patients for validation"),
        (dict(train=["NOR", "DCM"], val=["DCM"], test=["NOR"] + ["DCM"] * 6), "1 NOR, 6 DCM for testing"),
        (dict(train=["NOR", "DCM"], val=["DCM"], test=ENOUGH[:4]), "2 NOR, 2 DCM for testing"),
    ],
)
def test_sets_that_nothing_can_be_said_of_are_refused(names, words):
    with pytest.raises(ValueError, match=f"{words}.*prepare more"):
        disease.patients(people(**names), "acdc")


def test_the_threshold_finds_nine_of_ten_ill_and_needs_nobody_healthy():
    ill, score = np.repeat([1, 0], [10, 3]), rng().random(13)
    limit = disease.detection_threshold(ill, score)
    assert (score[:10] >= limit).sum() == 9  # and no more
    assert limit == classification.threshold_for_sensitivity(ill, score, 0.9)
    assert limit == disease.detection_threshold(ill[:10], score[:10])


def test_types_agree_with_scikit_learn_and_leave_out_who_is_alone():
    number = np.array([0, 0, 0, 2, 2, 1])
    p = rng().dirichlet(np.ones(3), 6)
    found = disease.types(number, p, rng())
    assert found["accuracy"].value == np.mean(p.argmax(1) == number) and found["accuracy"].n == 6
    assert found["macro AUC"].n == 5 and np.array_equal(disease.frequent(number, p)[0], [0, 0, 0, 1, 1])
    areas = roc_auc_score(number[:5] == 0, p[:5, 0]), roc_auc_score(number[:5] == 2, p[:5, 2])
    assert found["macro AUC"].value == pytest.approx(np.mean(areas))
    called = disease.called_right(np.repeat([1, 0], [10, 2]), np.repeat([1, 0], [7, 5]))
    interval = binomtest(7, 10).proportion_ci(method="wilson")
    assert called["sensitivity"][:3] == pytest.approx((0.7, interval.low, interval.high))
    assert called["specificity"].value == 1 and called["specificity"].n == 2


def test_published_models_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("CINEMA_WEIGHTS", raising=False)
    table = people(test=ENOUGH).assign(whole="nowhere")
    p, why = disease.by_published(table, ("NOR", "DCM"), "acdc", tmp_path, (0,))
    assert p is None and "acdc_sax" in why
    assert disease.by_published(table, ("NOR", "DCM"), "virtual", tmp_path, (0,))[0] is None
    found, why = attributes.by_published(table, "mnms", "sex", tmp_path, (0,), rng())
    assert found is None and "mnms_sax" in why
    assert "no weights of regression_age" in attributes.by_published(table, "virtual", "age", tmp_path, (0,), rng())[1]


# Attributes -----------------------------------------------------------------------------------------------------------


def test_attributes_that_a_set_lacks_or_has_too_few_of_are_named():
    table = pd.DataFrame(
        {"sex": ["F"] * 6 + ["M"] * 6, "vendor": ["A"] * 8 + ["B"] * 4, "age_years": [40.0] * 5 + [np.nan] * 7}
    )
    told = {name: attributes.known(table, name) for name in attributes.ATTRIBUTES}
    assert not told["sex"].lacks and len(told["sex"].rows) == 12
    assert "needs 10" in told["vendor"].lacks  # B has fewer than folds and goes; A alone is too few
    assert len(attributes.known(table, "vendor", least=None).rows) == 12
    assert "5 usable" in told["age"].lacks and told["BMI"].lacks == "the data set does not tell it"
    assert list(attributes.readable(told)) == ["sex"]
    with pytest.raises(ValueError, match="no attribute can be read .*BMI: the data set does not tell it"):
        attributes.readable({"BMI": told["BMI"]})


def test_a_planted_attribute_is_read_and_a_shuffled_one_is_not():
    x = rng().standard_normal((60, 8))
    table = pd.DataFrame({"sex": np.where(x[:, 0] > 0, "M", "F"), "age_years": 50 + 10 * x[:, 1]})
    for name in ("sex", "age"):
        told = attributes.known(table, name)
        got = attributes.quality(attributes.read(x, told), told, rng())
        idle = np.abs(told.values - told.values.mean()).mean() if told.unit else 0.5
        assert got.value > 0.9 if name == "sex" else got.value < 0.3 * idle
        mixed = attributes.Known(name, told.rows, rng().permutation(told.values))
        lost = attributes.quality(attributes.read(x, mixed), mixed, rng())
        assert lost.value < 0.75 if name == "sex" else lost.value > 0.8 * idle
