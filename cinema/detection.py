"""Ill or not, and with what: the contenders of notebook 06 and what is done with their probabilities."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cinema import presets, stats
from cinema.experiments.fine_tuning import TwoFrames
from cinema.loaders import StudyFrames
from cinema.phantom import cohort, diseases
from cinema.probes import predicted_number
from cinema.study import load_study
from cinema.tasks.classification import class_numbers
from cinema.terms import SMALL_GRID

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse penalties tried for the logistic head
PROTOCOL = {"flip angle": "flip_deg", "repetition time": "tr_ms", "noise": "snr", "blur": "blur_mm",
            "shading": "coil_shading", "field": "field_t"}  # words -> fields of phantom.image.Acquisition


class Classes(TwoFrames):
    """TwoFrames of the short-axis stack with n outputs."""

    def __init__(self, n):
        super().__init__(**presets.small_encoder(("sax",)))
        self.pair_head[1] = torch.nn.Linear(self.pair_head[1].in_features, n)


def pairs(paths, augment=None, seed=0, classes=(), attribute="disease"):
    """ED and ES stacks of studies with their class number; for compare.Run once classes are given."""
    found = [load_study(path, ["sax"], [0]).attributes[attribute] for path in paths]
    return StudyFrames(paths, ("sax",), "ed_es", SMALL_GRID, augment, class_numbers(found, classes), seed)


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


def exact(person):
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
    forest = RandomForestClassifier(300, random_state=seed).fit([exact(person) for person in others], numbers)
    p = np.zeros((len(indices), len(classes)))
    p[:, forest.classes_] = forest.predict_proba([exact(cohort.person(role, int(i), seed)) for i in indices])
    return p


def thinned(classes, share, rng):
    """Indices of patients of whom a share is of class 0, drawn at random;
    of the same number for all shares up to 0.5."""
    well, sick = (rng.permutation(np.flatnonzero(chosen)) for chosen in (classes == 0, classes > 0))
    size = min(2 * len(well), len(sick))
    n = max(2, round(size * share))
    return np.r_[well[:n], sick[: max(2, size - n)]]


def tempered(probabilities, temperature):
    """Probabilities after their logits were divided by a temperature."""
    scaled = np.log(probabilities + 1e-9) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def fitted_temperature(probabilities, classes):
    """The temperature with the least log loss. Source: Guo 2017."""
    def loss(log_temperature):
        p = tempered(probabilities, np.exp(log_temperature))
        return -np.log(p[np.arange(len(classes)), classes] + 1e-9).mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))


def mean_of(parts):
    """Mean of estimates from separate patients, with the interval of independent ones (root of summed squares)."""
    value = float(np.mean([part.value for part in parts]))
    low, high = (float(np.sqrt(sum((getattr(part, end) - part.value) ** 2 for part in parts)) / len(parts))
                 for end in ("lower", "upper"))
    return stats.Estimate(value, value - low, value + high, sum(part.n for part in parts))


def numbered(paths, augment=None, seed=0, attribute="age_years"):
    """ED and ES stacks of studies with a number of the person; for compare.Run."""
    targets = [float(load_study(path, ["sax"], [0]).attributes[attribute]) for path in paths]
    return StudyFrames(paths, ("sax",), "ed_es", SMALL_GRID, augment, targets, seed)


def visible(person):
    """What a picture could show of a person, exactly: log volumes and mass, length, function, fat, size of the body."""
    h = person.heart
    sizes = (h.lv_edv_ml, h.lv_esv_ml, h.rv_edv_ml, h.rv_esv_ml, h.lv_mass_g, h.lv_length_mm, h.mapse_mm,
             h.la_volume_ml, h.ra_volume_ml, h.chest_fat_mm, h.epicardial_fat_mm, h.body_scale)
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
