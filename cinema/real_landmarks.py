"""Landmarks of patients: networks trained on a prepared set whose planes are split by themselves (notebook 05).

A study is one picture of one view with three points. The whole picture goes on 64 pixels, so that no point is cut off.
"""

from functools import partial

import numpy as np
import pandas as pd

from cinema import contrast, few
from cinema.compare import Run
from cinema.loaders import StudyFrames
from cinema.models.published import PUBLISHED
from cinema.study import load_study
from cinema.tasks import landmarks, published
from cinema.terms import PUBLISHED_GRID, SMALL_GRID

PLANES = ("lax_2c", "lax_4c")
TASKS = {"heatmap": landmarks.HEATMAP, "coordinates": landmarks.COORDINATE}
MIDDLE = "mean position"


def whole_picture(view):
    """view -> (size, spacing_mm) of SMALL_GRID's pixels laid over the whole published picture."""
    size, full = SMALL_GRID[view][0], PUBLISHED_GRID[view]
    return {view: (size, tuple(n * mm / m for n, mm, m in zip(full[0], full[1], size, strict=True)))}


def of_view(table, view):
    """Rows of the studies that hold this view."""
    return table[[view in load_study(path, frames=[0]).views for path in table["path"]]].reset_index(drop=True)


def frames(paths, augment=None, seed=0, view="lax_4c"):
    """Pictures with their points on `whole_picture`; for compare.Run."""
    return StudyFrames(paths, (view,), "landmarks", whole_picture(view), seed=seed)


def plan(arm, view, table, rate, steps, seed, folder):
    """The training of an arm on one view: train, val and test of the table, which is on `whole_picture`.

    The first word of the arm's name ("heatmap", "coordinates") is the way points are found.
    """
    of = {split: tuple(table.loc[table["split"] == split, "path"]) for split in ("train", "val", "test")}
    return Run(arm, of["train"], of["val"], rate, steps, seed, str(folder), {"test": of["test"]},
               TASKS[arm.name.split()[0]], partial(frames, view=view))


def points(table, view):
    """(studies, 3, 2) marked pixels of the pictures as they are in a table's files."""
    return np.array([load_study(path, [view]).views[view].landmarks[0] for path in table["path"]], float)


def mean_position(table, view):
    """Rows as of a trained arm: every test study is told the mean place of each point in the training studies."""
    of = {split: table[table["split"] == split] for split in ("train", "test")}
    pixel = np.array(whole_picture(view)[view][1])
    away = np.linalg.norm((points(of["test"], view) - points(of["train"], view).mean(0)) * pixel, axis=-1)
    return pd.DataFrame([{"arm": MIDDLE, "seed": 0, "view": view, "study": study, "landmark": name, "distance_mm": mm}
                         for study, three in zip(of["test"]["id"], away, strict=True)
                         for name, mm in zip(landmarks.LANDMARKS, three, strict=True)])


def by_published(table, view, source, seeds, device="cpu"):
    """Rows of the published heatmap and coordinate networks on the test studies of a view, on the published grid."""
    tested = table.loc[table["split"] == "test", "path"].tolist()
    rows = [published.predict(f"landmark_{way}", view, tested, source, seeds, device).assign(arm=f"published {way}")
            for way in ("heatmap", "coordinate") if view in PUBLISHED[f"landmark_{way}"]]
    return pd.concat(rows, ignore_index=True)


def chosen(histories, scores):
    """Rows of the trainings with the learning rate that came nearest on validation pictures, for every arm.

    histories, scores: of one view, as compare.train_all gives them.
    """
    reached = histories.groupby(["arm", "learning_rate"])["val_mean_distance_mm"].min().unstack()
    return scores[scores["learning_rate"] == scores["arm"].map(reached.idxmin(axis=1))]


def per_patient(scores, patient, by=("arm",)):
    """Mean distance, a row a patient and value of `by`: over pictures, points and seeds. patient: study -> patient."""
    return contrast.per_patient(scores.assign(study=scores["study"].map(patient)), ["distance_mm"], by=tuple(by))


def distances(means, by, rng):
    """value of `by` -> stats.Estimate of the mean distance, from `per_patient`."""
    return {name[0] if len(by) == 1 else name: few.mean(rows["distance_mm"], rng)
            for name, rows in means.groupby(list(by), sort=False)}


def difference(means, first, second, rng):
    """Mean distance of first - second over patients that both were asked about; value NaN without any."""
    wide = means.pivot(index="study", columns="arm", values="distance_mm")
    return few.mean((wide[first] - wide[second]).dropna(), rng)


def found_in(scores, study, arms):
    """arm -> (3, 2) pixels found in one study, the mean over seeds."""
    rows = scores[scores["study"] == study]
    means = rows.groupby(["arm", "landmark"])[["x", "y"]].mean()
    return {arm: means.loc[arm].loc[list(landmarks.LANDMARKS)].to_numpy() for arm in arms}
