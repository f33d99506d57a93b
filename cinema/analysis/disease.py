"""Disease in patients: which classes a prepared set holds, who answers, and how well (notebook 06).

Probabilities are (patients, classes) arrays in the order of a patients table; NaN rows where an arm was not asked.
Column 0 is the healthy class.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cinema.analysis.features import predicted_number
from cinema.inference import published
from cinema.models.published import PUBLISHED
from cinema.models.two_frames import Classes
from cinema.phantom import cohort, diseases
from cinema.stats import classification, estimates
from cinema.training.classification import class_numbers

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


def in_split(table, *splits):
    """Boolean (patients,): whose split is one of these."""
    return table["split"].isin(splits).to_numpy()


def lacking(table, classes):
    """Why nothing can be trained or judged here, in a sentence; empty if it can."""
    fits = table.loc[in_split(table, "train"), "number"]
    if HEALTHY not in classes or len(classes) < 2:
        return f"Training patients are of {', '.join(classes) or 'no class'}; {HEALTHY} and another are needed."
    if min(len(fits), int(in_split(table, "val").sum()), int(in_split(table, "test").sum())) < 1:
        return "Training, validation and test need a patient each."
    return ""


def frozen(features, table, classes):
    """(probabilities, fit) of a logistic head on frozen features, its penalty chosen on validation patients."""
    x = features.loc[table["id"]].to_numpy()
    return logistic_head(x, table["number"].to_numpy(), in_split(table, "train"), in_split(table, "val"), len(classes))


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
    asked = table[in_split(table, "val", "test")]
    rows = published.predict(TASK, name, asked["path"].tolist(), source, seeds, device)
    order = [rows.attrs["classes"].index(one) for one in classes]
    p = of_arm(rows, table, rows.attrs["classes"])[:, order]
    return p / p.sum(axis=1, keepdims=True)


class Detection(NamedTuple):
    """Ill or healthy, one arm on test patients: stats.Estimates; threshold: chosen on validation patients, or None."""

    auc: estimates.Estimate
    sensitivity: estimates.Estimate
    specificity: estimates.Estimate
    threshold: float | None
    chosen_sensitivity: estimates.Estimate
    chosen_specificity: estimates.Estimate
    mcc: estimates.Estimate


def detected(p, table, rng):
    """Detection of one arm. What needs more patients than there are has the value NaN, or no interval."""
    test, val, ill = in_split(table, "test"), in_split(table, "val"), (table["number"] > 0).to_numpy(int)
    true, score, n = ill[test], 1 - p[test, 0], int(test.sum())
    called, threshold = (p[test].argmax(1) != 0).astype(int), None
    if ill[val].sum() and np.isfinite(p[val]).all():
        threshold = detection_threshold(ill[val], 1 - p[val, 0])
    by_threshold = None if threshold is None else (score >= threshold).astype(int)
    return Detection(
        estimates.or_without_interval(lambda: classification.auc(true, score), np.nan, n),
        *_shares(true, called),
        threshold,
        *_shares(true, by_threshold),
        estimates.or_without_interval(lambda: classification.mcc(true, called, rng), np.nan, n),
    )


def detection_threshold(ill, score):
    """Highest score that finds SENSITIVITY of these ill patients; there may be no healthy one among them."""
    found = np.sort(np.asarray(score)[np.asarray(ill) == 1])[::-1]
    return float(found[int(np.ceil(SENSITIVITY * len(found) - 1e-9)) - 1])


def _shares(true, called):
    """(sensitivity, specificity) with Wilson's interval; NaN for a group without patients or without a call."""
    parts = []
    for group in (1, 0):
        n = int((true == group).sum())
        parts.append(
            estimates.without_interval(np.nan, n)
            if called is None or not n
            else estimates.proportion(int((called[true == group] == group).sum()), n)
        )
    return parts


def types(p, table, rng):
    """Which disease, one arm on test patients: {"accuracy", "MCC", "macro AUC"}, of classes with two patients or more
    for the last."""
    test = in_split(table, "test")
    p, true, n = p[test], table["number"].to_numpy()[test], int(test.sum())
    kept = [k for k in range(p.shape[1]) if (true == k).sum() > 1]
    fine = np.isin(true, kept)

    def area():
        return classification.macro_auc(np.searchsorted(kept, true[fine]), p[fine][:, kept])

    return {
        "accuracy": estimates.proportion(int((p.argmax(1) == true).sum()), n),
        "MCC": estimates.or_without_interval(lambda: classification.mcc(true, p.argmax(1), rng), np.nan, n),
        "macro AUC": estimates.or_without_interval(area, np.nan, n)
        if len(kept) > 1
        else estimates.without_interval(np.nan, n),
    }


def differences(answers, first, table):
    """{second: (AUC of first - AUC of second, p)} on the same test patients; empty where an AUC is not defined."""
    test = in_split(table, "test")
    true, found = (table["number"] > 0).to_numpy(int)[test], {}
    for name, p in answers.items():
        if name != first and min(true.sum(), (1 - true).sum()) > 1:
            found[name] = classification.auc_difference(true, 1 - answers[first][test, 0], 1 - p[test, 0])
    return found


def text_table(found, digits=2):
    """DataFrame of words: a row an arm, a column a measure. found: arm -> {measure: stats.Estimate}."""
    return pd.DataFrame(
        {arm: {name: estimates.text(e, digits) for name, e in row.items()} for arm, row in found.items()}
    ).T


STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse penalties tried for the logistic head
PROTOCOL = {
    "flip angle": "flip_deg",
    "repetition time": "tr_ms",
    "noise": "snr",
    "blur": "blur_mm",
    "shading": "coil_shading",
    "field": "field_t",
}  # words -> fields of phantom.image.Acquisition


def logistic(strength):
    """Standardised features to probabilities; strength is the inverse penalty."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))


def logistic_head(features, classes, train, val, n):
    """(probabilities (patients, n), `logistic` fitted on `train` with the penalty of the least log loss on `val`)."""
    fits, losses = [], []
    for strength in STRENGTHS:
        fit, p = logistic(strength).fit(features[train], classes[train]), np.zeros((len(features), n))
        p[:, fit.classes_] = fit.predict_proba(features)
        fits.append((p, fit))
        losses.append(-np.log(p[val][np.arange(val.sum()), classes[val]] + 1e-9).mean())
    return fits[int(np.argmin(losses))]


def probed(n, fit):
    """Classes(n) whose head starts as `fit`, a `logistic` of probes.study_features.

    A class that the fit has not met starts with odds near zero.
    """
    (_, scale), (_, regression) = fit.steps
    weight, bias = regression.coef_, regression.intercept_
    if len(weight) == 1:  # two classes: the log odds of the second
        weight, bias = np.vstack([0 * weight, weight]), np.r_[0, bias]
    all_weights, all_biases = np.zeros((n, len(scale.mean_))), np.full(n, -10.0)
    all_weights[regression.classes_], all_biases[regression.classes_] = weight, bias
    model = Classes(n)
    model.start_head(scale, all_weights, all_biases)
    return model


def exact_features(person):
    """What the rules of diseases are about, sex and body size included, and the atria: exact numbers of a person."""
    told = diseases.numbers(person.heart, person.attributes)
    told["sex"] = float(told["sex"] == "M")
    return [*told.values(), person.heart.la_volume_ml, person.heart.ra_volume_ml, person.heart.septal_flattening]


def oracle(role, classes, indices, seed, n_others):
    """(n, classes) probabilities for people of a role by a forest that knows their exact numbers and sees no image.

    It is fitted to n_others further people, drawn with another seed.
    """
    others = [cohort.person(role, i, seed + 7) for i in range(n_others)]
    others = [person for person in others if person.attributes["disease"] in classes]
    numbers = class_numbers([person.attributes["disease"] for person in others], classes)
    forest = RandomForestClassifier(300, random_state=seed).fit([exact_features(person) for person in others], numbers)
    p = np.zeros((len(indices), len(classes)))
    p[:, forest.classes_] = forest.predict_proba([exact_features(cohort.person(role, int(i), seed)) for i in indices])
    return p


def thinned(classes, share, rng):
    """Indices of patients of whom a share is of class 0, drawn at random;
    of the same number for all shares up to 0.5."""
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

    def loss(log_temperature):
        p = with_temperature(probabilities, np.exp(log_temperature))
        return -np.log(p[np.arange(len(classes)), classes] + 1e-9).mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))


def mean_of(parts):
    """Mean of estimates from separate patients, with the interval of independent ones (root of summed squares)."""
    value = float(np.mean([part.value for part in parts]))
    low, high = (
        float(np.sqrt(sum((getattr(part, end) - part.value) ** 2 for part in parts)) / len(parts))
        for end in ("lower", "upper")
    )
    return estimates.Estimate(value, value - low, value + high, sum(part.n for part in parts))


def image_features(person):
    """What a picture could show of a person, exactly: log volumes and mass, length, function, fat, size of the body."""
    h = person.heart
    sizes = (
        h.lv_edv_ml,
        h.lv_esv_ml,
        h.rv_edv_ml,
        h.rv_esv_ml,
        h.lv_mass_g,
        h.lv_length_mm,
        h.mapse_mm,
        h.la_volume_ml,
        h.ra_volume_ml,
        h.chest_fat_mm,
        h.epicardial_fat_mm,
        h.body_scale,
    )
    return np.log(sizes).tolist()


def acquired(person, names):
    """How a person was scanned, exactly: some of PROTOCOL."""
    return [getattr(person.acquisition, PROTOCOL[name]) for name in names]


def by_forest(describe, answer, others, people, seed):
    """(n, classes) probabilities of an attribute by a forest that was fitted to others, as `describe` tells them."""
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=seed)
    forest.fit([describe(person) for person in others], [person.attributes[answer] for person in others])
    return forest.predict_proba([describe(person) for person in people])


def one_against_rest(features, values, seed):
    """(n, classes) cross-fitted scores, one probe a class, classes in sorted order."""
    values = np.asarray(values)
    return np.stack([predicted_number(features, (values == name).astype(float), seed) for name in np.unique(values)], 1)
