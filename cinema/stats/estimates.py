"""Estimates with intervals, what may be said of them, and tests that are corrected for their number.

The unit that is resampled is always the patient: slices, frames and scans of one heart are not independent, and
resampling them makes intervals too narrow. Too few patients for an interval: its ends are NaN. Virtual cohorts are
never too few, and functions refuse fewer than two; real ones may be, and `least` says below how many patients (FEW)
the value alone is given.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy import stats

from cinema.stats import checks

N_RESAMPLES = 2000
LEVEL, ALPHA = 0.95, 0.05
FEW = 5  # fewer patients of a real dataset get no interval: `least` of the functions below


class Estimate(NamedTuple):
    """A number with its interval (NaN: too few for one). n is the number of patients it rests on."""

    value: float
    lower: float
    upper: float
    n: int

    def text(self, digits: int = 2, unit: str = "") -> str:
        """In words: value, 95 % interval, n; or what is lacking. Two digits more at most where it would print as 0."""
        if np.isnan(self.value):
            return f"not known (n = {self.n}, {'too small' if self.n < FEW else 'no estimate exists'})"
        digits = next((k for k in range(digits, digits + 3) if round(self.value, k)), digits)
        value, lower, upper = (f"{number:.{digits}f}" for number in self[:3])
        if np.isnan(self.lower):
            return f"{value}{unit} (n = {self.n}, too small for an interval)"
        return f"{value}{unit} (95 % CI {lower} to {upper}, n = {self.n})"


def table(estimates: dict, digits: int = 3) -> pd.DataFrame:
    """name -> Estimate as a table to read: value, 95 % interval and n in words, a row a name."""
    rows = {}
    for name, (value, lower, upper, n) in estimates.items():
        ends = "n too small" if np.isnan(lower) else f"{lower:.{digits}f} to {upper:.{digits}f}"
        rows[name] = ("not known" if np.isnan(value) else f"{value:.{digits}f}", ends, n)
    return pd.DataFrame(rows, index=["value", "95 % CI", "n"]).T


text = Estimate.text  # of those that may be unknown: estimates.text(estimate, digits, unit)


def around(value: float, reach: float, n: int, back: Callable = float) -> Estimate:
    """Estimate whose ends lie `reach` to either side; back: from the scale this holds on to that of the Estimate."""
    value, lower, upper = (float(back(end)) for end in (value, value - reach, value + reach))
    return Estimate(value, lower, upper, int(n))


def without_interval(value: float, n: int) -> Estimate:
    """An Estimate without interval."""
    return Estimate(float(value), np.nan, np.nan, int(n))


def or_without_interval(compute: Callable[[], Estimate], value: float, n: int) -> Estimate:
    """compute(), or `value` without interval where patients are too few for it: below FEW, or by its ValueError."""
    try:
        return compute() if n >= FEW else without_interval(value, n)
    except ValueError:
        return without_interval(value, n)


def bca(
    values: np.ndarray | tuple[np.ndarray, ...],
    statistic: Callable,
    rng: Generator,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    least: int | None = None,
) -> Estimate:
    """Estimate of `statistic` over patients with a bias-corrected, accelerated bootstrap interval.

    values:    (n,) array, one entry a patient; or a tuple of such arrays, which are resampled together.
    statistic: function of the array (or of the arrays, in order) that returns a number. Functions with an
               `axis` argument, such as np.mean, are computed many resamples at a time.
    least:     fewer patients get the value alone, its interval NaN; None: fewer than two are an error.
    A bootstrap interval is as narrow as if the spread had been divided by n, not n - 1, and had normal tails; it is
    computed at the level that makes up for both, as Student's t does for a mean (without, 95 % cover 92 % at n = 20).
    Where every resample gives the same number the interval has no width; where all of them lie on one side of the
    value BCa is not defined, and percentiles are given.
    Raises ValueError for fewer than two patients, unequal lengths or values that are not finite.
    Source: Efron 1987; scipy.stats.bootstrap; Hesterberg 2015 for the level (his expanded percentile interval).
    """
    given = tuple(np.asarray(c) for c in values) if isinstance(values, tuple) else (np.asarray(values),)
    columns = tuple(c if c.dtype.kind in "biu" else checks.numbers(c) for c in given)
    n = _check(columns, 1 if least else 2)
    value = float(statistic(*columns))
    if least and n < least:
        return without_interval(value, n)
    tail = max(stats.norm.sf(np.sqrt(n / (n - 1)) * stats.t.ppf((1 + level) / 2, n - 1)), 1e-12)
    same = {"statistic": statistic, "paired": True, "batch": 256, "confidence_level": 1 - 2 * tail}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        plain = stats.bootstrap(columns, n_resamples=n_resamples, rng=rng, method="percentile", **same)
        if np.ptp(plain.bootstrap_distribution) == 0:  # BCa divides by the spread
            return Estimate(value, value, value, n)
        result = stats.bootstrap(columns, n_resamples=0, method="BCa", bootstrap_result=plain, **same)
    interval = result if np.isfinite(result.confidence_interval).all() else plain
    lower, upper = map(float, interval.confidence_interval)
    return Estimate(value, lower, upper, n)


def mean(values: np.ndarray, rng: Generator) -> Estimate:
    """Estimate of the mean of the values that are known, one a patient; no interval below FEW patients."""
    values = checks.numbers(values, missing=True)
    values = values[~np.isnan(values)]
    return bca(values, np.mean, rng, least=FEW) if len(values) else without_interval(np.nan, 0)


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    rng: Generator,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    least: int | None = None,
) -> Estimate:
    """Mean of first - second, both measured on the same patients, in the same order. least: as in `bca`."""
    first, second = checks.numbers(first), checks.numbers(second)
    _check((first, second), 1 if least else 2)
    return bca(first - second, np.mean, rng, n_resamples, level, least)


def proportion(successes: int, n: int, level: float = LEVEL) -> Estimate:
    """Estimate of a proportion with Wilson's score interval, which stays within 0..1 and works at 0 and n."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes of {n}; successes must lie between 0 and n, and n be at least 1")
    lower, upper = map(float, stats.binomtest(int(successes), int(n)).proportion_ci(level, method="wilson"))
    return Estimate(successes / n, lower, upper, int(n))


class Agreement(NamedTuple):
    """Bland-Altman agreement: mean difference and limits that hold 95 % of differences, each an Estimate."""

    bias: Estimate
    lower_limit: Estimate
    upper_limit: Estimate


def bland_altman(measured: np.ndarray, reference: np.ndarray, level: float = LEVEL) -> Agreement:
    """Agreement of two measurements of the same patients; differences are measured - reference.

    Limits are bias -+ 1.96 SD. Intervals: Student's t for the bias, the exact non-central t for the limits, both under
    normal differences (plot them and look). Source: Bland and Altman 1986; Carkeet 2015.
    """
    measured, reference = checks.numbers(measured), checks.numbers(reference)
    n, difference = _check((measured, reference), least=3), measured - reference
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    z = float(stats.norm.ppf(0.975))
    t = stats.t.ppf(tails, n - 1) / np.sqrt(n)
    k = stats.nct.ppf(tails, n - 1, z * np.sqrt(n)) / np.sqrt(n)  # limit = bias + k SD covers bias + z sigma
    values = bias, bias - z * sd, bias + z * sd
    ends = bias + t * sd, bias - k[::-1] * sd, bias + k * sd
    return Agreement(*(Estimate(value, float(lower), float(upper), n) for value, (lower, upper) in zip(values, ends)))


def independent_difference(first: Estimate, second: Estimate) -> Estimate:
    """First Estimate minus second, of different patients, from their own intervals; n counts both.

    Each end takes the limits that lie towards it; with Wilson's intervals it is Newcombe's for two proportions. On the
    same patients it is too wide. Source: Zou and Donner 2008 (MOVER); Newcombe 1998, method 10.
    """
    value = first.value - second.value
    below = np.hypot(first.value - first.lower, second.upper - second.value)
    above = np.hypot(first.upper - first.value, second.value - second.lower)
    return Estimate(value, float(value - below), float(value + above), first.n + second.n)


def mean_difference(first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> Estimate:
    """Mean of first minus mean of second, two groups of different patients; n counts both. Source: Welch 1947."""
    first, second = checks.numbers(first), checks.numbers(second)
    _check((first,))
    _check((second,))
    value, n = float(first.mean() - second.mean()), len(first) + len(second)
    if np.ptp(first) == np.ptp(second) == 0:
        return Estimate(value, value, value, n)
    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(level)
    return Estimate(value, float(interval.low), float(interval.high), n)


def verdict(
    estimate: Estimate,
    null: float = 0.0,
    above: str = "better",
    below: str = "worse",
    between: str = "not shown to differ",
) -> str:
    """What an interval allows to say of an estimate, as of a difference of scores, higher being better."""
    if np.isnan(estimate.lower):
        return "not compared, n too small"
    return above if estimate.lower > null else below if estimate.upper < null else between


def holm(p: np.ndarray) -> np.ndarray:
    """p values adjusted so that the chance of any false finding among them stays below alpha. Source: Holm 1979."""
    p = _p_values(p)
    order, adjusted = np.argsort(p), np.empty(len(p))  # not statsmodels: its Holm empties Python's memory, 75 ms a call
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """p values adjusted so that the expected share of false among all findings stays below alpha.
    For independent or positively dependent tests. Source: Benjamini and Hochberg 1995."""
    return stats.false_discovery_control(_p_values(p), method="bh")


def corrected(level: float, comparisons: int) -> float:
    """Level at which each of `comparisons` intervals must be computed so that all hold together at `level`.
    Source: Bonferroni's inequality."""
    if not 0 < level < 1 or comparisons < 1:
        raise ValueError(f"level {level}, {comparisons} comparisons; level lies between 0 and 1, comparisons from 1")
    return 1 - (1 - level) / comparisons


def record_key(name: str) -> str:
    """A model's name as part of a key of the record: "CineMA, scratch" -> "cinema_scratch"."""
    return re.sub(r"\W+", "_", name).lower()


def best_rates(rates: pd.DataFrame, maximise: bool = True) -> dict[str, float]:
    """arm -> the learning rate with the best validation score. rates: rows arm, learning_rate, validation."""
    score = rates["validation"] * (1 if maximise else -1)
    if score.groupby(rates["arm"]).max().isna().any():
        raise ValueError("an arm has no validation score at any learning rate; train it again")
    return rates.loc[score.groupby(rates["arm"], sort=False).idxmax()].set_index("arm")["learning_rate"].to_dict()


def late_gain(histories: pd.DataFrame) -> dict[str, float]:
    """arm -> rise of validation Dice between the last two evaluations (NaN: one). histories: one training per arm."""
    dice_of = histories.groupby("arm", sort=False)["val_mean_dice"]
    return {arm: float(next(iter(np.diff(dice.dropna().iloc[-2:])), np.nan)) for arm, dice in dice_of}


def per_patient(scores: pd.DataFrame, columns: Sequence[str], by: Sequence[str] = ("arm",)) -> pd.DataFrame:
    """Means over frames, structures and seeds: a row for every patient and value of `by`. Rows without a value (HD95 of
    what was not found) are left out; of such a column, COLUMN_left_out says how many."""
    keys = [*by, "study"]
    means = scores.groupby(keys, sort=False)[list(columns)].mean()
    lacking = scores[list(columns)].isna().groupby([scores[key] for key in keys], sort=False).sum()
    return means.join(lacking.loc[:, lacking.any()].add_suffix("_left_out")).reset_index()


def means(patients: pd.DataFrame, value: str, by: str | list[str], rng: Generator, least: int | None = None) -> dict:
    """value of `by` -> Estimate of the mean over patients.

    Patients without a value are left out, and so are groups of one patient, which have no interval. With `least`
    (as in `bca`) groups of fewer stay, without interval.
    """
    groups = patients.dropna(subset=value).groupby(by, sort=False)
    return {name: bca(rows[value], np.mean, rng, least=least) for name, rows in groups if least or len(rows) > 1}


def difference(
    patients: pd.DataFrame,
    first: str,
    second: str,
    rng: Generator,
    value: str = "dice",
    by: str = "arm",
    level: float = LEVEL,
    least: int | None = None,
) -> Estimate:
    """Mean of first - second over the patients that have both. patients: one row a patient and value of `by`."""
    if {first, second} - set(patients[by]) or patients.duplicated(["study", by]).any():
        raise ValueError(
            f"{first} and {second} must stand in {by}, once a patient; take per_patient of the scores first"
        )
    wide = patients.pivot(index="study", columns=by, values=value)[[first, second]].dropna()
    return paired_difference(wide[first], wide[second], rng, level=level, least=least)


def _check(columns: Sequence[np.ndarray], least: int = 2) -> int:
    """Number of patients in columns of equal length, or ValueError."""
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise ValueError(f"columns of {sorted(lengths)} patients; paired values need the same patients in order")
    (n,) = lengths
    if n < least:
        raise ValueError(f"{n} patients; an interval needs at least {least}")
    return n


def _p_values(p: np.ndarray) -> np.ndarray:
    p = checks.numbers(p, "p values", missing=True)
    if p.ndim != 1 or not p.size or not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"p values {p.tolist()}; give a list of numbers between 0 and 1")
    return p
