"""Segmentation: a class for every voxel, from labelled frames, of cines or of late-enhancement images."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinema.data.late_enhancement import REGIONS, classes, region_rows
from cinema.data.transforms import crop_to
from cinema.stats.metrics import segmentation_rows
from cinema.terms import STRUCTURES
from cinema.training.task import Task, identity
from cinema.training.windows import dense, exceeds

IGNORED = -1  # label of voxels that nobody annotated
SMOOTH = 1e-5


def soft_dice_loss(probability: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of soft masks, per item and class: (b, c, ...) twice -> (b, c)."""
    axes = tuple(range(2, probability.ndim))
    overlap = (probability * target).sum(axes)
    return 1 - (2 * overlap + SMOOTH) / (probability.sum(axes) + target.sum(axes) + SMOOTH)


def dice_and_cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, dict]:
    """Dice loss over the foreground plus cross entropy: (b, classes, ...), (b, ...) -> (loss, parts).

    Cross entropy ignores voxels labelled -1; Dice takes them for background.
    """
    logits = logits.float()
    one_hot = F.one_hot(labels.clamp(min=0), logits.shape[1]).movedim(-1, 1).float()
    dice_loss = soft_dice_loss(logits.softmax(1), one_hot)[:, 1:].mean()
    cross_entropy = F.cross_entropy(logits, labels, ignore_index=IGNORED)
    return dice_loss + cross_entropy, {"dice_loss": dice_loss.item(), "cross_entropy": cross_entropy.item()}


def loss(model: nn.Module, batch: dict) -> tuple[Tensor, dict]:
    """Mean over views of Dice plus cross entropy."""
    logits = model(batch["image"])
    losses, parts = zip(*(dice_and_cross_entropy(logits[view], batch["label"][view]) for view in logits), strict=True)
    return torch.stack(losses).mean(), {key: float(np.mean([part[key] for part in parts])) for key in parts[0]}


def predict(model: nn.Module, images: dict[str, Tensor], window: dict | None = None) -> dict[str, Tensor]:
    """Logits per view, float32. Over larger images: log of the mean softmax of overlapping windows."""
    if exceeds(images, window):
        return {view: p.log() for view, p in dense(model, images, window, lambda x: x.softmax(1)).items()}
    return {view: logits.float() for view, logits in model(images).items()}


def evaluate(model: nn.Module, batch: dict, window: dict | None = None, scored: Callable = segmentation_rows) -> list:
    """A row (dict) per study, frame, view and structure; padding is cut off first.

    scored: (predicted mask, true mask, spacing_mm) -> what is said of each structure.
    """
    rows = []
    for view, logits in predict(model, batch["image"], window).items():
        predicted, true = logits.argmax(1).cpu().numpy(), batch["label"][view].cpu().numpy()
        for i in range(len(predicted)):
            size, spacing = batch["size"][view][i].tolist(), batch["spacing_mm"][view][i].tolist()
            scores = scored(crop_to(predicted[i], size), crop_to(true[i], size), spacing)
            rows += [{**identity(batch, i), "view": view, **score} for score in scores]
    return rows


def summary(table: pd.DataFrame, structures: Iterable[str] = STRUCTURES, complete: bool = True) -> dict[str, float]:
    """Means over items: mean_dice (of each item's structures first), and per structure; hd95_left_out: how many items
    have no HD95, since the structure was not found or is not there.

    complete: an item that lacks a structure counts for nothing in mean_dice; else its other structures count.
    """
    items = table.groupby(["study", "frame", "view"])["dice"]
    per_item = items.agg(lambda values: values.mean(skipna=False)) if complete else items.mean()
    result = {"mean_dice": float(per_item.mean())}
    for structure in structures:
        rows = table[table.structure == structure]
        result |= {f"dice_{structure}": float(rows.dice.mean()), f"hd95_mm_{structure}": float(rows.hd95_mm.mean())}
        result[f"hd95_left_out_{structure}"] = float(rows.hd95_mm.isna().sum())
    return result


TASK = Task("segmentation", loss, evaluate, summary, monitor="mean_dice", maximise=True)


def late_enhancement_task(dataset: str) -> Task:
    """The Task of "emidec" or "myops". Items: StudyFrames(frames="channels", classes=late_enhancement.classes(..))."""
    classes(dataset)  # an unknown name is refused here
    scores = partial(evaluate, scored=partial(region_rows, dataset=dataset))
    means = partial(summary, structures=tuple(REGIONS[dataset]), complete=False)
    return Task(f"segmentation_{dataset}", loss, scores, means, monitor="mean_dice", maximise=True)
