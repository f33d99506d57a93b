"""Classification: each number against another way to compute it, edges, and refusals of one line."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as distributions
from simulations import scores
from sklearn import metrics as sk

from cinema.stats import classification, estimates


@pytest.fixture
def study():
    """true and two scores of 60 cases and 90 controls."""
    return scores(np.random.default_rng(0), 60, 90, (0.8, 0.7))


def rank_auc(case, control, axis=-1):
    """AUC by counting all pairs, as a statistic for scipy's bootstrap."""
    pairs = np.sign(case[..., :, None] - control[..., None, :])
    return (pairs.mean((-1, -2)) + 1) / 2


def test_auc_is_scikit_learns_with_and_without_ties(study):
    true, (score, _) = study
    for values in (score, np.round(score), np.zeros(len(true))):
        assert classification.auc(true, values).value == pytest.approx(sk.roc_auc_score(true, values), abs=1e-12)


def test_delong_by_hand():
    """Cases 1 and 3, controls 0 and 2: parts 1/2 and 1 of cases, 1 and 1/2 of controls, variance 1/8 + 1/8 halved."""
    values, covariance, smaller = classification._binary_areas([1, 1, 0, 0], [1.0, 3.0, 0.0, 2.0])
    assert (*values, *covariance.ravel(), smaller) == pytest.approx((0.75, 0.125, 2))


def test_delong_agrees_with_the_bootstrap(study):
    true, both = study
    groups = [(both[i][true == 1], both[i][true == 0]) for i in (0, 1)]
    how = {"n_resamples": 2000, "batch": 100, "method": "BCa", "rng": np.random.default_rng(1)}
    boot = distributions.bootstrap(groups[0], rank_auc, **how).confidence_interval
    assert classification.auc(true, both[0])[1:3] == pytest.approx(tuple(boot), abs=0.012)

    def gap(chosen):
        return sk.roc_auc_score(true[chosen], both[0][chosen]) - sk.roc_auc_score(true[chosen], both[1][chosen])

    boot = estimates.bca(np.arange(len(true)), gap, np.random.default_rng(2), 400)
    assert classification.auc_difference(true, *both)[0][:3] == pytest.approx(boot[:3], abs=0.02)


def test_difference_knows_that_scores_are_of_the_same_patients(study):
    true, both = study
    paired, p = classification.auc_difference(true, *both)
    same, one = classification.auc_difference(true, both[0], both[0])
    alone = [classification.auc(true, score) for score in both]
    assert paired.upper - paired.lower < np.hypot(*(estimate.upper - estimate.lower for estimate in alone))
    assert (p < 0.05) == (paired.lower > 0) and same[:3] == (0, 0, 0) and one == 1
    other, p_other = classification.auc_difference(true, both[1], both[0])
    assert other[:3] == pytest.approx((-paired.value, -paired.upper, -paired.lower)) and p_other == pytest.approx(p)


def test_a_perfect_auc_has_an_interval():
    true = np.repeat([1, 0], [20, 50])
    best = classification.auc(true, true)
    assert best == pytest.approx((1.0, 0.025 ** (1 / 20), 1.0, 70))
    assert classification.auc(true, -true)[:3] == pytest.approx((0.0, 0.0, 1 - best.lower))
    assert np.isfinite(classification.auc(true, np.zeros(70))[:3]).all()
    score = true + np.random.default_rng(0).normal(size=70)
    gap, p = classification.auc_difference(true, true, score)
    assert gap.lower < gap.value < gap.upper and 0 < p < 1 and (p < 0.05) == (gap.lower > 0)
    assert np.isfinite(classification.auc_difference(true, true, -true)[0][:3]).all()


def test_the_end_for_a_perfect_auc_covers():
    """Normal scores whose AUC is that end are perfect no more often than 2.5 %: the bound is an honest one."""
    end, rng = 0.025 ** (1 / 10), np.random.default_rng(0)
    cases = rng.normal(np.sqrt(2) * distributions.norm.ppf(end), 1, (20000, 10))
    assert np.mean(cases.min(axis=1) > rng.normal(size=(20000, 40)).max(axis=1)) <= 0.025


def test_thresholds_do_what_they_promise(study):
    true, (score, _) = study
    for wanted in (0.5, 0.9, 0.95, 1.0):
        threshold = classification.threshold_for_sensitivity(true, score, wanted)
        above = score[score > threshold].min(initial=np.inf)
        assert classification.sensitivity(true, score >= threshold).value >= wanted
        assert classification.sensitivity(true, score >= above).value < wanted


def test_sensitivity_and_specificity_by_hand():
    true = np.repeat([1, 0], [10, 30])
    positive = np.concatenate([np.repeat([1, 0], [9, 1]), np.repeat([1, 0], [6, 24])])
    assert classification.sensitivity(true, positive) == estimates.proportion(9, 10)
    assert classification.specificity(true, positive) == estimates.proportion(24, 30)
    assert classification.sensitivity([1, 1], [True, False]).value == 0.5  # a group without controls


def test_mcc_and_macro_auc_are_scikit_learns():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, 150)
    named = np.array(["DCM", "HCM", "MINF", "NOR"])
    predicted = np.where(rng.random(150) < 0.6, true, rng.integers(0, 4, 150))
    estimate = classification.mcc(named[true], named[predicted], rng, 300)
    assert estimate.value == pytest.approx(sk.matthews_corrcoef(true, predicted))
    assert estimate.lower < estimate.value < estimate.upper and estimate.n == 150
    probability = rng.dirichlet(np.ones(4), 150) + 0.3 * np.eye(4)[true]
    probability /= probability.sum(axis=1, keepdims=True)
    macro = classification.macro_auc(true, probability)
    assert macro.value == pytest.approx(sk.roc_auc_score(true, probability, multi_class="ovr"))
    assert classification.mcc(true, np.zeros(150, int), rng, 50)[:3] == (0, 0, 0)


def test_macro_auc_of_two_classes_is_delongs():
    true, (score,) = scores(np.random.default_rng(3), 30, 50, (0.8,))
    both = classification.macro_auc(true, np.column_stack([-score, score]))
    assert both == pytest.approx(classification.auc(true, score))


def test_macro_auc_difference_of_two_classes_is_delongs_and_narrower_than_of_strangers():
    rng = np.random.default_rng(4)
    true, (one, two) = scores(rng, 30, 50, (0.8, 0.7))
    gap = classification.macro_auc_difference(true, *(np.column_stack([-score, score]) for score in (one, two)))
    assert gap == pytest.approx(classification.auc_difference(true, one, two)[0])
    true = rng.integers(0, 4, 150)
    first = rng.normal(size=(150, 4)) + 2 * np.eye(4)[true]
    second = first + 0.5 * rng.normal(size=first.shape)
    gap = classification.macro_auc_difference(true, first, second)
    drawn = [rng.integers(0, 150, 150) for _ in range(400)]
    again = [classification.macro_auc_difference(true[d], first[d], second[d]).value for d in drawn]
    assert gap.upper - gap.lower == pytest.approx(3.92 * np.std(again), rel=0.25)
    strangers = estimates.independent_difference(*(classification.macro_auc(true, model) for model in (first, second)))
    assert gap.upper - gap.lower < 0.7 * (strangers.upper - strangers.lower)


def test_mcc_interval_agrees_with_plain_resampling():
    rng = np.random.default_rng(1)
    true = rng.integers(0, 3, 120)
    predicted = np.where(rng.random(120) < 0.7, true, 0)
    drawn = rng.integers(0, 120, (600, 120))
    plain = np.quantile([sk.matthews_corrcoef(true[i], predicted[i]) for i in drawn], [0.025, 0.975])
    assert classification.mcc(true, predicted, rng, 1000)[1:3] == pytest.approx(tuple(plain), abs=0.02)


def test_calibration_is_logistic_regression_on_the_logit():
    rng = np.random.default_rng(0)
    logit = rng.normal(-1, 1.2, 300)
    probability = 1 / (1 + np.exp(-logit))
    true = (rng.random(300) < 1 / (1 + np.exp(-(0.4 + 0.8 * logit)))).astype(int)
    found = classification.calibration(true, probability, rng, 200)
    fit = sm.Logit(true, sm.add_constant(logit)).fit(disp=0)
    assert found["slope"][:3] == pytest.approx((fit.params[1], *fit.conf_int()[1]), rel=1e-5)
    shifted = 1 / (1 + np.exp(-(logit + found["intercept"].value)))
    assert shifted.mean() == pytest.approx(true.mean(), abs=1e-6)  # what calibration in the large means
    assert found["brier"].value == pytest.approx(sk.brier_score_loss(true, probability))
    apart = classification.calibration(true, 0.1 + 0.8 * true, rng, 200)
    assert np.isnan(apart["slope"].value) and np.isfinite(apart["intercept"].value)


def test_calibration_table_counts_everyone_once():
    rng = np.random.default_rng(0)
    probability = rng.random(203)
    table = classification.calibration_table(rng.random(203) < probability, probability, n_bins=4)
    assert list(table) == ["predicted", "observed", "lower", "upper", "n"] and table["n"].sum() == 203
    assert table["predicted"].is_monotonic_increasing and table["n"].max() - table["n"].min() <= 1
    assert ((table["lower"] <= table["predicted"]) & (table["predicted"] <= table["upper"])).sum() >= 3
