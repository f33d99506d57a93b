"""Which parts of an image carry an answer: features with regions hidden, and statistics that know no anatomy."""

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from torch.utils.data import Dataset

from cinema import presets, probes
from cinema.loaders import StudyFrames
from cinema.reader import FOLDER
from cinema.study import load_study
from cinema.tasks.task import one_thread
from cinema.terms import LABELS, SMALL_GRID

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
        raise ValueError(f"windows of {edge} pixels in steps of {step} do not cover {nx} x {ny}; choose a divisor of "
                         f"{nx - edge} and {ny - edge} that is at most {edge}")
    corners = [(i, j) for i in range(0, nx - edge + 1, step) for j in range(0, ny - edge + 1, step)]
    masks = np.zeros((len(corners), nx, ny), bool)
    for mask, (i, j) in zip(masks, corners, strict=True):
        mask[i: i + edge, j: j + edge] = True
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
    pieces = [list(paths[i: i + CHUNK]) for i in range(0, len(paths), CHUNK)]
    return np.concatenate(Parallel(jobs)(delayed(_features)(part, masks) for part in pieces), axis=1)


def _features(paths, masks):
    """(masks, studies, d); the studies are read once."""
    with one_thread():
        model, standard = presets.shipped_cinema(FOLDER)
        dataset = presets.Standardised(StudyFrames(paths, ("sax",), "ed_es", SMALL_GRID), standard)
        plain = [dataset[index] for index in range(len(dataset))]
        return np.stack([probes.study_features(model, Hidden(plain, mask)) for mask in masks])


def statistics(paths):
    """What an image says without anatomy, a row a study: histogram (quantiles of intensity), noise (spread of small
    differences, all over and in the dark), spectrum (log power in rings of spatial frequency). Columns name_number."""
    rows = []
    for path in paths:
        image = load_study(path, ["sax"]).views["sax"].image.astype(np.float32) / 255
        fine = np.diff(image, 2, axis=0)[:, 1:-1] + np.diff(image, 2, axis=1)[1:-1]
        dark = image[1:-1, 1:-1] <= np.quantile(image, 0.3)
        parts = {"histogram": np.quantile(image, np.linspace(0.02, 0.98, 13)),
                 "noise": np.log([np.median(np.abs(fine)) + 1e-4, np.median(np.abs(fine[dark])) + 1e-4, fine.std()]),
                 "spectrum": _spectrum(image)}
        rows.append({f"{name}_{i}": float(v) for name, values in parts.items() for i, v in enumerate(values)})
    return pd.DataFrame(rows)


def _spectrum(image):
    """(BANDS,) log of mean power in rings of in-plane spatial frequency, relative to their sum."""
    power = (np.abs(np.fft.fft2(image - image.mean(axis=(0, 1)), axes=(0, 1))) ** 2).mean(axis=(2, 3))
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(image.shape[0]), np.fft.fftfreq(image.shape[1]), indexing="ij"))
    ring = np.minimum((radius / 0.5 * BANDS).astype(int), BANDS - 1)
    level = np.bincount(ring.ravel(), power.ravel(), BANDS) / np.bincount(ring.ravel(), minlength=BANDS)
    return np.log(level / level.sum() + 1e-9)
