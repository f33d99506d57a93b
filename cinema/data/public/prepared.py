"""Prepared studies of a public dataset, for notebooks and training; which of them take part in a training.

The random choices among them are the release's, row for row (data.md, section 11), given the same order of rows.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cinema.data.geometry import resample_axis
from cinema.data.public.cards import card
from cinema.data.public.published_grid import moved
from cinema.data.study import SUFFIX, View, load_study, open_study, save_study, study_table
from cinema.files import code, digest
from cinema.parallel import in_parallel
from cinema.terms import SMALL_GRID, VIEWS

MAX_SEED = 0  # the release's random state of max_n_samples, whatever the run's seed


def studies(name: str, data_root: str | Path) -> pd.DataFrame:
    """DataFrame of study.study_table with the column split; FileNotFoundError names the prepare command."""
    card(name)  # refuses an unknown name
    folder = Path(data_root) / name
    if not any(folder.glob(f"*{SUFFIX}")):
        remedy = f"run python3 -m cinema prepare {name} RAW --out {folder}"
        raise FileNotFoundError(f"{folder} holds no prepared studies of {card(name).name}; {remedy}")
    table = study_table(folder)
    return table if "split" in table else table.assign(split="")


def for_training(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """At most n training rows, as data.max_n_samples chooses them: by share, random state 0."""
    return table if n >= len(table) else table.sample(frac=n / len(table), random_state=MAX_SEED)


def for_evaluation(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """At most n validation or test rows, as data.max_n_samples chooses them: by number, random state 0."""
    return table if n >= len(table) else table.sample(n=n, random_state=MAX_SEED)


def share(table: pd.DataFrame, proportion: float, seed: int) -> pd.DataFrame:
    """int(proportion * rows) of the training rows, as data.proportion chooses them with the run's seed.

    ValueError if that leaves none.
    """
    n = int(proportion * len(table))
    if not 0 < proportion <= 1 or n == 0:
        rule = "it must lie in (0, 1] and leave at least one"
        raise ValueError(f"proportion is {proportion} of {len(table)} studies; {rule}")
    return table if proportion == 1 else table.sample(n=n, random_state=seed)


def usable(
    table: pd.DataFrame,
    views: Sequence[str],
    needed: str | None = None,
    column: str | None = None,
    classes: Sequence = (),
) -> tuple[pd.DataFrame, int]:
    """(rows that have the views, what is needed in them, and a target if one is asked for; how many have not).

    table:  with a column path. needed: "labels" or "landmarks" of every view, or None.
    column: attribute that is the target; classes: its admissible values, any if empty.
    ValueError if nothing is left.
    """
    kept = table[[all(has(path, needed or "image", view) for view in views) for path in table.path]]
    if column is not None:
        if column not in kept:
            raise ValueError(f"no study has the attribute {column}; this task needs it: prepare the data set again")
        target = kept[column]
        kept = kept[target.isin(classes) if classes else target.notna()]
    if kept.empty:
        wanted = [*views, *filter(None, (needed, column))]
        raise ValueError(f"none of {len(table)} studies has {', '.join(wanted)}; was the right data set prepared?")
    return kept, len(table) - len(kept)


def on_grid(table: pd.DataFrame, grid: dict, folder: str | Path, jobs: int = 1) -> pd.DataFrame:
    """The table with paths of copies on a grid (view -> (size, spacing), as terms.SMALL_GRID), cut about the middle.

    Views that the grid lacks are left out. Copies are kept in `folder` and made anew when the study or grid changes.
    """
    paths = in_parallel(lambda path: _copy(path, grid, Path(folder)), table["path"], jobs)
    return table.assign(path=paths)


def _copy(path: str | Path, grid: dict, folder: Path) -> str:
    shape = sorted((view, tuple(size), tuple(spacing)) for view, (size, spacing) in grid.items())
    mark = hashlib.sha256(repr([digest([path]), code(), shape]).encode()).hexdigest()[:12]
    target = folder / mark / Path(path).name
    if not target.exists():
        study = load_study(path)
        views = {name: _view(view, *grid[name]) for name, view in study.views.items() if name in grid}
        save_study(replace(study, views=views), target.parent)
    return str(target)


def _view(view: View, size: tuple, spacing: tuple) -> View:
    size, spacing = (*size, 1)[:3], (*spacing, view.spacing_mm[2])[:3]
    step = np.array(spacing) / view.spacing_mm
    first = (np.array(view.image.shape[:3]) - 1) / 2 - (np.array(size) - 1) / 2 * step
    image, labels = view.image, view.labels
    for axis in range(3):
        where = first[axis] + np.arange(size[axis]) * step[axis]
        image = resample_axis(image, axis, where, step[axis] if axis < 2 else 1.0)
        if labels is not None:
            index = np.floor(where + 0.5).astype(int)
            inside = (index >= 0) & (index < labels.shape[axis])
            labels = np.take(labels, np.clip(index, 0, labels.shape[axis] - 1), axis)
            labels *= inside.reshape([-1 if k == axis else 1 for k in range(4)]).astype(np.uint8)
    if view.image.dtype == np.uint8:
        image = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    affine, landmarks = moved(view, first, step)
    return View(image, affine, labels, view.label_frames, landmarks, view.frame_times_ms)


def unlabelled(
    data: str, data_root: str | Path, folder: str | Path, n_learn: int, n_held: int, jobs: int = 1
) -> tuple[list[str], list[str]]:
    """(files to learn from, files held out): prepared studies with all four views on SMALL_GRID, whatever their split.

    At most n_learn + n_held studies, of which a fifth and at least two are held out, and with them any other visit of
    the same people. Copies go to folder/<data>. ValueError with fewer than four.
    """
    table = studies(data, data_root)
    table = table[[all(has(path, "image", view) for view in VIEWS) for path in table["path"]]].head(n_learn + n_held)
    if len(table) < 4:
        raise ValueError(f"{len(table)} studies of {data} in {data_root} have all four views; prepare at least four")
    table = on_grid(table, SMALL_GRID, Path(folder) / data, jobs)
    person = table["id"].str.rsplit("_", n=1).str[0] if "visit" in table else table["id"]  # ids are person_visit
    held = min(n_held, max(2, len(table) // 5))
    return table["path"][~person.isin(person.tail(held))].tolist(), table["path"].tail(held).tolist()


def has(path: str | Path, part: str, view: str = "sax") -> bool:
    """True if a stored study has `part` ("image", "labels" ..) in a view."""
    with open_study(path) as file:
        return f"views/{view}/{part}" in file


def notice(name: str) -> str:
    """One Markdown line for the top of a page: the dataset and its terms."""
    found = card(name)
    terms = f"keep pages and figures within the terms of {found.source}"
    return f"*Data: {found.name} ({found.licence}). These are real patients: {terms}.*"


def stamp(name: str) -> str:
    """Short text for figures: "ACDC (CC BY-NC-SA 4.0)"; terms longer than a few words are left to the page."""
    found = card(name)
    return f"{found.name} ({found.licence})" if len(found.licence) <= 30 else f"{found.name} (see licence)"
