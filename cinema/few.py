"""Estimates where patients may be few or none: what cannot be computed is said in words and left out of the record.

An Estimate without interval has NaN for its ends, one without patients for its value too. No torch.
"""

import math

import numpy as np

from cinema import results, stats


def mean(values, rng):
    """stats.Estimate of the mean of the finite values, one a patient; no interval below stats.FEW patients."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return stats.bca(values, np.mean, rng, least=stats.FEW) if len(values) else bare(math.nan, 0)


def bare(value, n):
    """An Estimate without interval."""
    return stats.Estimate(float(value), math.nan, math.nan, int(n))


def attempt(compute, value, n):
    """compute(), or `value` without interval where patients are too few for it:
    below stats.FEW, or by its ValueError."""
    try:
        return compute() if n >= stats.FEW else bare(value, n)
    except ValueError:
        return bare(value, n)


def text(found, digits=2, unit=""):
    """Estimate.text, or that nothing is known."""
    return f"not known (n = {found.n}, too small)" if math.isnan(found.value) else found.text(digits, unit)


def record(key, found, **about):
    """results.record of an Estimate that has a value; nothing otherwise."""
    if math.isfinite(found.value):
        results.record(key, *found, **about)
