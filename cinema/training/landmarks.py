"""Landmarks of a long-axis view: two valve hinges and the apex, by heatmap or by coordinates."""

import math
from collections.abc import Sequence
from itertools import product

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinema.stats.metrics import landmark_distances_mm
from cinema.training.segmentation import soft_dice_loss
from cinema.training.task import Task, identity
from cinema.training.windows import dense, exceeds

LANDMARKS = ("hinge_1", "hinge_2", "apex")
SIGMA_PIXELS = 3.0
SHARPNESS = 1000.0  # of the soft arg-max
WING_WIDTH, WING_CURVE = 10.0, 2.0
MONITOR = "mean_distance_mm"


def heatmaps(points: Tensor, size: Sequence[int]) -> Tensor:
    """Gaussian bumps of height 1: points (b, n, 2) in pixels -> (b, n, *size)."""
    x, y = (torch.arange(n, device=points.device) - points[..., k, None].float() for k, n in enumerate(size))
    return torch.exp(-(x[..., :, None] ** 2 + y[..., None, :] ** 2) / (2 * SIGMA_PIXELS**2))


def soft_argmax(heat: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """Expected pixel under softmax(sharpness * heat), cut toward zero: (b, n, x, y) -> (b, n, 2) integers."""
    weights = (heat.float() * sharpness).flatten(2).softmax(-1)
    pixels = torch.cartesian_prod(*(torch.arange(n, device=heat.device) for n in heat.shape[2:])).float()
    # over all pixels at once: the order decides the last digit
    return torch.stack([(weights * axis).sum(-1) for axis in pixels.T], -1).long()


def heatmap_loss(model: nn.Module, batch: dict) -> tuple[Tensor, dict]:
    """Dice loss of sigmoid(logits) plus mean binary cross entropy, against the soft heatmaps of the one view."""
    ((view, logits),) = model(batch["image"]).items()
    target, logits = heatmaps(batch["points"][view], logits.shape[2:]), logits.float()
    dice = soft_dice_loss(logits.sigmoid(), target).mean()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target)
    return dice + cross_entropy, {"dice_loss": dice.item(), "bce_loss": cross_entropy.item()}


def predict_heatmaps(model: nn.Module, images: dict[str, Tensor], window: dict | None = None) -> Tensor:
    """(b, 3, x, y) probabilities of the one view; over larger images the mean of sigmoids of windows."""
    (heat,) = dense(model, images, window, torch.sigmoid).values()
    return heat


def evaluate_heatmaps(model: nn.Module, batch: dict, window: dict | None = None) -> list[dict]:
    """A row per study, frame and landmark: pixels, distance_mm, and Dice of the heatmap."""
    ((view, points),) = batch["points"].items()
    heat = predict_heatmaps(model, batch["image"], window)
    dice = 1 - soft_dice_loss(heat, heatmaps(points, heat.shape[2:]))
    return _rows(batch, view, soft_argmax(heat), dice)


def relative(points: Tensor) -> Tensor:
    """Each point minus the mean of the other two: (..., 3, 2) -> the same shape."""
    return points - (points.sum(-2, keepdim=True) - points) / 2


def wing(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean wing loss: logarithmic for small errors, linear for errors of WING_WIDTH and more."""
    error = (predicted - true).abs()
    c = WING_WIDTH - WING_WIDTH * math.log(1 + WING_WIDTH / WING_CURVE)
    return torch.where(error < WING_WIDTH, WING_WIDTH * torch.log1p(error / WING_CURVE), error - c).mean()


def predict_coordinates(model: nn.Module, images: dict[str, Tensor], window: dict | None = None) -> Tensor:
    """(b, 3, 2) pixels of the padded image; the model gives fractions of its size, x1 y1 x2 y2 x3 y3."""
    (image,) = images.values()
    if exceeds(images, window):
        raise ValueError(f"image of {tuple(image.shape[2:])} pixels exceeds {window}; coordinate models need a crop")
    size = torch.tensor(image.shape[2:], device=image.device)
    return model(images).float().reshape(-1, 3, 2) * size


def coordinate_loss(model: nn.Module, batch: dict) -> tuple[Tensor, dict]:
    """Wing loss of the points plus wing loss of each relative to the others, in pixels."""
    (true,) = batch["points"].values()
    predicted = predict_coordinates(model, batch["image"])
    absolute, relation = wing(predicted, true), wing(relative(predicted), relative(true))
    return absolute + relation, {"wing": absolute.item(), "relative_wing": relation.item()}


def evaluate_coordinates(model: nn.Module, batch: dict, window: dict | None = None) -> list[dict]:
    """A row per study, frame and landmark: pixels and distance_mm."""
    (view,) = batch["points"]
    return _rows(batch, view, predict_coordinates(model, batch["image"], window), None)


def _rows(batch, view, predicted, dice):
    predicted, true, spacing = (x.cpu().numpy() for x in (predicted, batch["points"][view], batch["spacing_mm"][view]))
    distance = landmark_distances_mm(predicted, true, spacing[:, None, :])
    rows = []
    for i, (k, name) in product(range(len(predicted)), enumerate(LANDMARKS)):
        numbers = dict(zip(("x", "y", "true_x", "true_y"), (*predicted[i, k], *true[i, k]), strict=True))
        numbers |= {"distance_mm": distance[i, k]} | ({} if dice is None else {"dice": dice[i, k]})
        numbers = {key: float(number) for key, number in numbers.items()}
        rows.append({**identity(batch, i), "view": view, "landmark": name, **numbers})
    return rows


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Mean distance over all points, and per landmark."""
    per_landmark = table.groupby("landmark", sort=False)["distance_mm"].mean()
    means = {f"distance_mm_{name}": float(value) for name, value in per_landmark.items()}
    return {MONITOR: float(table.distance_mm.mean())} | means


HEATMAP = Task("landmark_heatmap", heatmap_loss, evaluate_heatmaps, summary, MONITOR, maximise=False)
COORDINATE = Task("landmark_coordinate", coordinate_loss, evaluate_coordinates, summary, MONITOR, maximise=False)
