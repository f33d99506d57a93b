"""Exposure scores: against scikit-learn, no leak through the folds, levels of the tests, planted effects, ceilings."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression

from cinema.analysis import systemic
from cinema.phantom import ceilings, cohort, outcomes, people
from cinema.stats import classification

N_PEOPLE = 12_000


@pytest.fixture(scope="module")
def population():
    """Attributes, oracle scores and log measures of many people, without images."""
    persons = [cohort.person("population", index, 11) for index in range(N_PEOPLE)]
    table = pd.DataFrame([one.attributes | one.truth for one in persons])
    measures = np.array([people.log_measures(one.heart, one.attributes["sex"]) for one in persons])
    covariates = np.column_stack([table["age_years"], table["sex"] == "M", table["bmi_kg_m2"]]).astype(float)
    return table, measures, covariates


def forward(true, fold, free, wide):
    return systemic.scores(true, systemic.forward_parts(fold, free, wide))


def test_fit_is_penalised_logistic_regression():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(300, 6)), rng.random(300)
    true = (noise < 1 / (1 + np.exp(-x[:, 0] + 1))).astype(int)
    theirs = LogisticRegression(C=1 / 20, tol=1e-10, max_iter=1000).fit(x, true)
    beta, _ = systemic.fit(true, x, np.array([0.0] + [20.0] * 6))
    np.testing.assert_allclose(beta, [*theirs.intercept_, *theirs.coef_[0]], atol=1e-4)


def test_approximate_leave_one_out_chooses_as_the_exact_one():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 8))
    true = (rng.random(80) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    loss = []
    for penalty in systemic.PENALTIES:
        each = np.array([systemic.SLIGHT] + [penalty] * 8)
        odds = [np.r_[1, x[i]] @ systemic.fit(np.delete(true, i), np.delete(x, i, 0), each)[0] for i in range(80)]
        loss.append(np.logaddexp(0, np.where(true > 0, -1, 1) * odds).mean())
    best = np.array([systemic.SLIGHT] + [systemic.PENALTIES[int(np.argmin(loss))]] * 8)
    np.testing.assert_allclose(systemic.choose(true, x), systemic.fit(true, x, best)[0], atol=1e-3)


@pytest.mark.parametrize("make", [systemic.cross_parts, systemic.forward_parts])
def test_nothing_of_the_scored_patients_reaches_their_model(make):
    """Labels and columns of a fold are replaced by nonsense: that fold's models, and those before it, do not notice."""
    rng = np.random.default_rng(2)
    wide, free, true = rng.normal(size=(120, 150)), rng.normal(size=(120, 2)), rng.integers(0, 2, 120)
    fold = systemic.folds(120, rng, 4)
    last = fold == 3
    spoilt_wide, spoilt_true = wide.copy(), true.copy()
    spoilt_wide[last], spoilt_true[last] = 1e3 * rng.normal(size=(last.sum(), 150)), 1 - true[last]
    part, spoilt = make(fold, free, wide, 10)[-1], make(fold, free, spoilt_wide, 10)[-1]
    train, test, columns = part[:3]
    assert set(test) == set(np.flatnonzero(last)) and not set(test) & set(train)
    np.testing.assert_array_equal(columns, spoilt[2])
    before = systemic.scores(true, make(fold, free, wide, 10)).score
    np.testing.assert_array_equal(before[last], systemic.scores(spoilt_true, make(fold, free, wide, 10)).score[last])
    if make is systemic.forward_parts:
        after = systemic.scores(spoilt_true, make(fold, free, spoilt_wide, 10)).score
        np.testing.assert_array_equal(before[~last], after[~last])  # the future is not known


@pytest.fixture(scope="module")
def null_cohorts(population):
    """Share of 1,000 cohorts of 300 people, with their covariates and measures but labels of chance, flagged."""
    table, measures, covariates = population
    flagged = {"cross": 0, "forward": 0, "odds": 0, "gain": 0}
    for simulation in range(1000):
        rng = np.random.default_rng(simulation)
        chosen = rng.choice(N_PEOPLE, 300, replace=False)
        true, wide, free = (rng.random(300) < 0.3).astype(int), measures[chosen], covariates[chosen]
        fold = systemic.folds(300, rng)
        cross = systemic.scores(true, systemic.cross_parts(fold, None, wide)).score
        joint = forward(true, fold, free, wide)
        image, alone, both = forward(true, fold, None, wide).score, forward(true, fold, free, None).score, joint.score
        known = np.isfinite(image)
        flagged["cross"] += _misses_half(classification.auc(true, cross))
        flagged["forward"] += _misses_half(classification.auc(true[known], image[known]))
        flagged["odds"] += systemic.added(true, joint.wide, free)[1] < 0.05
        flagged["gain"] += classification.auc_difference(true[known], both[known], alone[known])[1] < 0.05
    return {name: count / 1000 for name, count in flagged.items()}


@pytest.mark.slow
def test_type_1_error_of_forward_fitted_tests(null_cohorts):
    assert 0.03 <= null_cohorts["forward"] <= 0.07
    assert 0.03 <= null_cohorts["odds"] <= 0.07


def test_the_difference_of_aucs_is_no_false_alarm_and_cross_fitting_counts_coincidences_twice(null_cohorts):
    assert null_cohorts["gain"] <= 0.07  # nested models: it may be cautious
    assert null_cohorts["cross"] > 0.08  # why tests are forward-fitted


def test_choosing_columns_before_the_folds_is_caught():
    """A leak: the columns with the largest group difference are chosen with the labels of everybody."""
    flagged = 0
    for simulation in range(60):
        rng = np.random.default_rng(simulation)
        true, wide = rng.integers(0, 2, 150), rng.normal(size=(150, 300))
        gap = np.abs(wide[true == 1].mean(0) - wide[true == 0].mean(0))
        score = forward(true, systemic.folds(150, rng), None, wide[:, np.argsort(-gap)[:10]]).score
        known = np.isfinite(score)
        flagged += _misses_half(classification.auc(true[known], score[known]))
    assert flagged / 60 > 0.5


@pytest.mark.parametrize("name", outcomes.EXPOSURES)
def test_planted_effects_are_recovered(population, name):
    """Log measures of cases minus controls at equal covariates and other exposures, against what is planted."""
    table, measures, covariates = population
    others = np.column_stack([table[other].astype(float) for other in outcomes.EXPOSURES if other != name])
    known = np.column_stack([covariates, table["height_cm"], others])
    planted, misses = outcomes.total_effect(name), 0
    for sex in people.SEXES:
        rows = (table["sex"] == sex).to_numpy()
        known_here = np.delete(known[rows], 1, axis=1)
        x = sm.add_constant(np.column_stack([table[name][rows].astype(float), known_here]), has_constant="add")
        for values, shift in zip(measures[rows].T, planted):
            fit = sm.OLS(values, x).fit()
            misses += abs(fit.params[1] - shift) > 3.3 * fit.bse[1]
    assert misses == 0


@pytest.mark.parametrize("name", outcomes.EXPOSURES)
def test_oracle_scores_reach_the_ceiling(population, name):
    table, _, _ = population
    rows = [cohort.person("population", i, 77) for i in range(4000)]
    ceiling = ceilings.exposure_ceilings([one.attributes | one.truth for one in rows])[name]
    true = table[name].to_numpy(int)
    covariate, heart = (table[f"{kind}_score_{name}"].to_numpy() for kind in ("covariate", "heart"))
    for kind, score in (("covariates", covariate), ("heart", heart), ("both", covariate + heart)):
        estimate = classification.auc(true, score)
        assert abs(estimate.value - ceiling[kind]) < 0.035, kind  # 3 SE of the ceiling's own sample
    assert abs(ceiling["heart"] - ceiling["heart_closed_form"]) < 0.035


@pytest.mark.parametrize("name", ["diabetes", "hypertension"])
def test_exact_measures_add_to_covariates_and_do_not_pass_the_ceiling(population, name):
    table, measures, covariates = population
    true = table[name].to_numpy(int)
    oracle = (table[f"covariate_score_{name}"] + table[f"heart_score_{name}"]).to_numpy()
    fold = systemic.folds(N_PEOPLE, np.random.default_rng(0))
    wide = np.column_stack([measures, table["height_cm"]])
    joint, alone = forward(true, fold, covariates, wide), forward(true, fold, covariates, None).score
    both, known = joint.score, np.isfinite(joint.score)
    assert systemic.added(true, joint.wide, covariates)[0].lower > 1
    gain, p = classification.auc_difference(true[known], both[known], alone[known])
    short, _ = classification.auc_difference(true[known], both[known], oracle[known])
    assert gain.lower > 0 and p < 0.001
    assert -0.03 < short.value and short.lower < 0


def test_like_with_like():
    """A score that is the covariate and nothing else: high unadjusted, none within strata, matched or added."""
    rng = np.random.default_rng(3)
    age = rng.normal(size=6000)
    true = (rng.random(6000) < 1 / (1 + np.exp(1 - age))).astype(int)
    score = age + 0.5 * rng.normal(size=6000)
    within = systemic.auc_within(true, score, systemic.strata(age, 200))
    cases, controls = systemic.matched(true, np.zeros(6000), age[:, None], rng, caliper=0.02)
    both = np.concatenate([cases, controls])
    assert classification.auc(true, score).lower > 0.65
    assert within.lower <= 0.5 <= within.upper
    assert not set(cases) & set(controls) and len(set(controls)) == len(controls) > 500
    assert np.abs(age[cases] - age[controls]).max() <= 0.02 * age.std() + 1e-12
    matched = classification.auc(true[both], score[both])
    assert matched.lower <= 0.5 <= matched.upper
    odds, p = systemic.added(true, score, age[:, None])
    assert odds.lower <= 1 <= odds.upper and p > 0.05


def test_auc_of_one_stratum_is_the_auc():
    rng = np.random.default_rng(4)
    true, score = rng.integers(0, 2, 90), rng.normal(size=90)
    assert systemic.auc_within(true, score, np.zeros(90)) == pytest.approx(classification.auc(true, score), abs=1e-9)
    with pytest.raises(ValueError, match="wider strata"):
        systemic.auc_within(true, score, np.arange(90))


def test_differences_in_sd():
    rng = np.random.default_rng(5)
    true, other = rng.integers(0, 2, 20_000), rng.normal(size=20_000)
    values = 0.4 * true + other + rng.normal(size=20_000)
    raw, adjusted = (systemic.difference_sd(true, values, *c) for c in ((), (other[:, None],)))
    assert raw.lower < 0.4 / np.sqrt(2) < raw.upper
    assert adjusted.lower < 0.4 < adjusted.upper


def test_risks_at_another_prevalence():
    rng = np.random.default_rng(6)
    x = rng.normal(size=200_000)
    risk = 1 / (1 + np.exp(3.5 - x))
    true, share = rng.random(200_000) < risk, 0.3
    kept = true | (rng.random(200_000) < (1 - share) / share * true.sum() / (~true).sum())
    beta, _ = systemic.fit(true[kept].astype(float), x[kept, None])
    found = systemic.at_prevalence(1 / (1 + np.exp(-beta[0] - beta[1] * x)), true[kept].mean(), true.mean())
    np.testing.assert_allclose(found.mean(), true.mean(), rtol=0.03)
    np.testing.assert_allclose(found, risk, atol=0.05)


def _misses_half(estimate):
    return not estimate.lower <= 0.5 <= estimate.upper
