"""Images standardised by a cohort's mean image and spread, as the small models are given them; in a file of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from cinema.models import weights


@dataclass(frozen=True)
class Standard:
    """A cohort's mean image and spread: the zero and the unit of standardised images.

    mean:      view -> (1, x, y[, z]) mean image.
    deviation: view -> () standard deviation of the voxels about it, over all items and voxels.
    """

    mean: dict
    deviation: dict


def standard_of(dataset: Any) -> Standard:
    """The Standard of a data set's images (loaders.StudyFrames without augmentation)."""
    items = len(dataset)
    mean: dict[str, Tensor] = {}
    square: dict[str, Tensor] = {}
    for index in range(items):
        for view, image in dataset[index]["image"].items():
            mean[view] = mean.get(view, 0) + image.double().mean(dim=0, keepdim=True) / items
            square[view] = square.get(view, 0) + image.double().square().mean() / items
    deviation = {view: (square[view] - mean[view].square().mean()).sqrt().float() for view in mean}
    return Standard({view: image.float() for view, image in mean.items()}, deviation)


def standardised(images: dict[str, Tensor], standard: Standard) -> dict[str, Tensor]:
    """view -> (image - mean) / deviation; images (.., x, y[, z]) of any of the views, any number of channels.

    What was pretrained on such images must be given such images ever after.
    """
    return {view: (image - standard.mean[view]) / standard.deviation[view] for view, image in images.items()}


def restored(images: dict[str, Tensor], standard: Standard) -> dict[str, Tensor]:
    """Undo `standardised`."""
    return {view: image * standard.deviation[view] + standard.mean[view] for view, image in images.items()}


def standardising(model: nn.Module, standard: Standard) -> nn.Module:
    """The same model, which from now on standardises the images it is called with.

    For models that are fine-tuned from pretraining and then meet plain images everywhere (evaluate, segment_volume).
    Neither parameters nor weights files change; `model.standard` tells. Not for data that is standardised already, and
    not for feature_forward.
    """
    model.register_forward_pre_hook(lambda _, given: (standardised(given[0], standard), *given[1:]))
    model.__dict__["standard"] = standard  # not a part of it: no module, no tensor
    return model


class Standardised(Dataset):
    """A data set (loaders.StudyFrames) whose images are standardised; everything else is as it was."""

    def __init__(self, dataset: Any, standard: Standard) -> None:
        self.dataset, self.standard = dataset, standard
        self.grid = dataset.grid

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        item = self.dataset[index]
        return {**item, "image": standardised(item["image"], self.standard)}

    def set_epoch(self, epoch: int) -> None:
        self.dataset.set_epoch(epoch)

    def describe(self) -> str:
        spread = ", ".join(f"{view} {float(value):.6g}" for view, value in self.standard.deviation.items())
        return f"{self.dataset.describe()} standardised by {spread}"


def save_standard(standard: Standard, path: str | Path) -> Path:
    """Write a Standard to a safetensors file."""
    parts = {"mean": standard.mean, "deviation": standard.deviation}
    return weights.save({f"{part}.{view}": t for part, views in parts.items() for view, t in views.items()}, path)


def load_standard(path: str | Path) -> Standard:
    """The Standard of a file; FileNotFoundError, or ValueError if the file holds something else."""
    state = weights.read(path)
    views = [key.removeprefix("mean.") for key in state if key.startswith("mean.")]
    if not views or set(state) != {f"{part}.{view}" for part in ("mean", "deviation") for view in views}:
        raise ValueError(f"{path} holds no mean image and deviation per view; name a file written by save_standard")
    return Standard(*({view: state[f"{part}.{view}"] for view in views} for part in ("mean", "deviation")))
