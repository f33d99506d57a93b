"""Is this heart ill, and with what: people, contenders and scores of notebook 06, virtual people or patients.

A table of people has the columns of study.study_table, `split` (train, val, test; "normal": healthy people added to the
test of detection alone) and `number`, that of the class. Probabilities are (people, classes) arrays in the order of
the table, NaN where an arm was not asked. Class 0 is the healthy one.
"""

from functools import partial

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cinema.analysis.patients import ask_published, averaged
from cinema.data.public import cards
from cinema.data.study import save_study, study_table
from cinema.models.two_frames import Classes
from cinema.parallel import in_parallel
from cinema.phantom import cohort, diseases
from cinema.stats import checks, classification, estimates
from cinema.training.classification import class_numbers

HEALTHY = "NOR"
SENSITIVITY = 0.9  # wanted on validation patients
TASK = "classification_cvd"
SHARES = (("train", 0.5), ("val", 0.2), ("test", 0.3))  # of virtual people
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse penalties tried for the logistic head


def virtual_people(role, classes, n, n_normal, seed, folders, jobs=1):
    """Table of n people of a virtual cohort, those of these classes, and of n_normal further healthy ones.
    folders: where the cohort and the healthy people are kept. The latter follow those of the cohort."""
    table = study_table(cohort.write(role, n, seed, folders[0], jobs=jobs))
    table = table[table["disease"].isin(classes)].reset_index(drop=True)
    table = table.assign(split=cohort.split(table, SHARES, seed=seed))
    further = (cohort.person(role, i, seed) for i in range(n, n + 40 * n_normal))
    healthy = [person for person in further if person.attributes["disease"] == HEALTHY][:n_normal]
    in_parallel(partial(_scan, folders[1]), healthy, jobs)
    table = pd.concat([table, study_table(folders[1]).assign(split="normal")], ignore_index=True)
    return table.assign(number=class_numbers(table["disease"], classes))


def _scan(folder, person):
    return save_study(cohort.study(person), folder)


def patients(table, data):
    """(table, classes) of a prepared set: the patients of classes that somebody in training has, the healthy one first.
    ValueError where they are too few to train on, or to tell the ill from the healthy."""
    seen = set(table.loc[table["split"] == "train", "disease"].dropna()) if "disease" in table else set()
    names = [name for name in cards.card(data).classes.get("disease", ()) if name in seen]
    classes = tuple(sorted(names, key=lambda name: name != HEALTHY))
    if HEALTHY not in classes or len(classes) < 2:
        raise ValueError(
            f"training patients of {data} are of {', '.join(classes) or 'no class'}; {HEALTHY} and another are needed: "
            "prepare more of the set"
        )
    table = table[table["disease"].isin(classes)].reset_index(drop=True)
    table = table.assign(number=class_numbers(table["disease"], classes))
    test = np.bincount(table.loc[in_split(table, "test"), "number"], minlength=len(classes))
    ill = int((table.loc[in_split(table, "val"), "number"] > 0).sum())
    if ill < 1 or test.sum() < estimates.FEW or min(test[0], test[1:].max()) < 2:
        counts = ", ".join(f"{n} {name}" for name, n in zip(classes, test, strict=True))
        raise ValueError(
            f"{data} has {ill} ill patients for validation and {counts} for testing; one, and {estimates.FEW} with two "
            f"{HEALTHY} and two of one disease are needed: prepare more of the set"
        )
    return table, classes


def in_split(table, *splits):
    """Boolean (people,): whose split is one of these."""
    return table["split"].isin(splits).to_numpy()


def logistic(strength):
    """Standardised features to probabilities; strength is the inverse penalty."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))


def logistic_head(features, classes, train, val, n):
    """(probabilities (people, n), `logistic` fitted on `train` with the penalty of the least log loss on `val`)."""
    checks.numbers(features, "features")
    fits, losses = [], []
    for strength in STRENGTHS:
        fit, p = logistic(strength).fit(features[train], classes[train]), np.zeros((len(features), n))
        p[:, fit.classes_] = fit.predict_proba(features)
        fits.append((p, fit))
        losses.append(-np.log(p[val][np.arange(val.sum()), classes[val]] + 1e-9).mean())
    return fits[int(np.argmin(losses))]


def probed(n, fit=None):
    """Network of n classes from two frames whose head starts as `fit`, a `logistic` of features.study_features.
    A class that the fit has not met starts with odds near zero. Without a fit the head is random, too."""
    model = Classes(n)
    if fit is None:
        return model
    (_, scale), (_, regression) = fit.steps
    weight, bias = regression.coef_, regression.intercept_
    if len(weight) == 1:  # two classes: the log odds of the second
        weight, bias = np.vstack([0 * weight, weight]), np.r_[0, bias]
    all_weights, all_biases = np.zeros((n, len(scale.mean_))), np.full(n, -10.0)
    all_weights[regression.classes_], all_biases[regression.classes_] = weight, bias
    model.start_head(scale, all_weights, all_biases)
    return model


def by_published(table, classes, data, data_root, seeds):
    """(probabilities of the published classifier of a set for validation and test patients, ""), or (None, why not).
    Only classes that are read here count; what the model gives to others is shared out."""
    rows, why = ask_published(TASK, data, table[in_split(table, "val", "test")], data_root, seeds)
    if rows.empty:
        return None, why
    p = averaged(rows, table["id"])[:, [rows.attrs["classes"].index(one) for one in classes]]
    return p / p.sum(axis=1, keepdims=True), ""


def exact_features(person):
    """What the rules of diseases are about, sex and body size included, and the atria: exact numbers of a person."""
    told = diseases.numbers(person.heart, person.attributes)
    told["sex"] = float(told["sex"] == "M")
    return [*told.values(), person.heart.la_volume_ml, person.heart.ra_volume_ml, person.heart.septal_flattening]


def oracle(role, table, classes, seed, n_others):
    """Probabilities for a cohort's people by a forest that knows their exact numbers and sees no image.
    It is fitted to n_others further people, drawn with another seed."""
    others = [cohort.person(role, i, seed + 7) for i in range(n_others)]
    others = [person for person in others if person.attributes["disease"] in classes]
    numbers = class_numbers([person.attributes["disease"] for person in others], classes)
    forest = RandomForestClassifier(300, random_state=seed).fit([exact_features(person) for person in others], numbers)
    people = [cohort.person(role, int(name.split("_")[-1]), seed) for name in table["id"]]
    p = np.zeros((len(people), len(classes)))
    p[:, forest.classes_] = forest.predict_proba([exact_features(person) for person in people])
    return p


def detection_threshold(ill, score):
    """Highest score that finds SENSITIVITY of these ill patients; there may be no healthy one among them."""
    found = np.sort(checks.numbers(score, "scores")[checks.yes_no(ill, "ill")])[::-1]
    if not len(found):
        raise ValueError("nobody here is ill; a threshold for sensitivity needs one ill patient or more")
    return float(found[int(np.ceil(SENSITIVITY * len(found) - 1e-9)) - 1])


def called_right(ill, called):
    """{"sensitivity", "specificity"} of a yes or no, stats.Estimates."""
    return {of.__name__: of(ill, called) for of in (classification.sensitivity, classification.specificity)}


def frequent(number, *probabilities):
    """Class numbers and probabilities of people without the classes that fewer than two of them have."""
    kept = [k for k in range(probabilities[0].shape[1]) if (number == k).sum() > 1]
    fine = np.isin(number, kept)
    return np.searchsorted(kept, number[fine]), *(p[fine][:, kept] for p in probabilities)


def types(number, p, rng):
    """Which disease: {"accuracy", "MCC", "macro AUC"} of the people who are judged; the last of `frequent` classes."""
    said, area = checks.numbers(p, "probabilities").argmax(1), classification.macro_auc(*frequent(number, p))
    right = estimates.proportion(int((said == number).sum()), len(number))
    return {"accuracy": right, "MCC": classification.mcc(number, said, rng), "macro AUC": area}


def thinned(classes, share, rng):
    """Indices of patients of whom a share is of class 0, drawn at random; as many for all shares up to 0.5."""
    well, sick = (rng.permutation(np.flatnonzero(chosen)) for chosen in (classes == 0, classes > 0))
    size = min(2 * len(well), len(sick))
    n = max(2, round(size * share))
    return np.r_[well[:n], sick[: max(2, size - n)]]


def with_temperature(probabilities, temperature):
    """Probabilities after their logits were divided by a temperature."""
    scaled = np.log(probabilities + 1e-9) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def fitted_temperature(probabilities, classes):
    """The temperature with the least log loss. Source: Guo 2017."""
    checks.shares(probabilities)

    def loss(log_temperature):
        p = with_temperature(probabilities, np.exp(log_temperature))
        return -np.log(p[np.arange(len(classes)), classes] + 1e-9).mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))


def mean_of(parts):
    """Mean of estimates from separate patients, with the interval of independent ones (root of summed squares)."""
    value = float(np.mean([part.value for part in parts]))
    apart = lambda end: float(np.sqrt(sum((getattr(part, end) - part.value) ** 2 for part in parts)) / len(parts))
    return estimates.Estimate(value, value - apart("lower"), value + apart("upper"), sum(part.n for part in parts))
