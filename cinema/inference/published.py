"""Inference with fine-tuned models by task and dataset name: the published files, and own ones laid out like them.

Input and output follow method section 9: one min-max over ED and ES together, zeros at the end, windows over larger
images, regression in the number's own unit, class names in the order of a model's outputs.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from cinema.data.loaders import StudyFrames
from cinema.data.study import load_study
from cinema.models.finetuned import SEEDS, TRUTH, Finetuned, load
from cinema.training import classification, landmarks, regression, segmentation
from cinema.training.task import evaluated

SIMPLE = {
    "segmentation": segmentation.TASK,
    "landmark_heatmap": landmarks.HEATMAP,
    "landmark_coordinate": landmarks.COORDINATE,
}


def predict(
    task: str, name: str, paths: Sequence, source: str | Path, seeds: Iterable[int] = SEEDS, device: str = "cpu"
) -> pd.DataFrame:
    """Tidy rows of a fine-tuned model for studies on its grid, one pass per seed, models one after the other.

    Segmentation and landmarks: rows of their tasks for every frame with a mask, with landmarks. Classification: study,
    true (missing where a study's class is none of the model's), predicted, p_0 ..; attrs["classes"] names them.
    Regression: study, value in its own unit. All with the column seed.
    paths: study files; source: as in load, where a weights file counts as the one seed given.
    Raises FileNotFoundError or ValueError in one line.
    """
    seeds = tuple(seeds)
    if not seeds or (Path(source).is_file() and len(seeds) > 1):
        raise ValueError(f"seeds are {seeds} for {source}; give at least one, and for a single file exactly one")
    tables: list[pd.DataFrame] = []
    classes = None
    for seed in seeds:
        loaded = load(task, name, source, seed, device)
        if classes not in (None, loaded.classes):
            raise ValueError(f"{source}: seeds of {task}/{name} list different classes; keep the files of one training")
        classes = loaded.classes
        table = _rows(task, loaded, paths, device)
        table.insert(0, "seed", seed)
        tables.append(table)
        del loaded  # half a gigabyte, before the next one comes
    table = pd.concat(tables, ignore_index=True)
    if classes:
        table.attrs["classes"] = classes
    return table


def _rows(task: str, loaded: Finetuned, paths: Sequence, device: str) -> pd.DataFrame:
    if task in SIMPLE:
        frames = "labelled" if task == "segmentation" else "landmarks"
        return evaluated(loaded.model, StudyFrames(paths, loaded.grid, frames, loaded.grid), SIMPLE[task], device)
    targets: list[float] = [float("nan")] * len(paths)
    if loaded.classes is not None:  # a study's class by its number, -1 where it is none of the model's
        found = [load_study(path, [], []).attributes.get(TRUTH[task]) for path in paths]
        targets = [loaded.classes.index(value) if value in loaded.classes else -1 for value in found]
    pairs = StudyFrames(paths, loaded.grid, "ed_es", loaded.grid, targets=targets)
    if loaded.mean_std is not None:
        table = evaluated(loaded.model, pairs, regression.task(*loaded.mean_std), device)
        return table.rename(columns={"predicted": "value"})[["study", "value"]]
    table = evaluated(loaded.model, pairs, classification.TASK, device).drop(columns=["frame", "phase"])
    if (table.true < 0).any():
        table["true"] = table.true.astype("Int64").mask(table.true < 0)
    return table
