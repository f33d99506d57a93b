"""Pretraining: predict the hidden patches of all views from the visible ones; how well, and what it looks like."""

from functools import partial
from math import prod
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from cinema.models.patches import patchify, unpatchify
from cinema.training.recipe import TrainConfig
from cinema.training.task import Task, evaluated, identity

MASK_RATIO = 0.75


def loss(model: nn.Module, batch: dict, mask_ratio: float, bf16: bool = False) -> tuple[Tensor, dict]:
    """The masked autoencoder's own loss; masks come from torch's generator, which the caller seeds.

    bf16: train in mixed precision on the CPU too.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16 and model.training):
        value, _, _, metrics = model(batch["image"], mask_ratio)
    return value, {name: float(number) for name, number in metrics.items() if name.endswith("mse_loss")}


def evaluate(model: nn.Module, batch: dict, window: dict | None = None, *, mask_ratio: float) -> list[dict]:
    """A row per study, frame and view: mean squared error of the hidden patches. Batches of one."""
    _, numbers = loss(model, batch, mask_ratio)
    return [{**identity(batch, 0), "view": name.removesuffix("_mse_loss"), "mse": mse} for name, mse in numbers.items()]


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Mean over studies of the error per view, and `loss`, their mean."""
    per_view = table.groupby("view", sort=False)["mse"].mean()
    return {"loss": float(per_view.mean()), **{f"{view}_mse_loss": float(mse) for view, mse in per_view.items()}}


def errors(model: nn.Module, dataset: Any, seed: int = 0, mask_ratio: float = MASK_RATIO) -> pd.DataFrame:
    """DataFrame, a row per study and a column per view: mean squared error of the hidden patches."""
    table = evaluated(model, dataset, task(mask_ratio), seed=seed)
    return table.pivot(index="study", columns="view", values="mse")[list(table["view"].unique())]


def filled_in(model: Any, images: dict, predictions: dict, masks: dict) -> dict[str, Tensor]:
    """The images with their hidden patches replaced by the predicted ones: view -> (b, c, x, y[, z]).

    model: CineMA; predictions, masks: as it returns them.
    """
    filled = {}
    for view, image in images.items():
        down = model.enc_down_dict[view]
        patches = patchify(image, down.patch_size)
        patches[masks[view]] = predictions[view].flatten(0, 1).to(patches.dtype)
        filled[view] = unpatchify(patches, down.patch_size, down.grid_size)
    return filled


def hidden_voxels(model: Any, masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """view -> (b, 1, x, y[, z]) boolean images, True where the patch is hidden."""
    hidden = {}
    for view, mask in masks.items():
        down = model.enc_down_dict[view]
        hidden[view] = unpatchify(mask[..., None].repeat(1, 1, prod(down.patch_size)), down.patch_size, down.grid_size)
    return hidden


def task(mask_ratio: float = MASK_RATIO, bf16: bool = False) -> Task:
    """Pretraining with this share of patches hidden.

    bf16: mixed precision on the CPU. Nearly twice as fast where the processor has bfloat16 units, slower elsewhere.
    """
    if not 0 < mask_ratio < 1:
        raise ValueError(f"mask_ratio is {mask_ratio}; it must lie between 0 and 1")
    hiding, scored = partial(loss, mask_ratio=mask_ratio, bf16=bf16), partial(evaluate, mask_ratio=mask_ratio)
    return Task("pretraining", hiding, scored, summary, monitor="loss", maximise=False)


TASK = task()
PRETRAINING = TrainConfig(learning_rate=2e-3, min_learning_rate=1e-5, batch_size=8)  # length: in_steps
WARMUP_STEPS = 100
