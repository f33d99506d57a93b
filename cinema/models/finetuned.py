"""Fine-tuned models, published or our own: where they are, and what their configuration says of input and output."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cinema.models.config import views_of
from cinema.models.published import PUBLISHED, REPOSITORY, finetuned_file, finetuned_path
from cinema.models.weights import check_device, from_file, read_config
from cinema.terms import LABELS, PUBLISHED_GRID, SMALL_GRID, check_view

VARIABLE, PUBLISHED_FOLDER = "CINEMA_WEIGHTS", "CineMA"  # environment; folder below the data root
SEEDS = (0, 1, 2)
N_OUTPUTS = {"segmentation": len(LABELS), "landmark_heatmap": 3, "landmark_coordinate": 6}
TRUTH = {"classification_cvd": "disease", "classification_sex": "sex", "classification_vendor": "vendor"}  # attributes

# For configurations that do not tell: classes in output order, mean and standard deviation of z-scored numbers.
_MNMS2 = ("ARR", "CIA", "FALL", "HCM", "LV", "NOR")
_VENDORS = ("GE MEDICAL SYSTEMS", "Philips Medical Systems", "SIEMENS")
CLASSES = {
    ("classification_cvd", "acdc"): ("DCM", "HCM", "MINF", "NOR", "RV"),
    ("classification_cvd", "mnms"): ("DCM", "HCM", "NOR", "ARV", "HHD"),
    ("classification_cvd", "mnms2"): _MNMS2,
    ("classification_sex", "mnms"): ("M", "F"),
    ("classification_vendor", "mnms2"): _VENDORS,
}
MEAN_STD = {
    ("regression_ef", "acdc"): (27.698811590282546, 10.848138374627386),
    ("regression_bmi", "acdc"): (25.561040294207242, 4.732639548868183),
    ("regression_ef", "mnms"): (39.75061820807878, 9.459011847661206),
    ("regression_age", "mnms"): (52.026666666666664, 18.760570771166726),
    ("regression_ef", "mnms2"): (37.97920801605608, 10.328604573626588),
}

Grid = dict[str, tuple[tuple, tuple]]  # view -> (size, spacing_mm), views in token order


@dataclass(frozen=True)
class Finetuned:
    """A model with what its configuration says of input and output.

    classes, mean_std: None where the task has none.
    """

    model: torch.nn.Module
    grid: Grid
    classes: tuple | None = None
    mean_std: tuple | None = None


def source(data_root: str | Path) -> str | None:
    """Where the weights are: what CINEMA_WEIGHTS names (a folder or repository), else data_root/CineMA, else None."""
    folder = Path(data_root) / PUBLISHED_FOLDER
    return os.environ.get(VARIABLE) or (str(folder) if folder.is_dir() else None)


def missing(task: str, name: str) -> str:
    """One line: which files of a published model to fetch, from where, and to which folder."""
    files = [finetuned_file(task, name, seed) for seed in SEEDS]
    folder = Path(files[0]).parent.as_posix()
    return (
        f"The published weights of {task}/{name} are not here: fetch config.yaml, "
        f"{', '.join(Path(file).name for file in files)} from "
        f"https://huggingface.co/{REPOSITORY}/tree/main/{folder} into data/{PUBLISHED_FOLDER}/{folder}/, or set "
        f"{VARIABLE} to a folder laid out like that repository, or to {REPOSITORY} itself where huggingface.co is "
        "in reach."
    )


def load(
    task: str, name: str | None, source: str | Path, seed: int = 0, device: torch.device | str | None = "cpu"
) -> Finetuned:
    """Finetuned of one file of a source: a repository, a folder laid out like it, or a weights file.

    Raises FileNotFoundError (which files, where to put them), ValueError (unknown names, a model of another task).
    """
    if task not in PUBLISHED:
        raise ValueError(f"task is {task!r}; choose one of {', '.join(PUBLISHED)}")
    path = finetuned_path(source, task, name, seed)
    model, grid, data = opened(path, device)
    classes, mean_std = _scale(task, name, data)
    has, frames = model.arguments.get("out_chans"), model.arguments.get("n_frames", 2)
    wants = len(classes) if classes else N_OUTPUTS.get(task, 1)
    if has != wants or (task not in N_OUTPUTS and frames != 2):
        raise ValueError(
            f"{path} holds a {type(model).__name__} of {has} outputs; {task} needs {wants}"
            f"{'' if task in N_OUTPUTS else ' and two frames'}: give the file of that task"
        )
    return Finetuned(model, grid, classes, mean_std)


def opened(path: str | Path, device: torch.device | str | None = "cpu") -> tuple[Any, Grid, dict]:
    """(model, its grid, what its configuration says of data) of a weights file.

    The model tells its grid, else the configuration, else the known grid of that size. ValueError if none tells a view.
    """
    check_device(device)
    model: Any = from_file(path).to(device)
    beside = Path(path).with_name("config.yaml")
    config, sizes = read_config(beside) if beside.is_file() else {}, model.arguments.get("image_size_dict")
    if not sizes and not config:
        raise ValueError(f"{path} does not say which view it reads; put its config.yaml beside it")
    data = config.get("data", {})
    try:
        grid = {view: _grid_of(view, data, (sizes or {}).get(view)) for view in sizes or views_of(config, beside)}
    except (AttributeError, TypeError, ValueError) as error:
        told = f"{path} and {beside.name}" if config else path
        raise ValueError(f"{told}: views, sizes and spacings are no grid ({error}); take both from one place") from None
    if model.arguments.get("n_dims") not in (None, *(len(size) for size, _ in grid.values())):
        raise ValueError(f"{path} holds a {model.arguments['n_dims']}D model; its config.yaml says {', '.join(grid)}")
    return model, grid, data


def _grid_of(view: str, data: dict, size: Sequence[int] | None) -> tuple[tuple, tuple]:
    """(size, spacing_mm) of a view; ValueError for what no image has."""
    n_dims, said = len(PUBLISHED_GRID[check_view(view)][0]), data.get(view.split("_")[0], {})
    size = tuple(size or said.get("patch_size", PUBLISHED_GRID[view][0]))[:n_dims]
    known = (SMALL_GRID if size == SMALL_GRID[view][0] else PUBLISHED_GRID)[view][1]
    spacing = tuple(said.get("spacing", known))[:n_dims]
    if len(size) != n_dims or not all(1 <= n <= 4096 for n in size):
        raise ValueError(f"{view} has size {size}")
    if len(spacing) != n_dims or not all(0.1 <= mm <= 50 for mm in spacing):
        raise ValueError(f"{view} has spacing {spacing} mm")
    return size, spacing


def _scale(task: str, name: str | None, data: dict) -> tuple[tuple | None, tuple | None]:
    """(classes of a classification, mean and deviation of a regression): by the configuration, else as published."""
    known = task, (name or "").split("_")[0]
    if task in TRUTH:
        classes = data.get(str(data.get("class_column"))) or CLASSES.get(known)
        if not isinstance(classes, (list, tuple)) or len(set(map(str, classes))) < len(classes) or not classes:
            raise ValueError(
                f"no class names for {task}/{name}; its config.yaml must list them under data.class_column"
            )
        return tuple(classes), None
    if not task.startswith("regression"):
        return None, None
    said = data.get(str(data.get("regression_column")))
    pair: Any = (said.get("mean"), said.get("std")) if isinstance(said, dict) else MEAN_STD.get(known)
    if not pair or not all(isinstance(value, (int, float)) and abs(value) < 1e6 for value in pair) or not pair[1] > 0:
        raise ValueError(f"no mean and std for {task}/{name}; its config.yaml must give them under data.<column>")
    return None, pair
