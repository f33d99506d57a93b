"""What notebook 06 does with patients, few of them, and with probabilities; heads that start as a probe."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from cinema.analysis import attributes, disease, features
from cinema.data.study import study_paths
from cinema.models import two_frames
from cinema.phantom import cohort, diseases
from cinema.stats.classification import threshold_for_sensitivity
from cinema.stats.estimates import Estimate
from cinema.training import arms, regression


def rng():
    return np.random.default_rng(0)


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


REFUSED = [  # diseases in train, val and test; words
    (["DCM", "HCM"], ["DCM"], ENOUGH, "training patients of acdc are of DCM, HCM; NOR"),
    ([], ["DCM"], ENOUGH, "of no class"),
    (["NOR", "DCM"], ["NOR"], ENOUGH, "0 ill patients for validation"),
    (["NOR", "DCM"], ["DCM"], ["NOR"] + ["DCM"] * 6, "1 NOR, 6 DCM for testing"),
    (["NOR", "DCM"], ["DCM"], ENOUGH[:4], "2 NOR, 2 DCM for testing"),
]


@pytest.mark.parametrize("train, val, test, words", REFUSED)
def test_sets_that_nothing_can_be_said_of_are_refused(train, val, test, words):
    with pytest.raises(ValueError, match=f"{words}.*prepare more"):
        disease.patients(people(train=train, val=val, test=test), "acdc")


def test_the_threshold_finds_nine_of_ten_ill_and_needs_nobody_healthy():
    ill, score = np.repeat([1, 0], [10, 3]), rng().random(13)
    limit = disease.detection_threshold(ill, score)
    assert (score[:10] >= limit).sum() == 9  # and no more
    assert limit == threshold_for_sensitivity(ill, score, 0.9)
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


def test_thinned_sets_have_the_share_and_one_size():
    classes = np.repeat([0, 1, 2], [40, 80, 80])
    for share in (0.1, 0.2, 0.5):
        kept = disease.thinned(classes, share, rng())
        assert len(kept) == len(set(kept)) == 80 and np.mean(classes[kept] == 0) == pytest.approx(share)


def test_temperature_undoes_what_sharpened():
    drawn = rng()
    p = drawn.dirichlet(np.ones(3), 4000)
    classes = np.array([drawn.choice(3, p=row) for row in p])
    sharp = disease.with_temperature(p, 0.5)
    assert np.array_equal(sharp.argmax(1), p.argmax(1)) and sharp.sum(1) == pytest.approx(1)
    assert disease.fitted_temperature(sharp, classes) == pytest.approx(2.0, rel=0.1)


def test_mean_of_estimates():
    first, second = Estimate(0.8, 0.7, 0.9, 50), Estimate(0.6, 0.5, 0.7, 50)
    mean = disease.mean_of([first, second])
    assert mean.value == pytest.approx(0.7) and mean.upper == pytest.approx(0.7 + 0.1 / np.sqrt(2)) and mean.n == 100


@pytest.fixture(scope="module")
def nine(tmp_path_factory):
    paths = study_paths(cohort.write("acdc", 9, 0, tmp_path_factory.mktemp("nine")))
    return paths, features.features_of(paths).to_numpy()


def answers(build, data):
    """What an untrained arm says of a data set."""
    model = arms.Arm("probed", build, arms.SHIPPED[1], arms.SHIPPED[0]).start(0).eval()
    with torch.no_grad():
        return torch.cat([model({"sax": data[i]["image"]["sax"][None]}) for i in range(len(data))])


def test_a_probed_regression_starts_with_the_answers_of_its_ridge(nine):
    paths, x = nine
    ef = np.linspace(25, 65, 9)
    fit = features.ridge().fit(x[:6], (ef[:6] - regression.EF_MEAN) / regression.EF_STD)
    found = answers(partial(two_frames.probed, fit), arms.with_targets(paths))
    np.testing.assert_allclose(found[:, 0], fit.predict(x), atol=2e-3)


@pytest.mark.parametrize("classes", [[0, 1, 2] * 3, [0, 2] * 4 + [0], [1, 1, 2] * 3])
def test_a_probed_network_starts_with_the_answers_of_its_probe(classes, nine):
    paths, x = nine
    p, fit = disease.logistic_head(x, np.array(classes), np.arange(9) < 6, np.arange(9) >= 6, 3)
    data = arms.with_targets(paths, attribute="disease", classes=("NOR", "MINF", "DCM", "HCM", "ARV"))
    np.testing.assert_allclose(answers(partial(disease.probed, 3, fit), data).softmax(1), p, atol=2e-3)


def test_the_oracle_is_told_its_numbers_in_the_recorded_order():
    """A forest draws from its columns by place: in another order the recorded AUCs are other ones."""
    person = cohort.person("acdc", 0)
    known = diseases.numbers(person.heart, person.attributes)
    heart, bsa = person.heart, person.attributes["bsa_m2"]
    sizes = [heart.lv_edv_ml, heart.rv_edv_ml, heart.lv_edv_ml / bsa, heart.rv_edv_ml / bsa, heart.lv_mass_g / bsa]
    efs = [100 * (1 - heart.lv_esv_ml / heart.lv_edv_ml), 100 * (1 - heart.rv_esv_ml / heart.rv_edv_ml)]
    walls = [known["mean_wall_mm"], known["max_wall_mm"], len(heart.infarcts)]
    atria = [heart.la_volume_ml, heart.ra_volume_ml, heart.septal_flattening]
    told = [float(person.attributes["sex"] == "M"), *sizes, *efs, *walls, *atria]
    assert disease.exact_features(person) == pytest.approx(told)
