"""How well a score tells who dies sooner: concordance, AUC at a horizon, curves, calibration.

Scores, higher for higher risk, must come from a model that had not seen the patient (cox.cross_fitted). Intervals then
describe other patients of the same kind under the same model; that another training set gives another model they do
not show.
"""

import math
from contextlib import suppress

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm

from cinema.analysis.cox import Z, fit, followed, outcome, standardised
from cinema.stats import checks
from cinema.stats.estimates import LEVEL, Estimate, around, holm, proportion, without_interval

PAIRS_AT_ONCE = 4_000_000  # of patients compared in one array


def c_index(time, event, score, strata=None):
    """Harrell's C: the share of comparable pairs in which the patient who died sooner has the higher score.

    A pair is comparable if one is known to have died before the other died or was lost. Equal scores count half.
    strata: (n,) labels; only pairs of the same stratum are compared (same age and sex: what the score knows beyond).
    Interval: jackknife over patients on the logit scale. Perfect order gives it no width; Wilson's for as many
    trials as deaths is given then.
    """
    time, event, score = outcome(time, event, score)
    value, left_out = _ratio(*_pairs(time, event, score, strata))
    if not 0 < value < 1:
        return Estimate(value, *proportion(value * event.sum(), event.sum())[1:3], len(time))
    return around(logit(value), Z * jackknife_se(logit(left_out)), len(time), expit)._replace(value=value)


def c_index_difference(time, event, first, second, level=LEVEL):
    """C of `first` minus C of `second` on the same patients; the jackknife over patients keeps the pairing."""
    time, event, first, second = outcome(time, event, first, second)
    (value_1, left_out_1), (value_2, left_out_2) = (_ratio(*_pairs(time, event, s)) for s in (first, second))
    reach = norm.isf((1 - level) / 2) * jackknife_se(left_out_1 - left_out_2)
    return around(value_1 - value_2, reach, len(time))


def _pairs(time, event, score, strata=None):
    """Per patient: pairs won (concordant, ties half) and comparable pairs that the patient is part of, (n,) each."""
    won, pairs, died = np.zeros(len(time)), np.zeros(len(time)), np.flatnonzero(event)
    strata = None if strata is None else checks.group_numbers(strata)
    for some in np.array_split(died, -(-len(died) * len(time) // PAIRS_AT_ONCE)):
        usable = (time[some, None] < time) | ((time[some, None] == time) & ~event)
        if strata is not None:
            usable &= strata[some, None] == strata
        gap = np.sign(score[some, None] - score)
        ahead = np.where(usable, (gap + 1) / 2, 0)
        won += ahead.sum(axis=0)
        pairs += usable.sum(axis=0)
        won[some] += ahead.sum(axis=1)
        pairs[some] += usable.sum(axis=1)
    return won, pairs


def _ratio(won, pairs):
    """C of all patients, and C without each."""
    if np.any(pairs.sum() / 2 - pairs <= 0):
        raise ValueError("one patient is part of all comparable pairs; C has no interval, follow more patients longer")
    return float(won.sum() / pairs.sum()), (won.sum() / 2 - won) / (pairs.sum() / 2 - pairs)


def jackknife_se(left_out):
    """Standard error of a statistic from its values without each patient."""
    n = len(left_out)
    return math.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2))


def auc_at(time, event, score, horizon):
    """AUC between those dead by `horizon` (years) and those alive then (cumulative/dynamic).

    Patients lost before are neither; the dead are weighted by 1 / P(not lost before their death), from the
    Kaplan-Meier curve of being lost, so that losses at random do not bias the result.
    Interval: from each patient's influence, the part through the weights included, on the logit scale.
    Source: Uno 2007; Hung and Chiang 2010; variance in the manner of Blanche 2013.
    """
    time, event, score = outcome(time, event, score)
    dead, alive = np.flatnonzero(event & (time <= horizon)), np.flatnonzero(time > horizon)
    if min(len(dead), len(alive)) < 2:
        raise ValueError(f"{len(dead)} dead and {len(alive)} alive at {horizon} years; choose another horizon")
    kept, change = _not_lost(time, event, time[dead])
    weight = 1 / kept
    ahead = (np.sign(score[dead, None] - score[alive]) + 1) / 2
    value = float(weight @ ahead.mean(axis=1) / weight.sum())
    if not 0 < value < 1:
        return Estimate(value, *proportion(value * len(dead), len(dead))[1:3], len(time))
    gain = weight[:, None] * (ahead - value)
    influence = -gain.sum(axis=1) @ change
    influence[dead] += gain.sum(axis=1)
    influence[alive] += gain.sum(axis=0)
    influence *= math.sqrt(len(time) / (len(time) - 1)) / (weight.sum() * len(alive))
    reach = Z * math.sqrt(influence @ influence) / (value * (1 - value))
    return around(logit(value), reach, len(time), expit)._replace(value=value)


def _not_lost(time, event, at):
    """P(not lost before t) for each t of `at`, and the derivative of its log to each patient's weight, (at, n)."""
    moments, lost = np.unique(time[~event], return_counts=True)
    if not len(moments):
        return np.ones(len(at)), np.zeros((len(at), len(time)))
    ordered, deaths = np.sort(time), np.sort(time[event])
    watched = len(time) - np.searchsorted(ordered, moments)
    watched -= np.searchsorted(deaths, moments, "right") - np.searchsorted(deaths, moments)  # dead at once are not lost
    left = np.maximum(watched - lost, 0.5)  # when the last is lost nobody dies later: never used
    step = np.concatenate([[0], np.cumsum(np.log(left / watched))])
    growth = np.concatenate([[0], np.cumsum(lost / (watched * left))])
    before = np.searchsorted(moments, at)  # lost strictly before `at`
    seen = np.searchsorted(moments, time, "right")  # ... while the patient was watched
    change = growth[np.minimum(before[:, None], seen)]
    own = np.zeros(len(time))
    own[~event] = 1 / left[seen[~event] - 1]
    return np.exp(step[before]), change - own * (time < at[:, None])


def kaplan_meier(time, event, horizons):
    """Survival at each of `horizons` (years): table with time, survival, lower, upper (log-log), at_risk."""
    from lifelines import KaplanMeierFitter

    (time, event), horizons = followed(time, event), checks.numbers(horizons, "horizons")
    if not len(time) or (horizons < 0).any():
        raise ValueError(
            f"{len(time)} patients, horizons from {horizons.min():g} years; give patients, and years from 0"
        )
    curve = KaplanMeierFitter(alpha=1 - LEVEL).fit(time, event)
    at = np.searchsorted(curve.survival_function_.index, horizons, "right") - 1
    lower, upper = curve.confidence_interval_.to_numpy()[at].T
    survival = curve.survival_function_.to_numpy()[at, 0]
    at_risk = len(time) - np.searchsorted(np.sort(time), horizons)
    return pd.DataFrame({"time": horizons, "survival": survival, "lower": lower, "upper": upper, "at_risk": at_risk})


def log_rank(time, event, group):
    """p of no difference in survival between groups."""
    from lifelines.statistics import multivariate_logrank_test

    (time, event), group = outcome(time, event), checks.group_numbers(group, "groups")
    if len(group) != len(time) or not group.any():
        raise ValueError(
            f"{len(time)} patients in {len(set(group))} groups; give each of them one of two or more groups"
        )
    return float(multivariate_logrank_test(time, group, event).p_value)


def calibration_table(time, event, risk, horizon, n_bins=5):
    """Equal groups by predicted `risk` of death by `horizon`: predicted (mean), observed (1 - Kaplan-Meier), lower,
    upper, n. Where nobody died by then, `upper` is Wilson's for those still watched."""
    time, event, risk = outcome(time, event, checks.shares(risk, "risks"))
    rows = []
    for some in np.array_split(np.argsort(risk, kind="stable"), n_bins):
        survival, lower, upper, at_risk = kaplan_meier(time[some], event[some], [horizon]).iloc[0, 1:]
        most = 1 - lower if survival < 1 else proportion(0, max(at_risk, 1)).upper
        rows.append((risk[some].mean(), 1 - survival, 1 - upper, most, len(some)))
    return pd.DataFrame(rows, columns=["predicted", "observed", "lower", "upper", "n"])


def calibration(time, event, risk, horizon):
    """{"slope", "ratio"} of predicted `risk` of death by `horizon`, both 1 if perfect, each an Estimate.

    slope: Cox coefficient, up to the horizon, of log(-log(1 - risk)); below 1, predictions are too extreme. NaN where
    all risks are the same or put the dead in perfect order, as it then has no value or no bound.
    ratio: observed (1 - Kaplan-Meier) over mean predicted risk; interval on the log scale, Greenwood's variance, the
    predictions taken as given.
    """
    time, event, risk = outcome(time, event, np.clip(checks.shares(risk, "risks"), 1e-9, 1 - 1e-9))
    seen, slope = outcome(np.minimum(time, horizon), event & (time <= horizon)), without_interval(math.nan, len(time))
    with suppress(ValueError):  # of a slope that does not exist
        fitted = fit(*seen, np.log(-np.log1p(-risk))[:, None])
        slope = around(fitted.beta[0], Z * math.sqrt(fitted.covariance[0, 0]), len(time))
    survival, se = _survival(time, event, horizon)
    ratio, width = (1 - survival) / risk.mean(), math.exp(Z * se / (1 - survival))
    return {"slope": slope, "ratio": Estimate(*map(float, (ratio, ratio / width, ratio * width)), len(time))}


def _survival(time, event, horizon):
    """Kaplan-Meier survival at `horizon` and its standard error by Greenwood."""
    moments, deaths = np.unique(time[event & (time <= horizon)], return_counts=True)
    watched = len(time) - np.searchsorted(np.sort(time), moments)
    survival = np.prod(1 - deaths / watched)
    return survival, survival * math.sqrt(np.sum(deaths / (watched * np.maximum(watched - deaths, 0.5))))


def proportional_hazards(time, event, table):
    """Does each column's hazard ratio stay the same over follow-up? Rows: column, statistic, p, p_holm.
    Score test of scaled Schoenfeld residuals against ranked time (lifelines), corrected by Holm over the columns."""
    from lifelines import CoxPHFitter
    from lifelines.statistics import proportional_hazard_test

    time, event, columns = outcome(time, event, table)
    scaled = pd.DataFrame(standardised(columns, columns), columns=list(table))
    fit(time, event, scaled)  # refuses what has no estimate
    data = scaled.assign(_time=time, _event=event)
    test = proportional_hazard_test(CoxPHFitter().fit(data, "_time", "_event"), data, time_transform="rank")
    statistic, p = np.atleast_1d(test.test_statistic), np.atleast_1d(test.p_value)
    return pd.DataFrame({"column": list(table), "statistic": statistic, "p": p, "p_holm": holm(p)})
