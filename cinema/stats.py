"""Estimates with intervals: bootstrap over patients, paired differences, agreement, proportions.

The unit that is resampled is always the patient: slices, frames and scans of one heart are not
independent, and resampling them makes intervals too narrow.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

N_RESAMPLES = 2000
LEVEL = 0.95


class Estimate(NamedTuple):
    """A number with its interval. n is the number of patients it rests on."""

    value: float
    lower: float
    upper: float
    n: int

    def text(self, digits=2, unit=""):
        """In words: value, 95 % interval, n."""
        value, lower, upper = (f"{number:.{digits}f}" for number in self[:3])
        return f"{value}{unit} (95 % CI {lower} to {upper}, n = {self.n})"


def bca(values, statistic, rng, n_resamples=N_RESAMPLES, level=LEVEL):
    """Estimate of `statistic` over patients with a bias-corrected, accelerated bootstrap interval.

    values:    (n,) array, one entry a patient; or a tuple of such arrays, which are resampled together.
    statistic: function of the array (or of the arrays, in order) that returns a number. Functions with an
               `axis` argument, such as np.mean, are computed many resamples at a time.
    Where every resample gives the same number the interval has no width.
    Raises ValueError for fewer than two patients, unequal lengths or values that are not finite.
    Source: Efron 1987; scipy.stats.bootstrap.
    """
    columns = tuple(np.asarray(c) for c in values) if isinstance(values, tuple) else (np.asarray(values),)
    n = _check(columns)
    value = float(statistic(*columns))
    with np.errstate(all="ignore"):
        result = stats.bootstrap(columns, statistic, paired=True, n_resamples=n_resamples, batch=256, rng=rng,
                                 confidence_level=level, method="percentile")
        spread = result.bootstrap_distribution
        if np.ptp(spread) == 0:  # BCa divides by the spread
            return Estimate(value, value, value, n)
        result = stats.bootstrap(columns, statistic, paired=True, n_resamples=0, batch=256, method="BCa",
                                 confidence_level=level, bootstrap_result=result)
    return Estimate(value, *map(float, result.confidence_interval), n)


def by_patient(table, statistic, rng, patient="study", n_resamples=N_RESAMPLES, level=LEVEL):
    """Estimate of a statistic of a table that has several rows a patient; whole patients are resampled.

    statistic: function of a DataFrame with the columns of `table` that returns a number.
    """
    rows = list(table.groupby(patient, sort=True).indices.values())

    def of_patients(chosen):
        return statistic(table.iloc[np.concatenate([rows[int(i)] for i in chosen])])

    return bca(np.arange(len(rows)), of_patients, rng, n_resamples, level)


def paired_difference(first, second, rng, n_resamples=N_RESAMPLES, level=LEVEL):
    """Mean of first - second, both measured on the same patients, in the same order."""
    _check((np.asarray(first), np.asarray(second)))
    return bca(np.subtract(first, second), np.mean, rng, n_resamples, level)


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
