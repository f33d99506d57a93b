"""Estimates with intervals, tests that are corrected for their number, and what a sample can show.

The unit that is resampled is always the patient: slices, frames and scans of one heart are not
independent, and resampling them makes intervals too narrow.
"""

import math
import re
import warnings
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.power import tt_ind_solve_power
from statsmodels.stats.proportion import power_proportions_2indep

N_RESAMPLES = 2000
N_PERMUTATIONS = 9999
LEVEL, ALPHA, POWER = 0.95, 0.05, 0.8
FEW = 5  # fewer patients of a real dataset get no interval: `least` of the functions below


class Estimate(NamedTuple):
    """A number with its interval (NaN: too few for one). n is the number of patients it rests on."""

    value: float
    lower: float
    upper: float
    n: int

    def text(self, digits=2, unit=""):
        """In words: value, 95 % interval, n."""
        if np.isnan(self.lower):
            return f"{self.value:.{digits}f}{unit} (n = {self.n}, too small for an interval)"
        value, lower, upper = (f"{number:.{digits}f}" for number in self[:3])
        return f"{value}{unit} (95 % CI {lower} to {upper}, n = {self.n})"


def bca(values, statistic, rng, n_resamples=N_RESAMPLES, level=LEVEL, least=None):
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
    columns = tuple(np.asarray(c) for c in values) if isinstance(values, tuple) else (np.asarray(values),)
    n = _check(columns, 1 if least else 2)
    value = float(statistic(*columns))
    if least and n < least:
        return Estimate(value, float("nan"), float("nan"), n)
    tail = max(stats.norm.sf(np.sqrt(n / (n - 1)) * stats.t.ppf((1 + level) / 2, n - 1)), 1e-12)
    same = {"statistic": statistic, "paired": True, "batch": 256, "confidence_level": 1 - 2 * tail}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        plain = stats.bootstrap(columns, n_resamples=n_resamples, rng=rng, method="percentile", **same)
        if np.ptp(plain.bootstrap_distribution) == 0:  # BCa divides by the spread
            return Estimate(value, value, value, n)
        result = stats.bootstrap(columns, n_resamples=0, method="BCa", bootstrap_result=plain, **same)
    interval = result if np.isfinite(result.confidence_interval).all() else plain
    return Estimate(value, *map(float, interval.confidence_interval), n)


def paired_difference(first, second, rng, n_resamples=N_RESAMPLES, level=LEVEL, least=None):
    """Mean of first - second, both measured on the same patients, in the same order. least: as in `bca`."""
    _check((np.asarray(first), np.asarray(second)), 1 if least else 2)
    return bca(np.subtract(first, second), np.mean, rng, n_resamples, level, least)


def proportion(successes, n, level=LEVEL):
    """Estimate of a proportion with Wilson's score interval, which stays within 0..1 and works at 0 and n."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes of {n}; successes must lie between 0 and n, and n be at least 1")
    interval = stats.binomtest(int(successes), int(n)).proportion_ci(level, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), int(n))


class Agreement(NamedTuple):
    """Bland-Altman agreement: mean difference and limits that hold 95 % of differences, each an Estimate."""

    bias: Estimate
    lower_limit: Estimate
    upper_limit: Estimate


def bland_altman(measured, reference, level=LEVEL):
    """Agreement of two measurements of the same patients; differences are measured - reference.

    Limits are bias -+ 1.96 SD. Intervals: Student's t for the bias, the exact non-central t for the limits,
    both under normal differences (plot them and look).
    Source: Bland and Altman 1986; Carkeet 2015.
    """
    n = _check((np.asarray(measured, float), np.asarray(reference, float)), least=3)
    difference = np.subtract(measured, reference)
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    z = float(stats.norm.ppf(0.975))
    t = stats.t.ppf(tails, n - 1) / np.sqrt(n)
    k = stats.nct.ppf(tails, n - 1, z * np.sqrt(n)) / np.sqrt(n)  # limit = bias + k SD covers bias + z sigma
    return Agreement(
        Estimate(bias, *map(float, bias + t * sd), n),
        Estimate(bias - z * sd, *map(float, bias - k[::-1] * sd), n),
        Estimate(bias + z * sd, *map(float, bias + k * sd), n),
    )


def independent_difference(first, second):
    """First Estimate minus second, of different patients, from their own intervals; n counts both.

    Each end takes the limits that lie towards it; with Wilson's intervals it is Newcombe's for two proportions. On the
    same patients it is too wide. Source: Zou and Donner 2008 (MOVER); Newcombe 1998, method 10.
    """
    value = first.value - second.value
    below = np.hypot(first.value - first.lower, second.upper - second.value)
    above = np.hypot(first.upper - first.value, second.value - second.lower)
    return Estimate(value, float(value - below), float(value + above), first.n + second.n)


def mean_difference(first, second, level=LEVEL):
    """Mean of first minus mean of second, two groups of different patients; n counts both. Source: Welch 1947."""
    first, second = _groups(first, second)
    value, n = float(first.mean() - second.mean()), len(first) + len(second)
    if np.ptp(first) == np.ptp(second) == 0:
        return Estimate(value, value, value, n)
    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(level)
    return Estimate(value, float(interval.low), float(interval.high), n)


def holm(p):
    """p values adjusted so that the chance of any false finding among them stays below alpha. Source: Holm 1979."""
    p = _p_values(p)
    order, adjusted = np.argsort(p), np.empty(len(p))  # not statsmodels: its Holm empties Python's memory, 75 ms a call
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def benjamini_hochberg(p):
    """p values adjusted so that the expected share of false among all findings stays below alpha.

    For independent or positively dependent tests. Source: Benjamini and Hochberg 1995.
    """
    return stats.false_discovery_control(_p_values(p), method="bh")


def corrected(level, comparisons):
    """Level at which each of `comparisons` intervals must be computed so that all hold together at `level`.

    Source: Bonferroni's inequality.
    """
    if not 0 < level < 1 or comparisons < 1:
        raise ValueError(f"level {level}, {comparisons} comparisons; level lies between 0 and 1, comparisons from 1")
    return 1 - (1 - level) / comparisons


def permutation_p(first, second, rng, n=N_PERMUTATIONS):
    """Two-sided p of the mean difference of two groups of different patients, by exchanging them between groups.

    Exact where there are no more than n divisions, else from n random ones, never 0. It tests that both groups have
    the same distribution. Source: Fisher 1935; Phipson and Smyth 2010; scipy.stats.permutation_test.
    """

    def gap(a, b, axis=-1):
        return np.mean(a, axis=axis) - np.mean(b, axis=axis)

    test = stats.permutation_test(_groups(first, second), gap, n_resamples=n, batch=512, rng=rng)
    return float(test.pvalue)


def power_of_means(delta, sd, n1, n2, alpha=ALPHA):
    """Chance that a two-sided t test of n1 and n2 patients finds means that differ by delta; sd within a group."""
    _positive(sd=sd)
    _sizes(n1, n2)
    if delta == 0:
        return alpha
    power = tt_ind_solve_power(abs(delta) / sd, n1, alpha, None, n2 / n1)
    return float(np.nan_to_num(power, nan=1.0))  # scipy's non-central t is NaN where hardly anything is missed


def detectable_mean_gap(sd, n1, n2, alpha=ALPHA, power=POWER):
    """Smallest difference of two means that a two-sided t test finds with chance `power`, in the unit of sd."""
    _positive(sd=sd)
    _sizes(n1, n2)

    def lacking(gap):
        return power_of_means(gap, 1.0, n1, n2, alpha) - power

    enough = (stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) * np.sqrt(1 / n1 + 1 / n2)
    while lacking(enough) < 0:
        enough *= 1.5
    return float(sd * optimize.brentq(lacking, 1e-9, enough))  # statsmodels' own search fails at small alpha


def detectable_proportion_gap(p, n1, n2, alpha=ALPHA, power=POWER):
    """Smallest gap that is found with chance `power` between a proportion p of n1 patients and that of n2 others.

    The second proportion lies on the side of one half: for a sensitivity of 0.9, how much lower it must be.
    NaN where even the other end of the scale would not be found. Source: Fleiss 2003; the normal approximation.
    """
    _sizes(n1, n2)
    if not 0 < p < 1:
        raise ValueError(f"proportion {p}; it must lie between 0 and 1 (where none was seen, add one to both counts)")
    side, room = (-1, p) if p > 0.5 else (1, 1 - p)

    def lacking(gap):
        return power_proportions_2indep(side * gap, p, n2, n1 / n2, alpha, return_results=False) - power

    ends = 1e-6, room - 1e-6
    return float("nan") if lacking(ends[1]) < 0 else float(optimize.brentq(lacking, *ends))


def _check(columns, least=2):
    """Number of patients in columns of equal length, or ValueError."""
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise ValueError(f"columns of {sorted(lengths)} patients; paired values need the same patients in order")
    (n,) = lengths
    if n < least:
        raise ValueError(f"{n} patients; an interval needs at least {least}")
    for column in columns:
        bad = int(np.sum(~np.isfinite(column))) if np.issubdtype(column.dtype, np.number) else 0
        if bad:
            raise ValueError(f"{bad} of {n} values are not finite; drop those patients and report how many")
    return n


def _groups(first, second):
    """Two groups of at least two finite numbers each."""
    groups = np.asarray(first, float), np.asarray(second, float)
    for group in groups:
        _check((group,))
    return groups


def _p_values(p):
    """Array of p values, or ValueError."""
    p = np.asarray(p, float)
    if p.ndim != 1 or not p.size or not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"p values {p.tolist()}; give a list of numbers between 0 and 1")
    return p


def _positive(**numbers):
    """ValueError unless every number is above 0."""
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{name} is {number}; it must be positive")


def _sizes(n1, n2):
    """ValueError for a group that has no spread."""
    if min(n1, n2) < 2:
        raise ValueError(f"groups of {n1} and {n2} patients; each needs at least 2")


def record_key(name):
    """A model's name as part of a key of the record: "CineMA, scratch" -> "cinema_scratch"."""
    return re.sub(r"\W+", "_", name).lower()


def best_rates(rates, maximise=True):
    """arm -> the learning rate with the best validation score. rates: rows arm, learning_rate, validation."""
    score = rates["validation"] * (1 if maximise else -1)
    return rates.loc[score.groupby(rates["arm"], sort=False).idxmax()].set_index("arm")["learning_rate"].to_dict()


def late_gain(histories):
    """arm -> rise of validation Dice between the last two evaluations. histories: one training per arm."""
    return {
        arm: float(np.diff(rows["val_mean_dice"].dropna().iloc[-2:])[0])
        for arm, rows in histories.groupby("arm", sort=False)
    }


def per_patient(scores, columns, by=("arm",)):
    """Means over frames, structures and seeds: a row for every patient and value of `by`."""
    return scores.groupby([*by, "study"], sort=False)[list(columns)].mean().reset_index()


def means(patients, value, by, rng, least=None):
    """value of `by` -> stats.Estimate of the mean over patients.

    Patients without a value are left out, and so are groups of one patient, which have no interval. With `least`
    (stats.bca) groups of fewer stay, without interval.
    """
    groups = patients.dropna(subset=value).groupby(by, sort=False)
    return {name: bca(rows[value], np.mean, rng, least=least) for name, rows in groups if least or len(rows) > 1}


def difference(patients, first, second, rng, value="dice", by="arm", level=LEVEL, least=None):
    """Mean of first - second over the patients that have both. patients: one row a patient and value of `by`."""
    wide = patients.pivot(index="study", columns=by, values=value)[[first, second]].dropna()
    return paired_difference(wide[first], wide[second], rng, level=level, least=least)


def verdict(estimate):
    """A difference of scores, higher being better, in words."""
    if np.isnan(estimate.lower):
        return "not compared, n too small"
    if estimate.lower > 0:
        return "better"
    return "worse" if estimate.upper < 0 else "not shown to differ"


def mean(values, rng):
    """stats.Estimate of the mean of the finite values, one a patient; no interval below stats.FEW patients."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return bca(values, np.mean, rng, least=FEW) if len(values) else without_interval(math.nan, 0)


def without_interval(value, n):
    """An Estimate without interval."""
    return Estimate(float(value), math.nan, math.nan, int(n))


def or_without_interval(compute, value, n):
    """compute(), or `value` without interval where patients are too few for it:
    below stats.FEW, or by its ValueError."""
    try:
        return compute() if n >= FEW else without_interval(value, n)
    except ValueError:
        return without_interval(value, n)


def text(found, digits=2, unit=""):
    """Estimate.text, or that nothing is known."""
    return f"not known (n = {found.n}, too small)" if math.isnan(found.value) else found.text(digits, unit)
