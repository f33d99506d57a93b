"""What images tell of patients and scanners: sex, vendor, age, BMI, whichever a prepared set knows (notebook 07)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cinema import detection, diagnosis, few, probes
from cinema.models.published import PUBLISHED
from cinema.tasks import published

ATTRIBUTES = {"sex": "sex", "vendor": "vendor", "age": "age_years", "BMI": "bmi_kg_m2"}  # words -> attribute of a study
UNITS = {"age": "years", "BMI": "kg/m²"}  # the others are classes
TASKS = {"sex": "classification_sex", "vendor": "classification_vendor", "age": "regression_age",
         "BMI": "regression_bmi"}
FLOOR = "without an image"
LEAST = 2 * probes.N_FOLDS  # patients of a probe; of a class, one in every fold


@dataclass(frozen=True)
class Known:
    """Patients of whom an attribute is known: positions in the table, their values; why not, if it cannot be read."""

    rows: np.ndarray
    values: np.ndarray
    lacks: str = ""


def known(table, name):
    """Known of an attribute. Classes of fewer patients than folds are left out."""
    column = ATTRIBUTES[name]
    values = table.get(column, pd.Series(np.nan, table.index, dtype=object))
    values = values.where(values.notna() & (values != ""))
    if name not in UNITS:
        counts = values.value_counts()
        values = values.where(values.isin(counts[counts >= probes.N_FOLDS].index))
    rows = np.flatnonzero(values.notna())
    found = values.to_numpy()[rows]
    found = found.astype(float) if name in UNITS else found.astype(str)
    return Known(rows, found, _lack(name, table.get(column), found))


def _lack(name, given, found):
    """Why an attribute cannot be read, in a clause; empty if it can."""
    if given is None or not given.notna().any():
        return "the data set does not tell it"
    if len(found) < LEAST:
        return f"{len(found)} usable patients, and a probe in {probes.N_FOLDS} folds needs {LEAST}"
    if len(np.unique(found)) < 2:
        return f"everybody has the same, {found[0]}"
    return ""


def read(features, wanted, name, seed=0):
    """Cross-fitted answers of a linear probe: (n,) numbers, or (n, classes) scores in sorted order of the classes."""
    x = features[wanted.rows]
    if name in UNITS:
        return probes.predicted_number(x, wanted.values, seed)
    return detection.one_against_rest(x, wanted.values, seed)


def quality(answers, wanted, name, rng):
    """stats.Estimate of answers: mean absolute error of a number, (macro) AUC of a class."""
    if name in UNITS:
        return few.mean(np.abs(answers - wanted.values), rng)
    numbers = np.unique(wanted.values, return_inverse=True)[1]
    if answers.shape[1] == 2:
        return few.attempt(lambda: diagnosis.auc(numbers, answers[:, 1]), np.nan, len(numbers))
    return few.attempt(lambda: diagnosis.macro_auc(numbers, answers), np.nan, len(numbers))


def floor(wanted, name, rng):
    """The answer without an image: the mean of everybody, or an AUC of one half."""
    if name in UNITS:
        return few.mean(np.abs(wanted.values - wanted.values.mean()), rng)
    return few.bare(0.5, len(wanted.values))


def in_words(reached):
    """DataFrame of words, a row an attribute, a column a reader. reached: name -> {reader: stats.Estimate}."""
    rows = {name: {arm: "0.5, by definition" if arm == FLOOR and name not in UNITS else few.text(
        e, 1 if name in UNITS else 2, f" {UNITS[name]}" if name in UNITS else "") for arm, e in row.items()}
        for name, row in reached.items()}
    return pd.DataFrame(rows).T.fillna("")


def offered(name, data):
    """Whether a network for this attribute was published for this data set."""
    return f"{data}_sax" in PUBLISHED[TASKS[name]]


def by_published(table, data, name, source, seeds, rng, device="cpu"):
    """Estimate of a published model (`offered`) of an attribute on the test patients of its own set, seeds averaged."""
    task, model, column = TASKS[name], f"{data}_sax", ATTRIBUTES[name]
    tested = table[(table["split"] == "test") & table[column].notna()]
    rows = published.predict(task, model, tested["path"].tolist(), source, seeds, device)
    true = tested.set_index("id")[column]
    if name in UNITS:
        found = rows.groupby("study")["value"].mean().reindex(true.index).to_numpy()
        return few.mean(np.abs(found - true.to_numpy(float)), rng)
    classes = rows.attrs["classes"]
    p = rows.groupby("study")[[f"p_{k}" for k in range(len(classes))]].mean().reindex(true.index).to_numpy()
    order = np.argsort(classes)
    kept = true.isin(classes).to_numpy()
    wanted = Known(np.flatnonzero(kept), true.to_numpy(str)[kept])
    seen = np.isin(np.sort(classes), wanted.values)
    return quality(p[kept][:, order][:, seen], wanted, name, rng)
