"""Estimates that do not exist are refused: separation, groups without deaths, constant and collinear columns.

Whether a maximum exists is decided here by trying every direction, of small whole numbers, that could raise the
likelihood for ever: with columns of whole numbers below 3, one of these is among them if there is any.
"""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter

from cinema.analysis import cox, survival, systemic
from cinema.stats import checks

LATTICE = np.array([d for d in product(range(-2, 3), repeat=2) if any(d)])
N = 300
rng = np.random.default_rng(0)
x, time = rng.normal(size=(N, 2)), rng.exponential(5, N)
dead, group = rng.random(N) < 0.5, rng.random(N) < 0.05
spared = dead & ~group  # nobody of the small group dies


def exists(gains):
    """Whether a likelihood with these comparisons (m, p) has one finite maximum, by trying the LATTICE."""
    along = gains @ LATTICE.T
    return not (((along >= 0).all(axis=0) & (along > 0).any(axis=0)) | (along == 0).all(axis=0)).any()


def told(fit, *given):
    try:
        fit(*given)
    except ValueError as error:
        assert "no finite" in str(error) and "\n" not in str(error)
        return False
    return True


def test_small_cox_data_are_refused_where_and_only_where_no_maximum_exists():
    found = []
    for seed in range(400):
        draw = np.random.default_rng(seed)
        z, t, e = draw.integers(0, 3, (9, 2)), draw.integers(1, 7, 9).astype(float), draw.random(9) < 0.6
        if e.sum() > 1:
            pairs = np.vstack([z[i] - z[t >= t[i]] for i in np.flatnonzero(e)])
            found.append((exists(pairs), told(cox.fit, t, e, z)))
    assert all(one == other for one, other in found) and 0.1 < np.mean(found) < 0.95


def test_small_logistic_data_are_refused_where_and_only_where_no_maximum_exists():
    found = []
    for seed in range(400):
        draw = np.random.default_rng(seed)
        z, y = draw.integers(0, 3, 7), draw.integers(0, 2, 7)
        gains = np.where(y > 0, 1, -1)[:, None] * np.c_[np.ones(7), z]
        found.append((exists(gains), told(systemic.fit, y, z[:, None])))
    assert all(one == other for one, other in found) and 0.1 < np.mean(found) < 0.95


ABSENT = {  # name of what has no estimate -> (event, columns, words)
    "a group without deaths": (spared, {"age": x[:, 0], "small": group * 1.0}, "small separates"),
    "perfect order": (dead, {"age": x[:, 0], "order": -time}, "order separates"),
    "perfect order of a mix": (dead, {"a": x[:, 0] - time, "b": x[:, 0]}, "a mix of a, b separates"),
    "a constant": (dead, {"age": x[:, 0], "site": np.full(N, 0.1)}, "collinear: site;"),
    "the same twice": (dead, {"age": x[:, 0], "born": 1960 - 3 * x[:, 0], "bmi": x[:, 1]}, "collinear: age, born;"),
    "dummies of all groups": (dead, {"F": group * 1.0, "M": ~group * 1.0}, "collinear: F, M;"),
    "known of the early lost only": (dead & (time > 1), {"a": x[:, 0], "b": np.where(time < 1, x[:, 1], 0)}, "b;"),
}


@pytest.mark.parametrize("event, columns, words", ABSENT.values(), ids=ABSENT)
def test_what_has_no_estimate_is_refused_with_its_name_and_exists_once_penalised(event, columns, words):
    table = pd.DataFrame(columns)
    for call in (cox.hazard_ratios, survival.proportional_hazards, cox.fit):
        with pytest.raises(ValueError, match=words) as error:
            call(time, event, table)
        assert "\n" not in str(error.value)
    scaled = pd.DataFrame(cox.standardised(table, table), columns=table.columns).drop(columns="site", errors="ignore")
    scaled = scaled / scaled.std()
    theirs = CoxPHFitter(penalizer=0.1).fit(scaled.assign(time=time, event=event), "time", "event")
    np.testing.assert_allclose(cox.fit(time, event, scaled, 0.1).beta, theirs.params_, atol=1e-3)


@pytest.mark.parametrize("event, columns, words", ABSENT.values(), ids=ABSENT)
def test_scores_that_need_such_an_estimate_are_refused(event, columns, words):
    table = pd.DataFrame(columns)
    with pytest.raises(ValueError, match="no finite Cox estimate"):
        cox.added_value(time, event, table.iloc[:, :-1], table.iloc[:, -1])


def test_the_penalised_estimate_of_a_group_without_deaths_grows_as_the_penalty_goes():
    """Why there is none: without a bound on the penalty there is none on the estimate; of a sound column there is."""
    z = np.c_[x[:, 0], group]
    betas = np.array([cox.fit(time, spared, z, 10.0**-k).beta for k in (2, 4, 6)])
    assert (np.diff(betas[:, 1]) < -1.5).all() and abs(betas[1, 0] - betas[2, 0]) < 0.01


@pytest.mark.parametrize("size", (30, 300))
def test_sound_data_are_fitted_bit_for_bit_as_without_the_check(size, monkeypatch):
    t, e, z = time[:size], dead[:size], np.c_[x, group][:size]
    checked = cox.fit(t, e, z)
    for name in ("columns_differ", "outcomes_overlap"):
        monkeypatch.setattr(checks, name, lambda *given: None)
    for one, other in zip(checked, cox.fit(t, e, z), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nearly_separated_data_have_an_estimate_and_it_is_lifelines():
    """One death in the small group: a wide interval, but an estimate."""
    event = spared.copy()
    event[np.flatnonzero(group)[0]] = True
    table = pd.DataFrame({"age": x[:, 0], "small": group * 1.0})
    theirs = CoxPHFitter().fit(table.assign(time=time, event=event), "time", "event")
    for name, (value, lower, upper, _) in cox.hazard_ratios(time, event, table).items():
        assert math.log(value) == pytest.approx(theirs.params_[name], abs=1e-3)
        assert math.log(upper / lower) / 2 == pytest.approx(cox.Z * theirs.standard_errors_[name], rel=1e-2)


def test_calibration_of_one_risk_for_all_has_a_ratio_and_no_slope():
    found = survival.calibration(time, dead, np.full(N, 0.3), 4.0)
    observed = 1 - survival.kaplan_meier(time, dead, [4.0])["survival"][0]
    assert found["ratio"].value == pytest.approx(observed / 0.3) and np.isnan(found["slope"]).tolist()[:3] == [True] * 3
    assert "no estimate exists" in found["slope"].text()


CASE = x[:, 0] + rng.normal(size=N) > 0
ODDS = {"constant": np.ones(N), "collinear": 2 * x[:, 0] - x[:, 1], "separating": np.where(CASE, 1, 0) + 0.1 * x[:, 1]}


@pytest.mark.parametrize("score", ODDS.values(), ids=ODDS)
def test_odds_ratios_that_do_not_exist_are_refused(score):
    with pytest.raises(ValueError, match="no finite logistic estimate"):
        systemic.added(CASE, score, x)
    assert systemic.added(CASE, score + rng.normal(size=N), x)[0].upper < 10  # with noise of its own it has one


def test_differences_at_equal_covariates_need_covariates_that_differ():
    with pytest.raises(ValueError, match="collinear"):
        systemic.difference_sd(CASE, x[:, 0], np.c_[x[:, 1], CASE])
