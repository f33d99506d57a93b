"""Disease in patients: which classes a prepared set holds, who answers, and how well (notebook 06).

Probabilities are (patients, classes) arrays in the order of a patients table; NaN rows where an arm was not asked.
Column 0 is the healthy class.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from cinema import detection, diagnosis, few, stats
from cinema.models.published import PUBLISHED
from cinema.tasks import published
from cinema.tasks.classification import class_numbers

HEALTHY = "NOR"
SENSITIVITY = 0.9  # wanted on validation patients
TASK = "classification_cvd"


def classes_of(table, names):
    """Classes of a set in the order used here, the healthy one first; those nobody trained with has are left out."""
    seen = set(table.loc[table["split"] == "train", "disease"].dropna())
    return tuple(sorted((name for name in names if name in seen), key=lambda name: name != HEALTHY))


def patients_of(table, classes):
    """Rows of patients of these classes, with `number`, that of the class."""
    kept = table[table["disease"].isin(classes)].reset_index(drop=True)
    return kept.assign(number=class_numbers(kept["disease"], classes))


def at(table, *splits):
    """Boolean (patients,): whose split is one of these."""
    return table["split"].isin(splits).to_numpy()


def lacking(table, classes):
    """Why nothing can be trained or judged here, in a sentence; empty if it can."""
    fits = table.loc[at(table, "train"), "number"]
    if HEALTHY not in classes or len(classes) < 2:
        return f"Training patients are of {', '.join(classes) or 'no class'}; {HEALTHY} and another are needed."
    if min(len(fits), int(at(table, "val").sum()), int(at(table, "test").sum())) < 1:
        return "Training, validation and test need a patient each."
    return ""


def frozen(features, table, classes):
    """(probabilities, fit) of a logistic head on frozen features, its penalty chosen on validation patients."""
    x = features.loc[table["id"]].to_numpy()
    return detection.logistic_head(x, table["number"].to_numpy(), at(table, "train"), at(table, "val"), len(classes))


def of_arm(scores, table, classes):
    """Probabilities from rows of a trained arm (study, seed, p_0 ..), seeds averaged; rows not scored are NaN."""
    columns = [f"p_{k}" for k in range(len(classes))]
    return scores.groupby("study")[columns].mean().reindex(table["id"]).to_numpy()


def by_published(table, classes, data, source, seeds, device="cpu"):
    """Probabilities of the published classifier of a set for validation and test patients; None where there is none.

    Only classes that are read here count; what the model gives to others is shared out.
    """
    name = f"{data}_sax"
    if name not in PUBLISHED[TASK]:
        return None
    asked = table[at(table, "val", "test")]
    rows = published.predict(TASK, name, asked["path"].tolist(), source, seeds, device)
    order = [rows.attrs["classes"].index(one) for one in classes]
    p = of_arm(rows, table, rows.attrs["classes"])[:, order]
    return p / p.sum(axis=1, keepdims=True)


class Detection(NamedTuple):
    """Ill or healthy, one arm on test patients: stats.Estimates; threshold: chosen on validation patients, or None."""

    auc: stats.Estimate
    sensitivity: stats.Estimate
    specificity: stats.Estimate
    threshold: float | None
    chosen_sensitivity: stats.Estimate
    chosen_specificity: stats.Estimate
    mcc: stats.Estimate


def detected(p, table, rng):
    """Detection of one arm. What needs more patients than there are has the value NaN, or no interval."""
    test, val, ill = at(table, "test"), at(table, "val"), (table["number"] > 0).to_numpy(int)
    true, score, n = ill[test], 1 - p[test, 0], int(test.sum())
    called, threshold = (p[test].argmax(1) != 0).astype(int), None
    if ill[val].sum() and np.isfinite(p[val]).all():
        threshold = detection_threshold(ill[val], 1 - p[val, 0])
    by_threshold = None if threshold is None else (score >= threshold).astype(int)
    return Detection(
        few.attempt(lambda: diagnosis.auc(true, score), np.nan, n),
        *_shares(true, called), threshold, *_shares(true, by_threshold),
        few.attempt(lambda: diagnosis.mcc(true, called, rng), np.nan, n))


def detection_threshold(ill, score):
    """Highest score that finds SENSITIVITY of these ill patients; there may be no healthy one among them."""
    found = np.sort(np.asarray(score)[np.asarray(ill) == 1])[::-1]
    return float(found[int(np.ceil(SENSITIVITY * len(found) - 1e-9)) - 1])


def _shares(true, called):
    """(sensitivity, specificity) with Wilson's interval; NaN for a group without patients or without a call."""
    parts = []
    for group in (1, 0):
        n = int((true == group).sum())
        parts.append(few.bare(np.nan, n) if called is None or not n else
                     stats.proportion(int((called[true == group] == group).sum()), n))
    return parts


def types(p, table, rng):
    """Which disease, one arm on test patients: {"accuracy", "MCC", "macro AUC"}, of classes with two patients or more
    for the last."""
    test = at(table, "test")
    p, true, n = p[test], table["number"].to_numpy()[test], int(test.sum())
    kept = [k for k in range(p.shape[1]) if (true == k).sum() > 1]
    fine = np.isin(true, kept)

    def area():
        return diagnosis.macro_auc(np.searchsorted(kept, true[fine]), p[fine][:, kept])

    return {"accuracy": stats.proportion(int((p.argmax(1) == true).sum()), n),
            "MCC": few.attempt(lambda: diagnosis.mcc(true, p.argmax(1), rng), np.nan, n),
            "macro AUC": few.attempt(area, np.nan, n) if len(kept) > 1 else few.bare(np.nan, n)}


def differences(answers, first, table):
    """{second: (AUC of first - AUC of second, p)} on the same test patients; empty where an AUC is not defined."""
    test = at(table, "test")
    true, found = (table["number"] > 0).to_numpy(int)[test], {}
    for name, p in answers.items():
        if name != first and min(true.sum(), (1 - true).sum()) > 1:
            found[name] = diagnosis.auc_difference(true, 1 - answers[first][test, 0], 1 - p[test, 0])
    return found


def text_table(found, digits=2):
    """DataFrame of words: a row an arm, a column a measure. found: arm -> {measure: stats.Estimate}."""
    return pd.DataFrame({arm: {name: few.text(e, digits) for name, e in row.items()} for arm, row in found.items()}).T
