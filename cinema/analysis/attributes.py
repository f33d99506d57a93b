"""What images tell of patients and scanners: sex, vendor, age, BMI, whichever a prepared set knows (notebook 07)."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from cinema.analysis import disease
from cinema.analysis.features import N_FOLDS, predicted_number, study_features
from cinema.data.loaders import StudyFrames
from cinema.data.study import load_study
from cinema.files import WEIGHTS
from cinema.inference import published
from cinema.models import small
from cinema.models.published import PUBLISHED
from cinema.models.standard import Standardised
from cinema.parallel import in_parallel
from cinema.stats import classification, estimates
from cinema.terms import LABELS, SMALL_GRID
from cinema.training.task import one_thread

ATTRIBUTES = {"sex": "sex", "vendor": "vendor", "age": "age_years", "BMI": "bmi_kg_m2"}  # words -> attribute of a study
UNITS = {"age": "years", "BMI": "kg/m²"}  # the others are classes
TASKS = {
    "sex": "classification_sex",
    "vendor": "classification_vendor",
    "age": "regression_age",
    "BMI": "regression_bmi",
}
FLOOR = "without an image"
LEAST = 2 * N_FOLDS  # patients of a probe; of a class, one in every fold


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
        values = values.where(values.isin(counts[counts >= N_FOLDS].index))
    rows = np.flatnonzero(values.notna())
    found = values.to_numpy()[rows]
    found = found.astype(float) if name in UNITS else found.astype(str)
    return Known(rows, found, _lack(name, table.get(column), found))


def _lack(name, given, found):
    """Why an attribute cannot be read, in a clause; empty if it can."""
    if given is None or not given.notna().any():
        return "the data set does not tell it"
    if len(found) < LEAST:
        return f"{len(found)} usable patients, and a probe in {N_FOLDS} folds needs {LEAST}"
    if len(np.unique(found)) < 2:
        return f"everybody has the same, {found[0]}"
    return ""


def read(features, wanted, name, seed=0):
    """Cross-fitted answers of a linear probe: (n,) numbers, or (n, classes) scores in sorted order of the classes."""
    x = features[wanted.rows]
    if name in UNITS:
        return predicted_number(x, wanted.values, seed)
    return disease.one_against_rest(x, wanted.values, seed)


def quality(answers, wanted, name, rng):
    """stats.Estimate of answers: mean absolute error of a number, (macro) AUC of a class."""
    if name in UNITS:
        return estimates.mean(np.abs(answers - wanted.values), rng)
    numbers = np.unique(wanted.values, return_inverse=True)[1]
    if answers.shape[1] == 2:
        return estimates.or_without_interval(lambda: classification.auc(numbers, answers[:, 1]), np.nan, len(numbers))
    return estimates.or_without_interval(lambda: classification.macro_auc(numbers, answers), np.nan, len(numbers))


def floor(wanted, name, rng):
    """The answer without an image: the mean of everybody, or an AUC of one half."""
    if name in UNITS:
        return estimates.mean(np.abs(wanted.values - wanted.values.mean()), rng)
    return estimates.without_interval(0.5, len(wanted.values))


def in_words(reached):
    """DataFrame of words, a row an attribute, a column a reader. reached: name -> {reader: stats.Estimate}."""
    rows = {
        name: {
            arm: "0.5, by definition"
            if arm == FLOOR and name not in UNITS
            else estimates.text(e, 1 if name in UNITS else 2, f" {UNITS[name]}" if name in UNITS else "")
            for arm, e in row.items()
        }
        for name, row in reached.items()
    }
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
        return estimates.mean(np.abs(found - true.to_numpy(float)), rng)
    classes = rows.attrs["classes"]
    p = rows.groupby("study")[[f"p_{k}" for k in range(len(classes))]].mean().reindex(true.index).to_numpy()
    order = np.argsort(classes)
    kept = true.isin(classes).to_numpy()
    wanted = Known(np.flatnonzero(kept), true.to_numpy(str)[kept])
    seen = np.isin(np.sort(classes), wanted.values)
    return quality(p[kept][:, order][:, seen], wanted, name, rng)


CHUNK = 20
BANDS = 8


class Hidden(Dataset):
    """A data set of standardised images (presets.Standardised) with the voxels of `mask` at zero, the cohort's mean.

    mask: (x, y) or (x, y, z) boolean, True where hidden; the same for all studies, so that its outline tells nothing
    of the patient. (A mask drawn round each heart would betray the heart's size.)
    """

    def __init__(self, dataset, mask):
        mask = np.asarray(mask, bool)
        self.dataset, self.mask = dataset, torch.from_numpy(mask if mask.ndim == 3 else mask[..., None])

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        item = self.dataset[index]
        return {**item, "image": {view: image.masked_fill(self.mask, 0.0) for view, image in item["image"].items()}}


def disc(radius_mm, grid=SMALL_GRID):
    """(x, y) boolean: within radius_mm of the middle of the short-axis images, where the heart lies."""
    (nx, ny, *_), (dx, dy, *_) = grid["sax"]
    x, y = np.meshgrid((np.arange(nx) - (nx - 1) / 2) * dx, (np.arange(ny) - (ny - 1) / 2) * dy, indexing="ij")
    return np.hypot(x, y) <= radius_mm


def windows(edge, step, grid=SMALL_GRID):
    """Square (x, y) masks of `edge` pixels, moved across the image by `step` pixels: (windows, x, y) boolean."""
    nx, ny = grid["sax"][0][:2]
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
    inside = total = 0
    for path in paths:
        heart = load_study(path, ["sax"]).views["sax"].labels != LABELS["background"]
        inside, total = inside + int(heart[mask].sum()), total + int(heart.sum())
    return inside / total


def features(paths, masks, jobs=1):
    """Frozen features of the shipped encoder with each of some masks hidden: (masks, studies, d)."""
    pieces = [list(paths[i : i + CHUNK]) for i in range(0, len(paths), CHUNK)]
    return np.concatenate(in_parallel(partial(_features, masks=masks), pieces, jobs, "hidden windows"), axis=1)


def _features(paths, masks):
    """(masks, studies, d); the studies are read once."""
    with one_thread():
        model, standard = small.shipped_cinema(WEIGHTS)
        dataset = Standardised(StudyFrames(paths, ("sax",), "ed_es", SMALL_GRID), standard)
        plain = [dataset[index] for index in range(len(dataset))]
        return np.stack([study_features(model, Hidden(plain, mask)) for mask in masks])


def statistics(paths):
    """What an image says without anatomy, a row a study: histogram (quantiles of intensity), noise (spread of small
    differences, all over and in the dark), spectrum (log power in rings of spatial frequency). Columns name_number."""
    rows = []
    for path in paths:
        image = load_study(path, ["sax"]).views["sax"].image.astype(np.float32) / 255
        fine = np.diff(image, 2, axis=0)[:, 1:-1] + np.diff(image, 2, axis=1)[1:-1]
        dark = image[1:-1, 1:-1] <= np.quantile(image, 0.3)
        parts = {
            "histogram": np.quantile(image, np.linspace(0.02, 0.98, 13)),
            "noise": np.log([np.median(np.abs(fine)) + 1e-4, np.median(np.abs(fine[dark])) + 1e-4, fine.std()]),
            "spectrum": _spectrum(image),
        }
        rows.append({f"{name}_{i}": float(v) for name, values in parts.items() for i, v in enumerate(values)})
    return pd.DataFrame(rows)


def _spectrum(image):
    """(BANDS,) log of mean power in rings of in-plane spatial frequency, relative to their sum."""
    power = (np.abs(np.fft.fft2(image - image.mean(axis=(0, 1)), axes=(0, 1))) ** 2).mean(axis=(2, 3))
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(image.shape[0]), np.fft.fftfreq(image.shape[1]), indexing="ij"))
    ring = np.minimum((radius / 0.5 * BANDS).astype(int), BANDS - 1)
    level = np.bincount(ring.ravel(), power.ravel(), BANDS) / np.bincount(ring.ravel(), minlength=BANDS)
    return np.log(level / level.sum() + 1e-9)
