"""What a sample can show: the chance that a two-sided test finds an effect, and the smallest effect that it finds.

Of two means, two proportions, an AUC and a hazard ratio; alpha is the level of the test, power the chance to find it.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize
from scipy.stats import norm
from statsmodels.stats.power import tt_ind_solve_power
from statsmodels.stats.proportion import power_proportions_2indep

from cinema.stats.estimates import ALPHA

POWER = 0.8


def power_of_means(delta: float, sd: float, n1: int, n2: int, alpha: float = ALPHA) -> float:
    """Chance that a t test of n1 and n2 patients finds means that differ by delta; sd within a group."""
    _check(n1, n2, sd=sd)
    if not math.isfinite(delta):
        raise ValueError(f"delta is {delta}; it must be finite")
    if delta == 0:
        return alpha
    power = tt_ind_solve_power(abs(delta) / sd, n1, alpha, None, n2 / n1)
    return float(np.nan_to_num(power, nan=1.0))  # scipy's non-central t is NaN where hardly anything is missed


def detectable_mean_gap(sd: float, n1: int, n2: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """Smallest difference of two means that a t test finds with chance `power`, in the unit of sd."""
    _check(n1, n2, sd=sd)
    found = lambda gap: power_of_means(gap, 1.0, n1, n2, alpha)
    enough = (norm.ppf(1 - alpha / 2) + norm.ppf(power)) * np.sqrt(1 / n1 + 1 / n2)
    while found(enough) < power:
        enough *= 1.5
    return float(sd * _reaches(power, found, 1e-9, enough))  # statsmodels' own search fails at small alpha


def detectable_proportion_gap(p: float, n1: int, n2: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """Smallest gap that is found with chance `power` between a proportion p of n1 patients and that of n2 others.

    The second proportion lies on the side of one half: for a sensitivity of 0.9, how much lower it must be.
    NaN where even the other end of the scale would not be found. Source: Fleiss 2003; the normal approximation.
    """
    _check(n1, n2)
    if not 0 < p < 1:
        raise ValueError(f"proportion {p}; it must lie between 0 and 1 (where none was seen, add one to both counts)")
    side, room = (-1, p) if p > 0.5 else (1, 1 - p)
    found = lambda gap: power_proportions_2indep(side * gap, p, n2, n1 / n2, alpha, return_results=False)
    return _reaches(power, found, 1e-6, room - 1e-6)


def power_of_auc(auc: float, n_cases: float, n_controls: float, alpha: float = ALPHA) -> float:
    """Chance that a test finds an AUC to differ from 0.5.
    Source: Hanley and McNeil 1982 for the variance under `auc`; under 0.5 it is that of the rank sum test."""
    if not 0 < auc < 1:
        raise ValueError(f"AUC {auc}; it must lie between 0 and 1")
    _check(n_cases, n_controls)
    auc = max(auc, 1 - auc)
    pairs, q1, q2 = n_cases * n_controls, auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_cases - 1) * (q1 - auc**2) + (n_controls - 1) * (q2 - auc**2)
    null, sd = np.sqrt((n_cases + n_controls + 1) / (12 * pairs)), np.sqrt(variance / pairs)
    reach = norm.ppf(1 - alpha / 2) * null
    return float(np.sum(norm.sf((reach + np.array([0.5 - auc, auc - 0.5])) / sd)))


def detectable_auc(n_cases: float, n_controls: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """Smallest AUC above 0.5 that a test finds with chance `power`; NaN where none is."""
    return _reaches(power, lambda auc: power_of_auc(auc, n_cases, n_controls, alpha), 0.5, 1 - 1e-9)


def power_of_hazard_ratio(hazard_ratio: float, events: float, variance: float = 1.0, alpha: float = ALPHA) -> float:
    """Chance that a hazard ratio per unit of a covariate is found with `events` deaths.

    variance: of the covariate given the others: 1 for a standardised score, p (1 - p) for two groups.
    Source, here and below: Schoenfeld 1983; Hsieh and Lavori 2000.
    """
    _check(hazard_ratio=hazard_ratio, events=events, variance=variance)
    drift = abs(math.log(hazard_ratio)) * math.sqrt(events * variance)
    z = norm.isf(alpha / 2)
    return float(norm.sf(z - drift) + norm.cdf(-z - drift))


def events_needed(hazard_ratio: float, variance: float = 1.0, alpha: float = ALPHA, power: float = POWER) -> int:
    """Deaths needed to find a hazard ratio with chance `power`."""
    _check(hazard_ratio=hazard_ratio, variance=variance)
    if hazard_ratio == 1:
        raise ValueError(f"hazard ratio {hazard_ratio}; no number of deaths finds a ratio of 1")
    z = float(norm.isf(alpha / 2) + norm.ppf(power))
    return math.ceil(z**2 / (variance * math.log(hazard_ratio) ** 2))


def detectable_hazard_ratio(events: float, variance: float = 1.0, alpha: float = ALPHA, power: float = POWER) -> float:
    """Smallest hazard ratio above 1 that `events` deaths find with chance `power`; its inverse is as detectable."""
    _check(events=events, variance=variance)
    return math.exp(float(norm.isf(alpha / 2) + norm.ppf(power)) / math.sqrt(events * variance))


def _reaches(power: float, found: Callable[[float], float], low: float, high: float) -> float:
    """Where between the ends a growing chance reaches `power`; NaN where it does not."""
    return float(optimize.brentq(lambda x: found(x) - power, low, high)) if found(high) >= power else math.nan


def _check(n1: float = 2, n2: float = 2, **positive: float) -> None:
    """ValueError for groups that have no spread, and for what must be above zero and is not."""
    if not (n1 >= 2 and n2 >= 2):
        raise ValueError(f"groups of {n1} and {n2} patients; each needs at least 2")
    for name, value in positive.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name.replace('_', ' ')} is {value}; it must be positive")
