"""Fine-tuned models, published or our own: where they are, and what their configuration says of input and output."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cinema.models.config import views_of
from cinema.models.published import PUBLISHED, REPOSITORY, fetch, finetuned_file
from cinema.models.weights import from_file, read_config
from cinema.terms import LABELS, PUBLISHED_GRID, SMALL_GRID

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


@dataclass(frozen=True)
class Finetuned:
    """A model with what its configuration says of input and output.

    grid: view -> (size, spacing_mm), views in token order; classes, mean_std: None where the task has none.
    """

    model: torch.nn.Module
    grid: dict
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
    path = Path(source)
    if not path.is_file():
        path = fetch(source, finetuned_file(task, name, seed, any_name=path.is_dir()))
    elif task not in PUBLISHED:
        raise ValueError(f"task is {task!r}; choose one of {', '.join(PUBLISHED)}")
    model: Any = from_file(path).to(device)
    beside = path.with_name("config.yaml")
    config = read_config(beside) if beside.is_file() else {}
    kept = (model, _grid(model, config, path), _classes(task, name, config), _mean_std(task, name, config))
    has, frames = model.arguments.get("out_chans"), model.arguments.get("n_frames", 2)
    wants = len(kept[2]) if kept[2] else N_OUTPUTS.get(task, 1)
    if has != wants or (task not in N_OUTPUTS and frames != 2):
        raise ValueError(
            f"{path} holds a {type(model).__name__} of {has} outputs; {task} needs {wants}"
            f"{'' if task in N_OUTPUTS else ' and two frames'}: give the file of that task"
        )
    return Finetuned(*kept)


def _grid(model: Any, config: dict, path: Path) -> dict:
    """view -> (size, spacing_mm): by the model, else the configuration, else the known grid of that size."""
    data, sizes = config.get("data", {}), model.arguments.get("image_size_dict")
    if not sizes and not config:
        raise ValueError(f"{path} does not say which view it reads; put its config.yaml beside it")
    grid = {}
    for view in sizes or views_of(config, path.with_name("config.yaml")):
        n_dims, said = len(PUBLISHED_GRID[view][0]), data.get(view.split("_")[0], {})
        size = tuple((sizes or {}).get(view) or said.get("patch_size", PUBLISHED_GRID[view][0]))[:n_dims]
        known = (SMALL_GRID if size == SMALL_GRID[view][0] else PUBLISHED_GRID)[view][1]
        grid[view] = (size, tuple(said.get("spacing", known))[:n_dims])
    return grid


def _classes(task: str, name: str | None, config: dict) -> tuple | None:
    if task not in TRUTH:
        return None
    data = config.get("data", {})
    classes = data.get(data.get("class_column")) or CLASSES.get((task, _dataset(name)))
    if not classes:
        raise ValueError(f"no class names for {task}/{name}; its config.yaml must list them under data.class_column")
    return tuple(classes)


def _mean_std(task: str, name: str | None, config: dict) -> tuple | None:
    if not task.startswith("regression"):
        return None
    data = config.get("data", {})
    said = data.get(data.get("regression_column"))
    pair = (said.get("mean"), said.get("std")) if isinstance(said, dict) else MEAN_STD.get((task, _dataset(name)))
    if not pair or not all(isinstance(value, (int, float)) for value in pair):
        raise ValueError(f"no mean and std for {task}/{name}; its config.yaml must give them under data.<column>")
    return pair


def _dataset(name: str | None) -> str:
    return (name or "").split("_")[0]
