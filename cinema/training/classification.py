"""Classification: one class for a study, from ED and ES as two channels."""

from collections.abc import Sequence

import pandas as pd
import torch.nn.functional as F
from torch import Tensor, nn

from cinema.stats.metrics import classification_metrics
from cinema.training.task import Task, identity
from cinema.training.windows import pooled

LABEL_SMOOTHING = 0.1


def class_numbers(values: Sequence, classes: Sequence) -> list[int]:
    """Position of each value in `classes`, which is also the order of a model's outputs."""
    unknown = sorted({str(value) for value in values if value not in classes})
    if unknown:
        raise ValueError(f"class {unknown[0]!r} is not among {', '.join(map(str, classes))}; leave those studies out")
    return [list(classes).index(value) for value in values]


def loss(model: nn.Module, batch: dict) -> tuple[Tensor, dict]:
    """Cross entropy with label smoothing."""
    logits = model(batch["image"]).float()
    accuracy = (logits.argmax(1) == batch["target"]).float().mean()
    return F.cross_entropy(logits, batch["target"], label_smoothing=LABEL_SMOOTHING), {"accuracy": accuracy.item()}


def predict(model: nn.Module, images: dict[str, Tensor], window: dict | None = None) -> Tensor:
    """Probabilities (b, classes), float32; over larger images the mean over windows."""
    return pooled(model, images, window, lambda x: x.softmax(1))


def evaluate(model: nn.Module, batch: dict, window: dict | None = None) -> list[dict]:
    """A row per study: true and predicted class number, p_0, p_1 .. their probabilities."""
    probabilities = predict(model, batch["image"], window).cpu().numpy()
    return [
        identity(batch, i)
        | {"true": int(batch["target"][i]), "predicted": int(p.argmax())}
        | {f"p_{k}": float(value) for k, value in enumerate(p)}
        for i, p in enumerate(probabilities)
    ]


def summary(table: pd.DataFrame) -> dict[str, float]:
    """metrics.classification_metrics of the table."""
    return classification_metrics(table.filter(regex=r"^p_\d+$").to_numpy(), table.true.to_numpy())


TASK = Task("classification", loss, evaluate, summary, monitor="mcc", maximise=True)
