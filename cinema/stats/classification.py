"""How well a score or a class tells patients apart: AUC, thresholds, MCC, calibration, each with its interval.

`true` is 0 or 1 (False or True) a patient, 1 being a case; a higher score means more likely a case.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.random import Generator
from scipy import special
from scipy.stats import norm, rankdata

from cinema.stats import checks, estimates
from cinema.stats.estimates import LEVEL, N_RESAMPLES, Estimate

SMALLEST = 1e-6  # probabilities are kept this far from 0 and 1 before their logit is taken


def auc(true: np.ndarray, score: np.ndarray, level: float = LEVEL) -> Estimate:
    """Area under the ROC curve: the chance that a case scores higher than a control (ties count one half).

    Variance by DeLong, interval symmetric on the logit scale, so that it stays within 0..1. A perfect score (AUC 1 or
    0) has no variance; its interval is exact but wide: if the AUC were A, m disjoint pairs of a case and a control
    would all be in order with chance A^m, so the end is A with A^m = (1 - level) / 2, m the smaller group.
    Raises ValueError for fewer than two cases or controls.
    Source: DeLong 1988, computed by ranks as in Sun and Xu 2014; logit: Pepe 2003.
    """
    return _area(*_binary_areas(true, score), len(true), level)


def auc_difference(
    true: np.ndarray, first: np.ndarray, second: np.ndarray, level: float = LEVEL
) -> tuple[Estimate, float]:
    """AUC of first - AUC of second on the same patients, and the two-sided p that they are equal: (Estimate, p).

    DeLong's test for correlated curves. Where one of the scores is perfect and so has no variance, both ends are put
    together from the two single intervals as if independent (Zou and Donner's MOVER), and p follows from the end
    nearer to 0. Source: DeLong 1988; Zou and Donner 2008.
    """
    areas = _binary_areas(true, first, second)
    if np.array_equal(first, second):
        return Estimate(0.0, 0.0, 0.0, len(true)), 1.0
    gap = _difference(*areas, len(true), level)
    towards_zero = gap.value - gap.lower if gap.value > 0 else gap.upper - gap.value
    z = norm.ppf((1 + level) / 2)
    p = 1.0 if gap.value == 0 else 2 * norm.sf(abs(gap.value) / towards_zero * z) if towards_zero else 0.0
    return gap, float(p)


def threshold_for_sensitivity(true: np.ndarray, score: np.ndarray, sensitivity: float) -> float:
    """Highest score t for which at least that share of the cases has score >= t. Choose it on validation data."""
    true, (score,) = _binary(true, score, least=1)
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity {sensitivity}; it must lie above 0 and at most be 1")
    cases = np.sort(score[true])[::-1]
    return float(cases[int(np.ceil(sensitivity * len(cases) - 1e-9)) - 1])


def sensitivity(true: np.ndarray, positive: np.ndarray, level: float = LEVEL) -> Estimate:
    """Share of cases that are called positive (0 or 1 a patient), with Wilson's interval; n counts cases."""
    true, (positive,) = _binary(true, checks.yes_no(positive, "positive"), least=0)
    return estimates.proportion(int(np.sum(positive[true] != 0)), int(true.sum()), level)


def specificity(true: np.ndarray, positive: np.ndarray, level: float = LEVEL) -> Estimate:
    """Share of controls that are not called positive, with Wilson's interval; n counts controls."""
    true, (positive,) = _binary(true, checks.yes_no(positive, "positive"), least=0)
    return estimates.proportion(int(np.sum(positive[~true] == 0)), int((~true).sum()), level)


def mcc(
    true: np.ndarray, predicted: np.ndarray, rng: Generator, n_resamples: int = N_RESAMPLES, level: float = LEVEL
) -> Estimate:
    """Matthews' correlation of two or more classes, patients resampled; 0 where one side has a single class.
    Source: Gorodkin 2004."""
    if len(true) != len(predicted):
        raise ValueError(f"{len(true)} true and {len(predicted)} predicted classes; give one of each a patient")
    codes = checks.group_numbers([*true, *predicted], "classes")
    k = int(codes.max(initial=-1)) + 1
    cells = codes[: len(true)] * k + codes[len(true) :]  # entry of the confusion matrix each patient falls in

    def correlation(chosen: np.ndarray, axis: int = -1) -> np.ndarray:
        chosen = np.moveaxis(chosen, axis, -1)
        studies = chosen.reshape(-1, chosen.shape[-1])
        entries = studies + k * k * np.arange(len(studies))[:, None]
        counts = np.bincount(entries.ravel(), minlength=k * k * len(studies)).reshape(*chosen.shape[:-1], k, k)
        n, t, p = chosen.shape[-1], counts.sum(-1), counts.sum(-2)
        spread = np.sqrt((n**2 - (t**2).sum(-1)) * (n**2 - (p**2).sum(-1)))
        together = np.trace(counts, axis1=-2, axis2=-1) * n - (t * p).sum(-1)
        return np.where(spread > 0, together / np.where(spread > 0, spread, 1), 0.0)

    return estimates.bca(cells, correlation, rng, n_resamples, level)


def macro_auc(true: np.ndarray, probabilities: np.ndarray, level: float = LEVEL) -> Estimate:
    """Mean over classes of the AUC of one class against all others.

    true:          (n,) class numbers 0 .. k - 1, at least two patients of each.
    probabilities: (n, k), a column a class.
    Variance and interval as in `auc`: each patient's part in all k areas is summed first, and its spread is taken
    within classes. With classes of 10 of 150 it covers 94 % at 0.85, 93 % at 0.97; a bootstrap covered less.
    Source: the value as scikit-learn's roc_auc_score(multi_class="ovr"); the variance DeLong 1988 for a mean of areas.
    """
    return _area(*_macro_areas(true, probabilities), len(true), level)


def macro_auc_difference(true: np.ndarray, first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> Estimate:
    """macro_auc of first - macro_auc of second on the same patients; variance and interval as in `auc_difference`."""
    return _difference(*_macro_areas(true, first, second), len(true), level)


def _macro_areas(true: np.ndarray, *models: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean AUC over classes of each of m models, their covariance (m, m), and the patients of the smallest class."""
    true, tables = np.asarray(true), [checks.numbers(model, "probabilities") for model in models]
    n_classes = tables[0].shape[-1]
    for model in tables:
        if model.shape != (len(true), n_classes):
            raise ValueError(f"{len(true)} classes, probabilities {model.shape}; give one row a patient")
    own = [true == k for k in range(n_classes)]
    sizes = [int(chosen.sum()) for chosen in own]
    if sum(sizes) != len(true) or min(sizes) < 2:
        raise ValueError(f"patients per class {sizes} of {len(true)}; every class 0..{n_classes - 1} needs two or more")
    areas = [_areas(own[k], np.stack([model[:, k] for model in tables])) for k in range(n_classes)]
    values, parts = (np.mean([area[i] for area in areas], axis=0) for i in (0, 1))
    return values, _covariance(parts, own), min(sizes)


def calibration(
    true: np.ndarray, probability: np.ndarray, rng: Generator, n_resamples: int = N_RESAMPLES, level: float = LEVEL
) -> dict[str, Estimate]:
    """Whether probabilities mean what they say: {"intercept", "slope", "brier"}, each an Estimate.

    intercept: of logit(true) = a + logit(probability), calibration in the large; 0 where the mean risk is right,
               above 0 where risks are too low.
    slope:     of logit(true) = a + b logit(probability); 1 where the spread is right, below 1 where risks are too
               extreme. NaN where the probability separates cases and controls, as it then has no bound.
    brier:     mean squared error of the probability; patients resampled.
    Intervals of the first two are Wald's. Probabilities are kept within 1e-6 of 0 and 1.
    Source: Cox 1958; Steyerberg 2010; Van Calster 2019.
    """
    true, (probability,) = _binary(true, checks.shares(probability))
    n, outcome = len(true), true.astype(float)
    logit = special.logit(np.clip(probability, SMALLEST, 1 - SMALLEST))

    def last_coefficient(columns: np.ndarray, **offset: np.ndarray) -> Estimate:
        fit = sm.GLM(outcome, columns, sm.families.Binomial(), **offset).fit()
        value, lower, upper = map(float, (fit.params[-1], *fit.conf_int(1 - level)[-1]))
        return Estimate(value, lower, upper, n)

    intercept = last_coefficient(np.ones((n, 1)), offset=logit)
    brier = estimates.bca((outcome - probability) ** 2, np.mean, rng, n_resamples, level)
    apart = logit[true].min() >= logit[~true].max() or logit[true].max() <= logit[~true].min()
    slope = Estimate(np.nan, np.nan, np.nan, n) if apart else last_coefficient(np.column_stack([np.ones(n), logit]))
    return {"intercept": intercept, "slope": slope, "brier": brier}


def calibration_table(true: np.ndarray, probability: np.ndarray, n_bins: int = 5, level: float = LEVEL) -> pd.DataFrame:
    """Observed against predicted risk in bins of equally many patients, ordered by risk.
    DataFrame, a row a bin: predicted (mean), observed (share of cases), lower, upper (Wilson), n."""
    true, (probability,) = _binary(true, checks.shares(probability), least=0)
    rows = []
    for chosen in np.array_split(np.argsort(probability, kind="stable"), n_bins):
        share = estimates.proportion(int(true[chosen].sum()), len(chosen), level)
        rows.append((probability[chosen].mean(), *share))
    return pd.DataFrame(rows, columns=["predicted", "observed", "lower", "upper", "n"])


def _areas(true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC of each row of scores (m, n), (m,), and each patient's part in its error, (m, n); by ranks."""
    n_cases, n_controls = int(true.sum()), int((~true).sum())
    ranks = rankdata(scores, axis=1)
    below = (ranks[:, true] - rankdata(scores[:, true], axis=1)) / n_controls  # controls below each case
    above = 1 - (ranks[:, ~true] - rankdata(scores[:, ~true], axis=1)) / n_cases  # cases above a control
    values, parts = below.mean(axis=1), np.empty(scores.shape)
    parts[:, true], parts[:, ~true] = below / n_cases, above / n_controls
    return values, parts


def _binary_areas(true: np.ndarray, *scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """AUC of each of m scores, their covariance (m, m), and the patients of the smaller group."""
    true, stacked = _binary(true, *scores)
    values, parts = _areas(true, stacked)
    return values, _covariance(parts, (true, ~true)), int(np.bincount(true).min())


def _covariance(parts: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Covariance (m, m) of sums of parts (m, n) whose patients are drawn within groups, boolean (n,) each."""
    return sum(group.sum() * np.atleast_2d(np.cov(parts[:, group])) for group in groups)


def _area(values: np.ndarray, covariance: np.ndarray, smaller: int, n: int, level: float, which: int = 0) -> Estimate:
    """Estimate of one of the areas of `_binary_areas` or `_macro_areas`; see `auc`."""
    value, variance = float(values[which]), covariance[which, which]
    if value in (0.0, 1.0):
        end = float(((1 - level) / 2) ** (1 / smaller))
        return Estimate(value, end if value else 0.0, 1.0 if value else 1 - end, n)
    half = norm.ppf((1 + level) / 2) * np.sqrt(variance) / (value * (1 - value))
    return estimates.around(special.logit(value), half, n, special.expit)._replace(value=value)


def _difference(values: np.ndarray, covariance: np.ndarray, smaller: int, n: int, level: float) -> Estimate:
    """Estimate of the first of two areas minus the second; see `auc_difference`."""
    value = float(values[0] - values[1])
    if 0 < values.min() and values.max() < 1:
        spread = np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0))
        below = above = norm.ppf((1 + level) / 2) * spread
    else:
        singly = (_area(values, covariance, smaller, n, level, which) for which in (0, 1))
        apart = estimates.independent_difference(*singly)
        below, above = value - apart.lower, apart.upper - value
    return Estimate(value, float(value - below), float(value + above), n)


def _binary(true: np.ndarray, *columns: np.ndarray, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """true as booleans and the columns as one float array (m, n), or ValueError; least: of cases and of controls."""
    true, rows = checks.yes_no(true, "true"), [checks.numbers(column) for column in columns]
    lengths = {len(true), *map(len, rows)}
    if len(lengths) > 1:
        raise ValueError(f"columns of {sorted(lengths)} patients; give one number a patient, in the same order")
    cases, controls = true.sum(), (~true).sum()
    if min(cases, controls) < least:
        raise ValueError(f"{cases} cases and {controls} controls; there must be at least {least} of each")
    return true, np.stack(rows)
