"""Long-axis function from landmarks over a cycle: why extremes over frames read too high, and what to do about it.

Points are (..., t, 3, 2) in mm: hinge, hinge, apex in every frame of one whole cycle, so that the first frame follows
the last. Leading axes (people, draws of noise) are carried along. A rule turns points into a Function. Further down:
who finds the points in pictures, and how far off, as rows of arm, seed, view, study, landmark and distance_mm.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from cinema.data.loaders import StudyFrames
from cinema.data.public import prepared
from cinema.data.study import load_study
from cinema.data.transforms import min_max
from cinema.inference import published
from cinema.inference.measures import SMOOTH_FRAMES
from cinema.inference.reader import OwnReader, peak
from cinema.models import finetuned
from cinema.stats.metrics import lv_lengths_mm
from cinema.terms import PUBLISHED_GRID, SMALL_GRID
from cinema.training import landmarks
from cinema.training.arms import Run, model_of
from cinema.training.task import one_thread

PLANES = ("lax_2c", "lax_4c")
TASKS = {"heatmap": landmarks.HEATMAP, "coordinates": landmarks.COORDINATE}
MIDDLE = "mean position"
NODES = 801  # of the integrals over all values an extreme can take
REACH_SD = 8.0  # noise further out than this does not count
FOURTH_DIFFERENCE = (1.0, -4.0, 6.0, -4.0, 1.0)  # of a smooth curve nearly zero, of noise not


class Function(NamedTuple):
    """What a cycle of landmarks says of the long axis; numbers or arrays."""

    mapse_mm: np.ndarray
    shortening_percent: np.ndarray

    def __sub__(self, other):
        return Function(*(np.subtract(a, b) for a, b in zip(self, other, strict=True)))


def lengths_mm(points):
    """(..., t) lengths of the left ventricle: middle of the hinges to the apex."""
    return lv_lengths_mm(points, (1.0, 1.0))


def expected_extremes(curve, sd):
    """Expected (largest, smallest) of a curve (..., t) seen with independent normal noise of deviation `sd`.

    The largest of t values lies below x if every value does, which is a product of normal distributions; its mean is
    the upper end of all possible values minus the integral of that product. The smallest is its mirror image.
    """
    curve = np.asarray(curve, float)
    if sd == 0:
        return curve.max(-1), curve.min(-1)
    low, high = curve.min(-1) - REACH_SD * sd, curve.max(-1) + REACH_SD * sd
    x = np.linspace(low, high, NODES, axis=-1)[..., None]
    below = (x - curve[..., None, :]) / sd
    all_below, all_above = (ndtr(z).prod(-1) for z in (below, -below))
    step = (high - low) / (NODES - 1)
    return high - np.trapezoid(all_below) * step, low + np.trapezoid(all_above) * step


def smoothed(points):
    """Points smoothed over time as measures.smooth does it, but round the cycle's end."""
    return gaussian_filter1d(points, SMOOTH_FRAMES, axis=-3, mode="wrap")


def noise_sd_mm(points):
    """(..., 3, 2) deviation of the noise of each coordinate, from how much it jumps between neighbouring frames.

    Right for noise that is independent from frame to frame; what is alike in neighbouring frames is not seen. Of few
    frames the heart's own movement counts as well: about 0.15 mm in cycles of 12 frames, 0.02 mm in cycles of 25.
    """
    jumps = sum(weight * np.roll(points, k - 2, axis=-3) for k, weight in enumerate(FOURTH_DIFFERENCE))
    return np.sqrt(np.square(jumps).mean(-3) / np.square(FOURTH_DIFFERENCE).sum())


def extreme_frames(points):
    """Frames of the largest and of the smallest length, two arrays (...)."""
    lengths = lengths_mm(points)
    return lengths.argmax(-1), lengths.argmin(-1)


def at_frames(points, longest, shortest):
    """Function between two frames: mean displacement of the hinges, change of length over the first length."""
    first, last = (_frame(points, frame) for frame in (longest, shortest))
    mapse = np.linalg.norm(last[..., :2, :] - first[..., :2, :], axis=-1).mean(-1)
    return Function(mapse, 100.0 * (lengths_mm(first) - lengths_mm(last)) / lengths_mm(first))


def along_axis(points, longest, shortest):
    """As `at_frames`, but of the hinges' displacement only the part towards the apex counts.

    A displacement's length cannot be negative, so noise makes it longer. A projection is moved either way alike, up to
    what noise turns the axis: noise of sd in each coordinate adds about sd^2 / (2 length), a hundredth of a millimetre.
    """
    first, last = (_frame(points, frame) for frame in (longest, shortest))
    axis = first[..., 2, :] - first[..., :2, :].mean(-2)
    axis = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    travel = ((last - first)[..., :2, :].mean(-2) * axis).sum(-1)
    return Function(travel, at_frames(points, longest, shortest).shortening_percent)


def extremes(points):
    """Function by the published rule: frames of largest and smallest length, found on the points that are measured."""
    return at_frames(points, *extreme_frames(points))


def corrected(points, rng, draws=50):
    """The published rule minus its expected bias.

    The bias is what the rule adds on average when noise as large as `noise_sd_mm` is put on the smoothed points
    (a parametric bootstrap). Smoothed points move less sharply than the true ones and so gain more from noise: where
    noise is independent, somewhat too much is taken off.
    """
    middle, sd = smoothed(points), noise_sd_mm(points)[..., None, :, :]
    noisy = extremes(middle + sd * rng.standard_normal((draws, *np.shape(points))))
    bias = Function(*(values.mean(0) for values in noisy)) - extremes(middle)
    return extremes(points) - bias


def swapped(points):
    """The same points with the two hinges in the other order."""
    return points[..., [1, 0, 2], :]


def in_nearer_order(found, true):
    """(found, other): points with the hinges of a whole cycle in the order that lies nearer the true ones.
    other: (...) integers, 1 where that is not the order in which they were found."""
    both = np.stack([found, swapped(found)])
    other = np.linalg.norm(both - true, axis=-1).mean((-2, -1)).argmin(0)
    return np.where(other[..., None, None, None] == 1, both[1], both[0]), other


def steadiness(error):
    """(offset_mm, jitter_mm, neighbours) of errors (people, t, 3, 2) in mm, over all people and points.

    offset_mm: mean distance of a point from its true place after averaging over the cycle. jitter_mm: deviation of one
    coordinate about that average. neighbours: correlation of that deviation with the next frame's.
    """
    middle = error.mean(-3, keepdims=True)
    rest, offset = error - middle, np.linalg.norm(middle, axis=-1).mean()
    square = np.square(rest).mean()
    neighbours = (rest * np.roll(rest, -1, axis=-3)).mean() / square if square > 0 else 0.0
    return float(offset), float(np.sqrt(square)), float(neighbours)


def noise_mm(shape, sd, neighbours, rng):
    """Normal noise (..., t, 3, 2) of deviation `sd` whose correlation from frame to frame is `neighbours` (in time)."""
    fresh = np.moveaxis(rng.standard_normal(shape), -3, 0)
    out = [fresh[0]]
    for one in fresh[1:]:
        out.append(neighbours * out[-1] + np.sqrt(1 - neighbours**2) * one)
    return sd * np.moveaxis(np.array(out), 0, -3)


def verdict(difference, margin):
    """What the interval of a difference of errors (first - second) says about a margin named beforehand.
    Read on a 90 % interval, "matched" is the result of two one-sided tests at 5 %."""
    if -margin < difference.lower and difference.upper < margin:
        return "matched"
    if difference.lower > margin:
        return "worse by more than the margin"
    return "better by more than the margin" if difference.upper < -margin else "not settled"


def _frame(points, frame):
    index = np.broadcast_to(frame, points.shape[:-3])[..., None, None, None]
    return np.take_along_axis(points, index, axis=-3)[..., 0, :, :]


def whole_picture(view):
    """view -> (size, spacing_mm) of SMALL_GRID's pixels laid over the whole published picture."""
    size, full = SMALL_GRID[view][0], PUBLISHED_GRID[view]
    return {view: (size, tuple(n * mm / m for n, mm, m in zip(full[0], full[1], size, strict=True)))}


def whole_pictures(patients, folder, jobs=1):
    """view -> studies of that view, for views with somebody in every part of the split.

    patients: of data.public.prepared.studies, with the column split. path: of a copy on `whole_picture`, kept in
    `folder`; whole: of the study itself.
    """
    found = {}
    for view in PLANES:
        rows = patients[np.array([view in load_study(path, frames=[0]).views for path in patients["path"]], bool)]
        if {"train", "val", "test"} <= set(rows["split"]):
            rows = rows.assign(whole=rows["path"])
            found[view] = prepared.on_grid(rows, whole_picture(view), folder / f"pictures_{view}", jobs)
    return found


def views_of(paths, view):
    """The View of each study."""
    return [load_study(path, [view]).views[view] for path in paths]


def plan(arm, view, parts, rate, steps, seed, folder, grid):
    """The training of an arm on one view.

    The first word of the arm's name ("heatmap", "coordinates") is the way points are found. parts: "train", "val",
    "test" -> study files, whose pictures are on `grid` (view -> size, spacing_mm).
    """
    train, val, test = (tuple(map(str, parts[name])) for name in ("train", "val", "test"))
    data = partial(_frames, view=view, grid=grid)
    return Run(arm, train, val, rate, steps, seed, str(folder), {"test": test}, TASKS[arm.name.split()[0]], data)


def _frames(paths, augment=None, seed=0, *, view, grid):
    return StudyFrames(paths, (view,), "landmarks", grid, seed=seed)


def reached(histories):
    """Least validation distance of every arm (rows) at every learning rate (columns), from arms.train_all."""
    return histories.groupby(["arm", "learning_rate"], sort=False)["val_mean_distance_mm"].min().unstack()


def rows_of(arm, view, studies, distances_mm, seed=0):
    """Rows of an arm, from distances (studies, frames, landmarks) in mm."""
    rows = [
        (arm, view, seed, study, name, mm)
        for study, of_study in zip(studies, distances_mm, strict=True)
        for of_frame in of_study
        for name, mm in zip(landmarks.LANDMARKS, of_frame, strict=True)
    ]
    return pd.DataFrame(rows, columns=["arm", "view", "seed", "study", "landmark", "distance_mm"])


def mean_position(parts, view, pixel_mm, seed=0):
    """Rows as of a trained arm: every test study is told the mean place of each point in the training studies."""
    train, test = (np.array([one.landmarks for one in views_of(parts[part], view)]) for part in ("train", "test"))
    away = np.linalg.norm((test - train.mean((0, 1))) * np.array(pixel_mm), axis=-1)
    return rows_of(MIDDLE, view, [Path(path).stem for path in parts["test"]], away, seed)


def by_reader(views):
    """(views, t, 3, 2) pixels found by the project's own reader, on one thread."""
    with one_thread():
        reader = OwnReader(turns=1)
        return np.array([reader.predict_lax(view.image, view.spacing_mm)[1] for view in views])


def fine(heat):
    """(b, 3, 2) pixels of heatmaps (b, 3, x, y), read to a fraction of a pixel (reader.peak)."""
    return np.array([[peak(one) for one in three] for three in heat.numpy()])


@torch.inference_mode()
def by_network(model, view, image):
    """(2, t, 3, 2) pixels that a trained network finds in a cine (x, y, 1, t): as published, and `fine` of heatmaps."""
    frames = torch.from_numpy(np.stack([min_max(one) for one in np.moveaxis(np.float32(image[:, :, 0]), -1, 0)]))
    images = {view: frames[:, None]}
    if model.arguments.get("out_chans") == 6:
        return np.stack([landmarks.predict_coordinates(model, images).numpy()] * 2)
    heat = landmarks.predict_heatmaps(model, images)
    return np.stack([landmarks.soft_argmax(heat).numpy(), fine(heat)])


def by_run(run, view, cines):
    """(2, views, t, 3, 2) pixels by `by_network` of a trained arms.Run, on one thread."""
    with one_thread():
        model = model_of(run)
        return np.stack([by_network(model, view, cine.image) for cine in cines], axis=1)


def by_published(tested, view, data_root, seeds):
    """(rows, words) of the published networks on studies of a view, on the published grid; words: what is missing."""
    source, device = finetuned.source(data_root), "cuda" if torch.cuda.is_available() else "cpu"
    if source is None:
        return pd.DataFrame(), finetuned.missing("landmark_heatmap", view)
    ask = partial(published.predict, name=view, paths=list(tested), source=source, seeds=seeds, device=device)
    rows = [ask(f"landmark_{way}").assign(arm=f"published {way}") for way in ("heatmap", "coordinate")]
    return pd.concat(rows, ignore_index=True), ""


def found_in(rows, arms):
    """arm -> (3, 2) pixels found in one study, the mean over seeds, from its rows."""
    means = rows.groupby(["arm", "landmark"])[["x", "y"]].mean()
    return {arm: means.loc[arm].loc[list(landmarks.LANDMARKS)].to_numpy() for arm in arms}
