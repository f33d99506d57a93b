"""Proportional hazards: a fast ridge Cox model, risk scores that are cross-fitted, what a score adds, and its check.

Fitting is our own because choosing a penalty inside every fold takes hundreds of fits (a few milliseconds each); it
agrees with lifelines (tests/analysis/test_survival.py), which does the check of proportional hazards.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2, norm
from sklearn.decomposition import PCA

from cinema.stats import checks
from cinema.stats.estimates import LEVEL, Estimate, around

PENALTIES = tuple(10.0 ** np.arange(-3, 1.1, 0.5))
Z = float(norm.ppf((1 + LEVEL) / 2))


def followed(time, event, *columns, missing=False):
    """(time, event, *columns) as arrays, one entry a patient, checked: equal lengths, times from zero, finite numbers.
    time: years until death or until last seen; event: whether it was death, 0 or 1. columns: or None. missing: whether
    NaN may be among them."""
    time, event = checks.numbers(time, "times"), checks.yes_no(event, "event")
    columns = [c if c is None else checks.numbers(c, "scores or columns", missing) for c in columns]
    lengths = {len(column) for column in (time, event, *columns) if column is not None}
    if len(lengths) > 1 or time.ndim != 1 or event.ndim != 1:
        raise ValueError(f"columns of {sorted(lengths)} patients; all need the same patients in order")
    if not np.all(time >= 0):
        raise ValueError(f"times must not be negative; {checks.REMEDY}")
    return time, event, *columns


def outcome(time, event, *columns, missing=False):
    """`followed`, with at least two deaths, none at time zero."""
    time, event, *columns = followed(time, event, *columns, missing=missing)
    if not np.all(time > 0):
        raise ValueError(f"times must be above zero; {checks.REMEDY}")
    if event.sum() < 2:
        raise ValueError(f"{event.sum()} deaths among {len(event)} patients; at least 2 are needed, follow longer")
    return time, event, *columns


class Fit(NamedTuple):
    """beta (p,), covariance (p, p), log partial likelihood, and the baseline: cumulative hazard at sorted times."""

    beta: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    times: np.ndarray
    hazard: np.ndarray

    def risk(self, score, horizon):
        """Predicted risk of death by `horizon` of patients with this score (columns @ beta)."""
        at = np.searchsorted(self.times, horizon, "right")
        return -np.expm1(-(self.hazard[at - 1] if at else 0.0) * np.exp(score))


def fit(time, event, columns, penalty=0.0, start=None):
    """Cox regression by Newton's method, ties as Breslow.

    columns: (n, p). penalty: number or (p,), of n / 2 * penalty * beta^2 (as lifelines' penalizer on these columns).
    Raises ValueError if there is no finite estimate: columns that are not penalised and separate the dead from those
    who lived on (a group without deaths does), are constant or follow from each other.
    """
    time, event, x = outcome(time, event, columns)
    names = np.array(getattr(columns, "columns", [f"column {k}" for k in range(x.shape[1])]), object)
    order = np.argsort(-time, kind="stable")
    time, event, x = time[order], event[order], x[order]
    first, last = np.searchsorted(-time, -time), np.searchsorted(-time, -time, "right") - 1
    rows, cost = last[event], len(time) * np.broadcast_to(np.asarray(penalty, float), x.shape[1])
    free = cost == 0
    gains = _comparisons(time, event, x[:, free]), "Cox", names[free]
    checks.columns_differ(*gains)
    beta, step, best = np.zeros(x.shape[1]) if start is None else start, 0.0, -np.inf
    for _ in range(100):
        hazard_ratio = np.exp(np.minimum(x @ (beta + step), 500))
        watched = np.cumsum(hazard_ratio)[rows]
        likelihood = float((x[event] @ (beta + step)).sum() - np.log(watched).sum())
        goal = likelihood - (cost * (beta + step) ** 2).sum() / 2
        if goal < best - 1e-9 * abs(best):
            step = step / 2  # overshot
            continue
        beta, gained, best = beta + step, goal - best, goal
        mean = np.cumsum(hazard_ratio[:, None] * x, axis=0)[rows] / watched[:, None]
        jump = np.zeros(len(time))
        jump[event] = 1 / watched
        hazard = np.cumsum(jump[::-1])[::-1][first]
        information = (x * (hazard_ratio * hazard)[:, None]).T @ x - mean.T @ mean + np.diag(cost)
        if np.any(np.abs(beta) * x.std(axis=0) > 12):  # a hazard ratio per SD beyond e^12: it grows without end
            break
        step = np.linalg.lstsq(information, (x[event] - mean).sum(axis=0) - cost * beta, rcond=None)[0]
        if gained < 1e-8 * (1 + abs(best)):
            if np.any(np.abs(step * x.std(axis=0))[free] > 1e-4):  # at a maximum Newton's next step is far less
                checks.outcomes_overlap(*gains)
            return Fit(beta, np.linalg.pinv(information), likelihood, time[::-1], hazard[::-1])
    checks.outcomes_overlap(*gains)
    raise ValueError(f"no finite Cox estimate: {event.sum()} deaths, {x.shape[1]} columns; penalise or drop columns")


def _comparisons(time, event, x):
    """(m, p): columns of one who died less those of one still watched then. All such differences are sums of these:
    the first of each moment's dead against who left before the next moment, against the next, against the same
    moment's other dead and these against the first."""
    moments, first = np.unique(time[event], return_index=True)
    leaders, last = x[event][first], np.searchsorted(moments, time, "right") - 1
    left, same = leaders[last[last >= 0]] - x[last >= 0], x[event] - leaders[np.searchsorted(moments, time[event])]
    return np.vstack([left, leaders[:-1] - leaders[1:], same])


def log_likelihood(time, event, score):
    """Log partial likelihood of a given score."""
    time, event, score = followed(time, event, score)
    order = np.argsort(-time, kind="stable")
    last = np.searchsorted(-time[order], -time[order], "right") - 1
    return float(score[event].sum() - np.logaddexp.accumulate(score[order])[last][event[order]].sum())


def hazard_ratios(time, event, table):
    """name -> Estimate of the hazard ratio per unit of each column, all columns of the table in one model (Wald)."""
    fitted = fit(time, event, table)
    reach = Z * np.sqrt(np.diag(fitted.covariance))
    return {name: around(b, r, len(table), np.exp) for name, b, r in zip(table, fitted.beta, reach, strict=True)}


class Scores(NamedTuple):
    """What models say that were fitted without the patient; (n,) arrays.

    score: log hazard relative to the average training patient. risk: of death by the horizon.
    third: 0 low, 1, 2 high, by the thirds of the training patients' scores: the bounds are fixed before the patient is
    seen. fold: which model. penalty: chosen per model.
    """

    score: np.ndarray
    risk: np.ndarray
    third: np.ndarray
    fold: np.ndarray
    penalty: tuple


def cross_fitted(time, event, plain, wide, horizon, rng, **settings):
    """Cox risk scores, each patient's from a model fitted to all other folds; one row a patient. For estimates.

    plain: (n, p) few columns, not penalised, or None. wide: (n, d) many columns, reduced to principal components and
    penalised, or None. Standardisation, components, penalty (cross-validated partial likelihood, Verweij and van
    Houwelingen 1993) and baseline hazard come from the training folds alone. Missing values become the training mean.
    settings: n_components=32, penalties=PENALTIES, n_folds=5.
    Not for tests of "no effect": two folds are each other's training data, so that chance agreement counts twice, and
    up to 15 % of true nulls are flagged at 5 %. Use forward_fitted. Intervals of C hold their level where there is
    something to find and deaths are many (250), and are a little short where they are few (75). Both are simulated in
    tests/analysis/test_survival.py.
    """
    return _fitted(time, event, plain, wide, horizon, rng, np.not_equal, **settings)


def forward_fitted(time, event, plain, wide, horizon, rng, **settings):
    """The same from a model fitted to earlier folds only; the first fold gets nan and third -1. For tests.

    No patient's outcome is used before the patient is scored, nor again by those who come before: errors of the folds
    are uncorrelated (a martingale), and tests of the scores keep their level. The price is smaller training sets.
    """
    return _fitted(time, event, plain, wide, horizon, rng, np.less, **settings)


def _fitted(time, event, plain, wide, horizon, rng, teaches, n_components=32, penalties=PENALTIES, n_folds=5):
    time, event, plain, wide = outcome(time, event, plain, wide, missing=True)
    fold = folds(event, n_folds, rng)
    score, risk = np.full((2, len(time)), np.nan)
    third, chosen = np.full(len(time), -1), []
    for k in range(n_folds):
        train, test = teaches(fold, k), fold == k
        if not train.any():
            continue
        x, new, shrink = _design(plain, wide, train, test, n_components)
        seen = time[train], event[train]
        penalty = _choose(*seen, x, shrink, penalties, rng) if shrink.any() else 0.0
        fitted = fit(*seen, x, penalty * shrink)
        score[test] = new @ fitted.beta
        risk[test] = fitted.risk(score[test], horizon)
        third[test] = np.searchsorted(np.quantile(x @ fitted.beta, [1 / 3, 2 / 3]), score[test])
        chosen.append(penalty)
    return Scores(score, risk, third, fold, tuple(chosen))


def folds(event, n_folds, rng):
    """(n,) fold of each patient, deaths spread evenly."""
    event, fold = checks.yes_no(event, "event"), np.zeros(len(event), int)
    for value in (True, False):
        members = rng.permutation(np.flatnonzero(event == value))
        fold[members] = np.arange(len(members)) % n_folds
    return fold


def standardised(train, values):
    """`values` in units of the mean and standard deviation of `train`; missing ones 0, the mean; infinite refused."""
    train, values = (checks.numbers(columns, "columns", missing=True) for columns in (train, values))
    mean, sd = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
    return np.nan_to_num((values - mean) / np.where(sd > 1e-12, sd, 1.0))


def _design(plain, wide, train, test, n_components):
    """Columns of training and of new patients, and 1 for each column to be penalised."""
    blocks = []
    for values, reduced in ((plain, False), (wide, True)):
        if values is None:
            continue
        x, y = (standardised(values[train], values[some]) for some in (train, test))
        if reduced and min(x.shape) > n_components:
            pca = PCA(n_components, svd_solver="randomized", random_state=0).fit(x)
            x, y = (pca.transform(z) / math.sqrt(pca.explained_variance_[0]) for z in (x, y))
        blocks.append((x, y, np.full(x.shape[1], float(reduced))))
    return [np.hstack(kind) for kind in zip(*blocks)]


def _choose(time, event, x, shrink, penalties, rng, n_folds=4):
    """The penalty with the largest cross-validated partial likelihood."""
    gain, fold = np.zeros(len(penalties)), folds(event, n_folds, rng)
    for k in range(n_folds):
        train, beta = fold != k, None
        for i in np.argsort(penalties)[::-1]:  # from the strongest down: each start is near
            beta = fit(time[train], event[train], x[train], penalties[i] * shrink, beta).beta
            score = x @ beta
            gain[i] += log_likelihood(time, event, score) - log_likelihood(time[train], event[train], score[train])
    return float(penalties[int(np.argmax(gain))])


class AddedValue(NamedTuple):
    """Hazard ratio per SD of a score beside other columns, and p of the likelihood-ratio test that it adds nothing."""

    hazard_ratio: Estimate
    p: float


def added_value(time, event, base, score):
    """What a score says beyond the columns of `base` (n, p): AddedValue. The score must not have seen the patients."""
    time, event, base, score = outcome(time, event, base, score)
    base, score = (standardised(v, v) for v in (base, score[:, None]))
    without, fitted = fit(time, event, base), fit(time, event, np.hstack([base, score]))
    b, reach = fitted.beta[-1], Z * math.sqrt(fitted.covariance[-1, -1])
    p = float(chi2.sf(2 * (fitted.log_likelihood - without.log_likelihood), 1))
    return AddedValue(around(b, reach, len(score), np.exp), p)
