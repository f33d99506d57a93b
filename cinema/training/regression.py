"""Regression: one number for a study (ejection fraction, age, BMI), from ED and ES as two channels.

Models learn the z-scored number; mean and std are those of the training set, or the published ones.
"""

from functools import partial
from typing import Any

import pandas as pd
import torch.nn.functional as F
from torch import Tensor, nn

from cinema.stats.metrics import regression_metrics
from cinema.training.task import Task, identity
from cinema.training.windows import pooled


def loss(model: nn.Module, batch: dict, mean: float, std: float) -> tuple[Tensor, dict]:
    """Mean squared error of the z-scored number."""
    predicted, true = model(batch["image"]).float()[:, 0], (batch["target"].float() - mean) / std
    return F.mse_loss(predicted, true), {"mae": F.l1_loss(predicted, true).item()}


def predict(model: nn.Module, images: dict[str, Tensor], window: dict | None = None) -> Tensor:
    """(b, n) z-scored, float32; over larger images the mean over windows."""
    return pooled(model, images, window, lambda x: x)


def evaluate(model: nn.Module, batch: dict, window: dict | None = None, *, mean: float, std: float) -> list[dict]:
    """A row per study: true and predicted in the number's own unit."""
    predicted = predict(model, batch["image"], window)[:, 0].cpu() * std + mean
    return [
        {**identity(batch, i), "true": float(batch["target"][i]), "predicted": float(value)}
        for i, value in enumerate(predicted)
    ]


def summary(table: pd.DataFrame, mean: float, std: float) -> dict[str, float]:
    """metrics.regression_metrics, z-scored, and in the number's unit with the prefix restored_."""
    predicted, true = table.predicted.to_numpy(), table.true.to_numpy()
    restored = {f"restored_{name}": value for name, value in regression_metrics(predicted, true).items()}
    return regression_metrics((predicted - mean) / std, (true - mean) / std) | restored


def task(mean: float, std: float) -> Task:
    """Regression of a number with this mean and standard deviation."""
    if not std > 0:
        raise ValueError(f"std is {std}; it must be positive. Do all training studies have the same value?")
    parts: dict[str, Any] = {f.__name__: partial(f, mean=mean, std=std) for f in (loss, evaluate, summary)}
    return Task("regression", **parts, monitor="mae", maximise=False)


TASK = task(mean=0.0, std=1.0)  # for targets that are z-scored already
EF = "lv_ef_percent"
EF_MEAN, EF_STD = 50.0, 15.0  # of a mixed clinic, whoever is trained on
EF_TASK = task(mean=EF_MEAN, std=EF_STD)
