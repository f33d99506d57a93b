"""Slices of a library of hearts, dressed anew at every visit (domain_randomisation), and the task of reading them:
labels of the structures, and on the long axes heatmaps of the landmarks as well."""

from dataclasses import asdict

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from cinema.inference.reader import PIXEL_MM, SIZE, normalised, with_neighbours
from cinema.phantom.body import CODE
from cinema.stats.metrics import segmentation_rows
from cinema.terms import LABELS, LAX_VIEWS, STRUCTURES
from cinema.training.segmentation import dice_and_cross_entropy
from cinema.training.task import Task, has_bf16_units, identity
from experiments.own_weights.domain_randomisation import TISSUE, Look, dress, random_signals, warp
from experiments.own_weights.library import LABEL_SHIFT, LIBRARY_VERSION, PACKED_LABELS, by_packed, library_path, packed

GROUP = 6  # neighbouring short-axis slices dressed together
ALONE = 0.1  # share of items read slice by slice, as an input of one slice will be
MIN_BLOOD_SHARE = 0.02  # of a cavity; below, a reader sees none
CHAMBERS = [CODE[name] for name in ("atrial_blood", "aorta", "pulmonary_blood", "rv_blood")]
HEAT_SIGMA_MM = 4.0
HEAT_WEIGHT = 20.0  # heatmaps are mostly zero


class DressedSlices(Dataset):
    """Slices of a library as items: image, label {kind: (g, n, n)} and, on long axes, heat {kind: (2, n, n)}.

    A short-axis item is GROUP slices of one stack in order, from either end, under one look; distances and breath-hold
    shifts between them differ from visit to visit. A long-axis item is one plane (g = 1), the three views mixed.
    alone: True where slices are to be read without their neighbours.

    folder: of library.write_entry; kind: "sax" or "lax"; n_entries: hearts used, from `first`; visits: items a heart.
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
        hearts = [self.paths[0].stem, self.paths[-1].stem]
        about = {"library": LIBRARY_VERSION, "kind": self.kind, "hearts": hearts}
        return about | {"visits": self.visits, "seed": self.seed} | asdict(self.look)

    def __len__(self):
        return len(self.paths) * self.visits

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, int(self._epoch[0]), index))
        path = self.paths[index // self.visits]
        with h5py.File(path, "r") as file:
            view = "sax" if self.kind == "sax" else LAX_VIEWS[rng.integers(3)]
            phase = rng.integers(file[view].shape[0])
            slices = chosen_slices(rng, file[view].shape[1]) if self.kind == "sax" else [0]
            tissues, map_mm = [emptied(file[view][phase, z]) for z in slices], float(file.attrs["pixel_mm"])
            marks = file[f"{view}_landmarks"][phase] if view != "sax" else None
        size, signals = SIZE[self.kind], self.signals(rng)
        where = warp(rng, map_mm, size, PIXEL_MM, self.look, (np.array(tissues[0].shape[1:]) - 1) / 2)
        breath_mm = 0.0 if len(slices) == 1 else 4.0 if rng.random() < 0.1 else 1.2
        moved = [where + rng.normal(0, breath_mm / map_mm, (2, 1, 1)) for _ in slices]
        images, labels = zip(*(self.dressed(codes, at, signals, rng) for codes, at in zip(tissues, moved)))
        arrays = {
            "image": torch.from_numpy(np.stack([normalised(image) for image in images])),
            "label": torch.from_numpy(np.stack(labels).astype(np.int64)),
            "size": torch.tensor((size, size)),
            "spacing_mm": torch.tensor((PIXEL_MM, PIXEL_MM)),
        }
        if marks is not None:
            arrays["heat"] = torch.from_numpy(heatmaps(where, marks))
        about = {"id": path.stem, "frame": int(phase), "phase": "", "alone": bool(rng.random() < ALONE)}
        return about | {name: {self.kind: array} for name, array in arrays.items()}

    def signals(self, rng):
        """Signal per tissue, one draw for the slices of an item."""
        signals = random_signals(rng)
        if self.kind == "lax" and rng.random() < 0.5:  # blood flows in fresh and bright, and stays dark where it rests
            signals[CHAMBERS] *= rng.lognormal(0, 0.2, len(CHAMBERS))
        return signals

    def dressed(self, tissues, where, signals, rng):
        """Image and label (n, n) of one slice's packed codes (samples, x, y), seen through `where`."""
        return dress(tissues, where, by_packed(signals), rng, PIXEL_MM, self.look, PACKED_LABELS)


def emptied(tissues):
    """Packed codes of a slice; a cavity that holds hardly any blood is closed, as it looks and is drawn at ES."""
    codes = tissues & TISSUE
    blood, strands = (np.count_nonzero(codes == CODE[name]) for name in ("lv_blood", "papillary"))
    if blood >= MIN_BLOOD_SHARE * (blood + strands):
        return tissues
    closed = np.where(np.isin(codes, [CODE["lv_blood"], CODE["papillary"]]), CODE["myocardium"], codes)
    labels = tissues >> LABEL_SHIFT
    return packed(closed, np.where(labels == LABELS["LV"], LABELS["MYO"], labels))


def chosen_slices(rng, n):
    """GROUP indices into a stack of n: evenly spaced, one to three apart, base first or apex first."""
    step = min(int(rng.integers(1, 4)), max((n - 1) // (GROUP - 1), 1))
    slices = rng.integers(n - (GROUP - 1) * step) + step * np.arange(GROUP)
    return slices[:: rng.choice([-1, 1])]


def heatmaps(where, marks):
    """(2, n, n) Gaussian heatmaps of both hinges and of the apex, seen through the warp `where` (2, n, n)."""
    sigma = HEAT_SIGMA_MM / PIXEL_MM
    pixel_step = np.linalg.norm(np.diff(where, axis=1).mean(axis=(1, 2)))  # map pixels per output pixel
    away = [np.exp(-0.5 * ((where - mark[:, None, None]) ** 2).sum(0) / (sigma * pixel_step) ** 2) for mark in marks]
    return np.stack([np.maximum(away[0], away[1]), away[2]]).astype(np.float32)


def slices_of(batch):
    """kind, (b * g, channels, n, n) network input and (b * g, n, n) labels of a batch of DressedSlices items."""
    ((kind, stack),) = batch["image"].items()
    images = with_neighbours(stack, batch["alone"]) if kind == "sax" else stack[:, :, None]
    return kind, images.flatten(0, 1), batch["label"][kind].flatten(0, 1)


def loss(model, batch):
    """Dice plus cross entropy, and weighted squared error of the heatmaps where there are any."""
    kind, images, labels = slices_of(batch)
    # bfloat16 more than halves a step on processors that have it; the losses below are in float32.
    with torch.autocast("cpu", torch.bfloat16, enabled=model.training and has_bf16_units()):
        logits = model.read(images)
    total, parts = dice_and_cross_entropy(logits[:, :4], labels)
    if "heat" in batch:
        heat = F.mse_loss(logits[:, 4:].float(), batch["heat"][kind]) * HEAT_WEIGHT
        total, parts = total + heat, {**parts, "heat": heat.item()}
    return total, parts


def evaluate(model, batch, window=None):
    """A row per slice and structure."""
    kind, images, labels = slices_of(batch)
    predicted, true = model.read(images)[:, :4].argmax(1).cpu().numpy(), labels.cpu().numpy()
    per_item = len(true) // len(batch["id"])
    return [
        {**identity(batch, i // per_item), "slice": i % per_item, "view": kind, **score}
        for i in range(len(true))
        for score in segmentation_rows(predicted[i], true[i], (PIXEL_MM, PIXEL_MM))
    ]


def summary(table):
    """Mean Dice over slices, per structure and over structures."""
    dice = {f"dice_{s}": float(table[table.structure == s].dice.mean()) for s in STRUCTURES}
    return {"mean_dice": float(np.mean(list(dice.values()))), **dice}


TASK = Task("reading", loss, evaluate, summary, monitor="mean_dice", maximise=True)
