"""What images tell of people and scanners (sex, vendor, age, BMI), how well, and from which part (notebook 07).

Virtual people and patients are read alike: frozen features, a linear probe in folds. What is exact of virtual people
(hearts, bodies, protocols) bounds what can be read.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import RandomForestClassifier

from cinema.analysis.features import N_FOLDS, predicted_number, study_features
from cinema.analysis.patients import ask_published, averaged
from cinema.data.loaders import StudyFrames
from cinema.data.study import load_study
from cinema.files import WEIGHTS
from cinema.models import ResNet3d, small
from cinema.models.standard import Standardised
from cinema.parallel import in_parallel
from cinema.stats import checks, classification, estimates
from cinema.terms import LABELS, SMALL_GRID
from cinema.training import regression
from cinema.training.arms import with_targets
from cinema.training.classification import TASK
from cinema.training.task import one_thread

ATTRIBUTES = {"sex": "sex", "vendor": "vendor", "age": "age_years", "BMI": "bmi_kg_m2"}  # words -> attribute of a study
UNITS = {"age": "years", "BMI": "kg/m²"}  # the others are classes
TASKS = {name: f"{'regression' if name in UNITS else 'classification'}_{name.lower()}" for name in ATTRIBUTES}
LEAST = 2 * N_FOLDS  # patients of a probe
PROTOCOL = {"flip angle": "flip_deg", "repetition time": "tr_ms", "noise": "snr"}  # fields of phantom.image.Acquisition
PROTOCOL |= {"blur": "blur_mm", "shading": "coil_shading", "field": "field_t"}
CHUNK = 20
BANDS = 8


@dataclass(frozen=True)
class Known:
    """People of whom an attribute is known: positions in the table, their values; why not, if it cannot be read."""

    name: str
    rows: np.ndarray
    values: np.ndarray
    lacks: str = ""

    @property
    def unit(self):
        """Of a number; empty for a class."""
        return UNITS.get(self.name, "")

    @property
    def classes(self):
        """(names, class numbers of the people)."""
        return np.unique(self.values, return_inverse=True)


def known(table, name, least=N_FOLDS):
    """Known of an attribute. Classes of fewer than `least` people are left out; None leaves none out."""
    given = table.get(ATTRIBUTES[name], pd.Series(np.nan, table.index, dtype=object))
    values = given.where(given.notna() & (given != ""))
    if name not in UNITS:
        counts = values.value_counts()
        values = values.where(values.isin(counts[counts >= (least or 1)].index))
    rows = np.flatnonzero(values.notna())
    found = values.to_numpy()[rows]
    found = checks.numbers(found, ATTRIBUTES[name]) if name in UNITS else found.astype(str)
    lacks = ""
    if not given.notna().any():
        lacks = "the data set does not tell it"
    elif len(found) < LEAST:
        lacks = f"{len(found)} usable patients, and a probe in {N_FOLDS} folds needs {LEAST}"
    elif len(np.unique(found)) < 2:
        lacks = f"everybody has the same, {found[0]}"
    return Known(name, rows, found, lacks)


def readable(told):
    """Those attributes that can be read: label -> Known; ValueError with all reasons where there is none."""
    kept = {label: one for label, one in told.items() if not one.lacks}
    if not kept:
        reasons = "; ".join(f"{label}: {one.lacks}" for label, one in told.items())
        raise ValueError(f"no attribute can be read ({reasons}): prepare more of the set, or another one")
    return kept


def read(features, told, seed=0):
    """Cross-fitted answers of a linear probe: (n,) numbers, or (n, classes) scores in sorted order of the classes, one
    probe a class against the rest."""
    seen = features[told.rows]
    if told.unit:
        return predicted_number(seen, told.values, seed)
    return np.stack([predicted_number(seen, (told.values == name) * 1.0, seed) for name in told.classes[0]], axis=1)


def quality(answers, told, rng):
    """stats.Estimate of answers: mean absolute error of a number, (macro) AUC of a class."""
    if told.unit:
        return estimates.mean(np.abs(answers - told.values), rng)
    numbers, two = told.classes[1], answers.shape[1] == 2
    area, scores = (classification.auc, answers[:, 1]) if two else (classification.macro_auc, answers)
    return estimates.or_without_interval(lambda: area(numbers, scores), np.nan, len(numbers))


def by_published(table, data, name, data_root, seeds, rng):
    """(Estimate of the published model of an attribute on the test patients of its own set, ""), or (None, why not)."""
    column = ATTRIBUTES[name]
    known_of = table[column].notna() if column in table else np.zeros(len(table), bool)
    tested = table[(table["split"] == "test") & known_of] if "split" in table else table[:0]
    rows, why = ask_published(TASKS[name], data, tested, data_root, seeds)
    if rows.empty:
        return None, why
    answers, true = averaged(rows, tested["id"]), tested[column].to_numpy()
    if name in UNITS:
        return quality(answers[:, 0], Known(name, np.arange(len(true)), true.astype(float)), rng), ""
    classes, kept = rows.attrs["classes"], np.isin(true, rows.attrs["classes"])
    told = Known(name, np.flatnonzero(kept), true[kept].astype(str))
    seen = np.isin(np.sort(classes), told.values)
    return quality(answers[kept][:, np.argsort(classes)][:, seen], told, rng), ""


def resnet(told):
    """(how to build it, its task, its data set) of a small ResNet that is trained for an attribute, as arms.Run's."""
    if told.unit:
        task, n = regression.task(float(told.values.mean()), float(told.values.std())), 1
        data = partial(with_targets, attribute="age_years")
    else:
        classes = tuple(told.classes[0].tolist())
        task, n = TASK, len(classes)
        data = partial(with_targets, classes=classes, attribute=ATTRIBUTES[told.name])
    return partial(ResNet3d, 10, 2, n, (16, 32, 64, 128)), task, data


def image_features(person):
    """What a picture could show of a person, exactly: log volumes and mass, length, function, fat, size of the body."""
    h = person.heart
    volumes = (h.lv_edv_ml, h.lv_esv_ml, h.rv_edv_ml, h.rv_esv_ml)
    sizes = (h.lv_mass_g, h.lv_length_mm, h.mapse_mm, h.la_volume_ml, h.ra_volume_ml)
    return np.log([*volumes, *sizes, h.chest_fat_mm, h.epicardial_fat_mm, h.body_scale]).tolist()


def acquired(person, names=tuple(PROTOCOL)):
    """How a person was scanned, exactly: some of PROTOCOL."""
    return [getattr(person.acquisition, PROTOCOL[name]) for name in names]


def by_forest(describe, answer, others, people, seed):
    """(n, classes) probabilities of an attribute by a forest that was fitted to others, as `describe` tells them."""
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=seed)
    forest.fit([describe(person) for person in others], [person.attributes[answer] for person in others])
    return forest.predict_proba([describe(person) for person in people])


def hidden(items, mask):
    """Items of standardised images (models.standard) with the voxels of `mask` at zero, the cohort's mean.

    mask: (x, y) boolean, True where hidden; the same for all studies, so that its outline tells nothing of the patient.
    (A mask drawn round each heart would betray the heart's size.)
    """
    mask = torch.from_numpy(np.asarray(mask, bool)[..., None])
    return [{"image": {view: image.masked_fill(mask, 0.0) for view, image in item["image"].items()}} for item in items]


def disc(radius_mm):
    """(x, y) boolean: within radius_mm of the middle of the short-axis images, where the heart lies."""
    (nx, ny, _), (dx, dy, _) = SMALL_GRID["sax"]
    x, y = np.meshgrid((np.arange(nx) - (nx - 1) / 2) * dx, (np.arange(ny) - (ny - 1) / 2) * dy, indexing="ij")
    return np.hypot(x, y) <= radius_mm


def windows(edge, step):
    """Square (x, y) masks of `edge` pixels, moved across the image by `step` pixels: (windows, x, y) boolean."""
    nx, ny, _ = SMALL_GRID["sax"][0]
    if (nx - edge) % step or (ny - edge) % step or step > edge:
        raise ValueError(
            f"windows of {edge} pixels in steps of {step} do not cover {nx} x {ny}; choose a divisor of "
            f"{nx - edge} and {ny - edge} that is at most {edge}"
        )
    corners = [(i, j) for i in range(0, nx - edge + 1, step) for j in range(0, ny - edge + 1, step)]
    masks = np.zeros((len(corners), nx, ny), bool)
    for mask, (i, j) in zip(masks, corners, strict=True):
        mask[i : i + edge, j : j + edge] = True
    return masks


def spread(values, masks):
    """(..., x, y) maps of (..., windows) values: at every pixel the mean over the windows that cover it."""
    return np.tensordot(values, masks, axes=1) / masks.sum(axis=0)


def heart_share(paths, mask):
    """Share of all heart voxels (ventricles and wall, ED and ES) of some studies that lies within an (x, y) mask."""
    hearts = [load_study(path, ["sax"]).views["sax"].labels != LABELS["background"] for path in paths]
    return sum(int(heart[mask].sum()) for heart in hearts) / sum(int(heart.sum()) for heart in hearts)


def usual_labels(paths, z):
    """(x, y): what a pixel of slice z is in most of some studies at end-diastole."""
    slices = np.array([load_study(path, ["sax"]).views["sax"].label_at(0)[:, :, z] for path in paths])
    return np.argmax([(slices == value).mean(axis=0) for value in LABELS.values()], axis=0)


def features(paths, masks, jobs=1):
    """Frozen features of the shipped encoder with each of some masks hidden: (masks, studies, d)."""
    pieces = [list(paths[i : i + CHUNK]) for i in range(0, len(paths), CHUNK)]
    return np.concatenate(in_parallel(partial(_features, masks=masks), pieces, jobs, "hidden windows"), axis=1)


@one_thread()
def _features(paths, masks):
    """(masks, studies, d); the studies are read once."""
    model, standard = small.shipped_cinema(WEIGHTS)
    dataset = Standardised(StudyFrames(paths, ("sax",), "ed_es", SMALL_GRID), standard)
    plain = [dataset[index] for index in range(len(dataset))]
    return np.stack([study_features(model, hidden(plain, mask)) for mask in masks])


def statistics(paths):
    """What an image says without anatomy, a row a study: histogram (quantiles of intensity), noise (spread of small
    differences, all over and in the dark), spectrum (log power in rings of spatial frequency). Columns name_number."""
    rows = []
    for path in paths:
        image = load_study(path, ["sax"]).views["sax"].image.astype(np.float32) / 255
        fine = np.diff(image, 2, axis=0)[:, 1:-1] + np.diff(image, 2, axis=1)[1:-1]
        dark = image[1:-1, 1:-1] <= np.quantile(image, 0.3)
        noise = np.log([np.median(np.abs(fine)) + 1e-4, np.median(np.abs(fine[dark])) + 1e-4, fine.std()])
        quantiles = np.quantile(image, np.linspace(0.02, 0.98, 13))
        parts = {"histogram": quantiles, "noise": noise, "spectrum": _spectrum(image)}
        rows.append({f"{name}_{i}": float(v) for name, values in parts.items() for i, v in enumerate(values)})
    return pd.DataFrame(rows)


def _spectrum(image):
    """(BANDS,) log of mean power in rings of in-plane spatial frequency, relative to their sum."""
    power = (np.abs(np.fft.fft2(image - image.mean(axis=(0, 1)), axes=(0, 1))) ** 2).mean(axis=(2, 3))
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(image.shape[0]), np.fft.fftfreq(image.shape[1]), indexing="ij"))
    ring = np.minimum((radius / 0.5 * BANDS).astype(int), BANDS - 1)
    level = np.bincount(ring.ravel(), power.ravel(), BANDS) / np.bincount(ring.ravel(), minlength=BANDS)
    return np.log(level / level.sum() + 1e-9)
