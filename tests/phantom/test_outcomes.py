"""Planted exposures and survival: prevalences, effects, ceilings in closed form, nulls that stay null."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from cinema.phantom import ceilings, cohort, outcomes, people

LOG = [f"log_{name}" for name in people.MEASURES]


@pytest.fixture(scope="module")
def table():
    rows = []
    for p in (cohort.person("population", i, 11) for i in range(4000)):
        logs = dict(zip(LOG, people.log_measures(p.heart, p.attributes["sex"])))
        rows.append(vars(p.heart) | p.attributes | p.truth | outcomes.imaging(p.heart, p.attributes) | logs)
    found = pd.DataFrame(rows)
    stroke = found["lv_edv_ml"] - found["lv_esv_ml"]
    return found.assign(lv_ef=100 * (1 - found["lv_esv_ml"] / found["lv_edv_ml"]), lv_sv=stroke)


def test_prevalence_natural_and_enriched(table):
    for name, share in {"diabetes": 0.30, "hypertension": 0.386, "cancer": 0.30, "null_exposure": 0.30}.items():
        assert abs(table[name].mean() - share) < 0.025, name
    rng = np.random.default_rng(0)
    who = [people.demographics(rng) for _ in range(20_000)]
    exposed = pd.DataFrame([p | outcomes.expose(rng, p) for p in who])
    assert abs(exposed["diabetes"].mean() - 0.036) < 0.005 and abs(exposed["hypertension"].mean() - 0.386) < 0.012
    bmi = exposed.groupby("diabetes")["bmi_kg_m2"].mean()
    assert abs((bmi[True] - bmi[False]) - 2.8) < 0.7  # published 28.5 against 25.7
    assert abs((exposed.loc[exposed["cancer"], "sex"] == "F").mean() - 0.67) < 0.05


def adjusted(table, measure, exposure):
    """Estimate and 99 % interval of an exposure's effect on a measure, covariates held."""
    import statsmodels.api as sm

    age, male = table["age_years"], table["sex"] == "M"
    covariates = table[list(outcomes.EXPOSURES)].assign(age=age, bmi=table["bmi_kg_m2"], male=male, age_male=age * male)
    covariates["height"] = np.log(table["height_cm"])
    fit = sm.OLS(table[measure], sm.add_constant(covariates.astype(float))).fit()
    return fit.params[exposure], *fit.conf_int(0.01).loc[exposure]


@pytest.mark.parametrize("exposure", outcomes.EXPOSURES)
def test_effects_are_recovered_through_blood_pressure_too(table, exposure):
    for measure, value in zip(LOG, outcomes.total_effect(exposure), strict=True):
        _, low, high = adjusted(table, measure, exposure)
        assert low < value < high, measure


def test_effects_have_their_published_size(table):
    _, low, high = adjusted(table.assign(log_sv=np.log(table["lv_sv"])), "log_sv", "diabetes")
    assert low < math.log(72 / 78) + 0.03 and high > math.log(72 / 78)  # pressure gives some of it back
    assert -1.2 < adjusted(table, "lv_ef", "cancer")[0] < -0.1
    assert adjusted(table, "lv_ef", "hypertension")[0] > 0 and adjusted(table, "log_lv_mass", "hypertension")[1] > 0


def test_null_exposure_does_nothing(table):
    assert np.all(outcomes.total_effect("null_exposure") == 0)
    assert all(outcomes.separation("null_exposure", sex) == 0 for sex in people.SEXES)
    columns = ["age_years", "bmi_kg_m2", "sbp_mmhg", "lv_ef", "log_lv_mass", "log_la", "followup_years", "log_hazard"]
    null = table["null_exposure"]
    p = [stats.ttest_ind(table.loc[null, c], table.loc[~null, c]).pvalue for c in columns]
    assert min(p) > 0.05 / len(columns)


@pytest.mark.parametrize("d", [0.0, 0.1, 0.4, 0.8])
def test_auc_of_a_shifted_marker_is_the_closed_form(d):
    rng = np.random.default_rng(1)
    score = np.r_[rng.normal(0, 1, 20_000), rng.normal(d, 1, 20_000)]
    assert abs(roc_auc_score(np.repeat([0, 1], 20_000), score) - outcomes.auc_of_separation(d)) < 0.008


def test_ceilings_agree_with_closed_form_and_order(table):
    found = ceilings.exposure_ceilings(table.to_dict("records"))
    for name, auc in found.items():
        assert abs(auc["heart"] - auc["heart_closed_form"]) < 0.025, name
        assert auc["both"] > max(auc["heart"], auc["covariates"]) - 0.01
    assert found["null_exposure"] == {"heart_closed_form": 0.5, "covariates": 0.5, "heart": 0.5, "both": 0.5}
    assert all(0.53 < found[name]["heart_closed_form"] < 0.66 for name in ("diabetes", "hypertension", "cancer"))


@pytest.mark.parametrize("hazard_ratio, c_index", [(1.11, 0.529), (1.14, 0.537), (0.85, 0.546), (0.61, 0.630)])
def test_c_index_of_one_marker_is_the_published_calculation(hazard_ratio, c_index):
    assert abs(outcomes.c_index_of_spread(abs(math.log(hazard_ratio))) - c_index) < 0.001


def test_c_index_closed_form_agrees_with_simulation():
    from lifelines.utils import concordance_index

    rng = np.random.default_rng(2)
    hazard = rng.normal(0, 0.84, 20_000)
    time = rng.exponential(np.exp(-hazard))
    assert abs(concordance_index(time, -hazard) - outcomes.c_index_of_spread(0.84)) < 0.005


def test_cox_recovers_the_planted_hazard_ratios(table):
    from lifelines import CoxPHFitter

    z = pd.DataFrame([outcomes.standardised(p) for p in table.to_dict("records")])[["age", "male"]]
    for name, (mean, sd) in outcomes.SCALE.items():
        z["low_shortening" if name == "shortening" else name] = (table[name] - mean) / sd
    z["low_shortening"] *= -1
    fit = CoxPHFitter(alpha=0.01).fit(z.assign(time=table["followup_years"], death=table["death"]), "time", "death")
    for name, ratio in outcomes.HAZARD_RATIOS.items():
        low, high = fit.confidence_intervals_.loc[name]
        assert low < math.log(ratio) < high, name


def test_scales_are_those_of_the_population(table):
    for name, (mean, sd) in outcomes.SCALE.items():
        assert abs(table[name].mean() - mean) < 0.15 * sd and abs(table[name].std() / sd - 1) < 0.08, name
    assert abs(table["log_hazard"].std() - 0.84) < 0.06


def test_follow_up_and_deaths():
    rng = np.random.default_rng(3)
    hazards = rng.normal(0, 0.84, 4000)
    seen = pd.DataFrame([outcomes.survive(rng, h) for h in hazards])
    np.testing.assert_allclose(seen["followup_years"].quantile([0.25, 0.5, 0.75]), [3.6, 4.4, 5.9], atol=0.25)
    assert 0.01 < seen["death"].mean() < 0.035 and seen["followup_years"].min() > 0
    enriched = pd.DataFrame([outcomes.survive(rng, h, 0.25) for h in hazards])
    assert abs(enriched["death"].mean() - 0.25) < 0.03


def test_survival_ceilings_leave_little_to_imaging(table):
    found = ceilings.survival_ceilings(table.to_dict("records"))
    assert found["age_sex"]["c_index"] < found["all"]["c_index"] < 0.76
    assert found["all"]["c_index"] - found["age_sex"]["c_index"] < 0.05
