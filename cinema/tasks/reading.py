"""Reading hearts never seen: labels and landmarks from dressed tissue maps (phantom.library, phantom.dress).

Every visit of an item dresses it anew. Images are normalised by their own percentiles, here and when reading
(`normalised`), because a scanner's grey values mean nothing by themselves.
"""

from dataclasses import asdict

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from cinema.metrics import segmentation_rows
from cinema.phantom.dress import Look, dress, random_signals, warp
from cinema.phantom.library import LIBRARY_VERSION, library_path
from cinema.tasks.segmentation import dice_and_cross_entropy
from cinema.tasks.task import Task, identity
from cinema.terms import LAX_VIEWS, STRUCTURES

PIXEL_MM = 1.5
SIZE = {"sax": 112, "lax": 144}
HEAT_SIGMA_MM = 4.0
HEAT_WEIGHT = 20.0  # heatmaps are mostly zero


def normalised(image):
    """Image with its 2nd and 98th percentile at -1 and 1, cut at +-2; a constant image becomes 0."""
    low, high = np.percentile(image, (2, 98))
    if high - low < 1e-6:
        return np.zeros_like(image, np.float32)
    return np.clip((image - low) * (2 / (high - low)) - 1, -2, 2).astype(np.float32)


class DressedSlices(Dataset):
    """Slices of a library as items: image {kind: (1, n, n)}, label {kind: (n, n)} and, long axis, heat {kind: (2, n, n)}.

    folder: of phantom.library; kind: "sax" or "lax" (the three long-axis views mixed); n_entries: hearts used, from
    `first`; visits: items per heart and epoch.
    """

    def __init__(self, folder, kind, n_entries, first=0, visits=8, seed=0, look=Look()):
        if kind not in SIZE:
            raise ValueError(f"kind={kind!r}; choose one of {', '.join(SIZE)}")
        self.paths = [library_path(folder, index) for index in range(first, first + n_entries)]
        missing = [path for path in self.paths if not path.exists()]
        if missing:
            raise FileNotFoundError(f"{missing[0]} does not exist; render the library first")
        self.kind, self.visits, self.seed, self.look = kind, visits, seed, look
        self.grid = {kind: ((SIZE[kind],) * 2, (PIXEL_MM, PIXEL_MM))}
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch):
        self._epoch[0] = epoch

    def describe(self):
        """What distinguishes this data set from another, for run.json."""
        return {"library": LIBRARY_VERSION, "kind": self.kind, "hearts": [self.paths[0].stem, self.paths[-1].stem],
                "visits": self.visits, "seed": self.seed, **asdict(self.look)}

    def __len__(self):
        return len(self.paths) * self.visits

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, int(self._epoch[0]), index))
        with h5py.File(self.paths[index // self.visits], "r") as file:
            view = "sax" if self.kind == "sax" else LAX_VIEWS[rng.integers(3)]
            phase, z = rng.integers(file[view].shape[0]), rng.integers(file[view].shape[1])
            tissues, map_mm = file[view][phase, z], float(file.attrs["pixel_mm"])
            marks = file[f"{view}_landmarks"][phase] if view != "sax" else None
        size = SIZE[self.kind]
        middle = (np.array(tissues.shape[1:]) - 1) / 2
        where = warp(rng, map_mm, size, PIXEL_MM, self.look, middle)
        image, label = self.dressed(tissues, where, rng)
        item = {"id": self.paths[index // self.visits].stem, "frame": int(phase), "phase": "",
                "image": {self.kind: torch.from_numpy(normalised(image))[None]},
                "label": {self.kind: torch.from_numpy(label.astype(np.int64))},
                "size": {self.kind: torch.tensor((size, size))},
                "spacing_mm": {self.kind: torch.tensor((PIXEL_MM, PIXEL_MM))}}
        if marks is not None:
            item["heat"] = {self.kind: torch.from_numpy(heatmaps(where, marks))}
        return item

    def dressed(self, tissues, where, rng):
        """Image and label (n, n) of one slice's codes (samples, x, y), seen through `where`."""
        return dress(tissues, where, random_signals(rng), rng, PIXEL_MM, self.look)


def heatmaps(where, marks):
    """(2, n, n) Gaussian heatmaps of both hinges and of the apex, seen through the warp `where` (2, n, n)."""
    sigma = HEAT_SIGMA_MM / PIXEL_MM
    pixel_step = np.linalg.norm(np.diff(where, axis=1).mean(axis=(1, 2)))  # map pixels per output pixel
    away = [np.exp(-0.5 * ((where - mark[:, None, None]) ** 2).sum(0) / (sigma * pixel_step) ** 2) for mark in marks]
    return np.stack([np.maximum(away[0], away[1]), away[2]]).astype(np.float32)


def loss(model, batch):
    """Dice plus cross entropy, and weighted squared error of the heatmaps where there are any."""
    # bfloat16 more than halves a step on processors with bf16 units; the losses below are in float32.
    with torch.autocast("cpu", torch.bfloat16, enabled=model.training):
        (kind, logits), = model(batch["image"]).items()
    total, parts = dice_and_cross_entropy(logits[:, :4], batch["label"][kind])
    if "heat" in batch:
        heat = F.mse_loss(logits[:, 4:].float(), batch["heat"][kind]) * HEAT_WEIGHT
        total, parts = total + heat, {**parts, "heat": heat.item()}
    return total, parts


def evaluate(model, batch, window=None):
    """A row per slice and structure."""
    (kind, logits), = model(batch["image"]).items()
    predicted, true = logits[:, :4].argmax(1).cpu().numpy(), batch["label"][kind].cpu().numpy()
    return [{**identity(batch, i), "view": kind, **score} for i in range(len(predicted))
            for score in segmentation_rows(predicted[i], true[i], (PIXEL_MM, PIXEL_MM))]


def summary(table):
    """Mean Dice over slices, per structure and over structures."""
    dice = {f"dice_{s}": float(table[table.structure == s].dice.mean()) for s in STRUCTURES}
    return {"mean_dice": float(np.mean(list(dice.values()))), **dice}


TASK = Task("reading", loss, evaluate, summary, monitor="mean_dice", maximise=True)
