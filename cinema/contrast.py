"""Who scores better, by how much, and is it more than chance: tables of scores in, estimates out. No torch."""

import re

import numpy as np

from cinema import stats


def key(name):
    """A model's name as part of a key of the record: "CineMA, scratch" -> "cinema_scratch"."""
    return re.sub(r"\W+", "_", name).lower()


def best_rates(histories):
    """arm -> the learning rate with the highest validation Dice; and that Dice by arm and rate.

    histories: rows arm, learning_rate, val_mean_dice (NaN between evaluations).
    """
    best = histories.groupby(["arm", "learning_rate"], sort=False)["val_mean_dice"].max().unstack()
    return best.idxmax(axis=1).to_dict(), best


def late_gain(histories, rates):
    """arm -> rise of validation Dice between the last two evaluations at the chosen rate."""
    gains = {}
    for arm, rate in rates.items():
        rows = histories[(histories["arm"] == arm) & (histories["learning_rate"] == rate)]
        before, after = rows["val_mean_dice"].dropna().iloc[-2:]
        gains[arm] = after - before
    return gains


def per_patient(scores, columns, by=("arm",)):
    """Means over frames, structures and seeds: a row for every patient and value of `by`."""
    return scores.groupby([*by, "study"], sort=False)[list(columns)].mean().reset_index()


def means(patients, value, by, rng, least=None):
    """value of `by` -> stats.Estimate of the mean over patients.

    Patients without a value are left out, and so are groups of one patient, which have no interval. With `least`
    (stats.bca) groups of fewer stay, without interval.
    """
    groups = patients.dropna(subset=value).groupby(by, sort=False)
    return {name: stats.bca(rows[value], np.mean, rng, least=least) for name, rows in groups if least or len(rows) > 1}


def difference(patients, first, second, rng, value="dice", by="arm", level=stats.LEVEL, least=None):
    """Mean of first - second over the patients that have both. patients: one row a patient and value of `by`."""
    wide = patients.pivot(index="study", columns=by, values=value)[[first, second]].dropna()
    return stats.paired_difference(wide[first], wide[second], rng, level=level, least=least)


def verdict(estimate):
    """A difference of scores, higher being better, in words."""
    if np.isnan(estimate.lower):
        return "not compared, n too small"
    if estimate.lower > 0:
        return "better"
    return "worse" if estimate.upper < 0 else "not shown to differ"
