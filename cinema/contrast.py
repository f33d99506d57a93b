"""Who scores better, by how much, and is it more than chance: tables of scores in, estimates out. No torch."""

import re

import numpy as np

from cinema import stats


def key(name):
    """A model's name as part of a key of the record: "CineMA, scratch" -> "cinema_scratch"."""
    return re.sub(r"\W+", "_", name).lower()


def best_rates(rates, maximise=True):
    """arm -> the learning rate with the best validation score. rates: rows arm, learning_rate, validation."""
    score = rates["validation"] * (1 if maximise else -1)
    return rates.loc[score.groupby(rates["arm"], sort=False).idxmax()].set_index("arm")["learning_rate"].to_dict()


def late_gain(histories):
    """arm -> rise of validation Dice between the last two evaluations. histories: one training per arm."""
    return {arm: float(np.diff(rows["val_mean_dice"].dropna().iloc[-2:])[0])
            for arm, rows in histories.groupby("arm", sort=False)}


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
