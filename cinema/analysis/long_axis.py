"""Long-axis function from landmarks over a cycle: why extremes over frames read too high, and what to do about it.

Points are (..., t, 3, 2) in mm: hinge, hinge, apex in every frame of one whole cycle, so that the first frame follows
the last. Leading axes (people, draws of noise) are carried along. A rule turns points into a Function.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from cinema.data.loaders import StudyFrames
from cinema.data.study import load_study
from cinema.inference import published
from cinema.inference.measures import SMOOTH_FRAMES
from cinema.models.published import PUBLISHED
from cinema.stats import estimates
from cinema.stats.metrics import lv_lengths_mm
from cinema.terms import PUBLISHED_GRID, SMALL_GRID
from cinema.training import landmarks
from cinema.training.arms import Run

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
    """Points smoothed over time as measure.smooth does it, but round the cycle's end."""
    return gaussian_filter1d(points, SMOOTH_FRAMES, axis=-3, mode="wrap")


def noise_sd_mm(points):
    """(..., 3, 2) deviation of the noise of each coordinate, from how much it jumps between neighbouring frames.

    Right for noise that is independent from frame to frame; what is alike in neighbouring frames is not seen. Of few
    frames the heart's own movement counts as well: about 0.15 mm in cycles of 12 frames, 0.02 mm in cycles of 25.
    """
    n = len(FOURTH_DIFFERENCE) // 2
    jumps = sum(weight * np.roll(points, k - n, axis=-3) for k, weight in enumerate(FOURTH_DIFFERENCE))
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
    """The published rule: the frames of largest and smallest length, found on the points that are measured."""
    return at_frames(points, *extreme_frames(points))


def smoothed_extremes(points):
    """The published rule on points smoothed over time."""
    return extremes(smoothed(points))


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


def steadiness(error):
    """(offset_mm, jitter_mm, neighbours) of errors (people, t, 3, 2) in mm, over all people and points.

    offset_mm: mean distance of a point from its true place after averaging over the cycle. jitter_mm: deviation of one
    coordinate about that average. neighbours: correlation of that deviation with the next frame's.
    """
    middle = error.mean(-3, keepdims=True)
    rest = error - middle
    offset = np.linalg.norm(middle, axis=-1).mean()
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

    Read on a 90 % interval, "matched" is the result of two one-sided tests at 5 %.
    """
    if -margin < difference.lower and difference.upper < margin:
        return "matched"
    if difference.lower > margin:
        return "worse by more than the margin"
    return "better by more than the margin" if difference.upper < -margin else "not settled"


def _frame(points, frame):
    index = np.broadcast_to(frame, points.shape[:-3])[..., None, None, None]
    return np.take_along_axis(points, index, axis=-3)[..., 0, :, :]


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
    return Run(
        arm,
        of["train"],
        of["val"],
        rate,
        steps,
        seed,
        str(folder),
        {"test": of["test"]},
        TASKS[arm.name.split()[0]],
        partial(frames, view=view),
    )


def points(table, view):
    """(studies, 3, 2) marked pixels of the pictures as they are in a table's files."""
    return np.array([load_study(path, [view]).views[view].landmarks[0] for path in table["path"]], float)


def mean_position(table, view):
    """Rows as of a trained arm: every test study is told the mean place of each point in the training studies."""
    of = {split: table[table["split"] == split] for split in ("train", "test")}
    pixel = np.array(whole_picture(view)[view][1])
    away = np.linalg.norm((points(of["test"], view) - points(of["train"], view).mean(0)) * pixel, axis=-1)
    return pd.DataFrame(
        [
            {"arm": MIDDLE, "seed": 0, "view": view, "study": study, "landmark": name, "distance_mm": mm}
            for study, three in zip(of["test"]["id"], away, strict=True)
            for name, mm in zip(landmarks.LANDMARKS, three, strict=True)
        ]
    )


def by_published(table, view, source, seeds, device="cpu"):
    """Rows of the published heatmap and coordinate networks on the test studies of a view, on the published grid."""
    tested = table.loc[table["split"] == "test", "path"].tolist()
    rows = [
        published.predict(f"landmark_{way}", view, tested, source, seeds, device).assign(arm=f"published {way}")
        for way in ("heatmap", "coordinate")
        if view in PUBLISHED[f"landmark_{way}"]
    ]
    return pd.concat(rows, ignore_index=True)


def chosen(histories, scores):
    """Rows of the trainings with the learning rate that came nearest on validation pictures, for every arm.

    histories, scores: of one view, as compare.train_all gives them.
    """
    reached = histories.groupby(["arm", "learning_rate"])["val_mean_distance_mm"].min().unstack()
    return scores[scores["learning_rate"] == scores["arm"].map(reached.idxmin(axis=1))]


def per_patient(scores, patient, by=("arm",)):
    """Mean distance, a row a patient and value of `by`: over pictures, points and seeds. patient: study -> patient."""
    return estimates.per_patient(scores.assign(study=scores["study"].map(patient)), ["distance_mm"], by=tuple(by))


def distances(means, by, rng):
    """value of `by` -> stats.Estimate of the mean distance, from `per_patient`."""
    return {
        name[0] if len(by) == 1 else name: estimates.mean(rows["distance_mm"], rng)
        for name, rows in means.groupby(list(by), sort=False)
    }


def difference(means, first, second, rng):
    """Mean distance of first - second over patients that both were asked about; value NaN without any."""
    wide = means.pivot(index="study", columns="arm", values="distance_mm")
    return estimates.mean((wide[first] - wide[second]).dropna(), rng)


def found_in(scores, study, arms):
    """arm -> (3, 2) pixels found in one study, the mean over seeds."""
    rows = scores[scores["study"] == study]
    means = rows.groupby(["arm", "landmark"])[["x", "y"]].mean()
    return {arm: means.loc[arm].loc[list(landmarks.LANDMARKS)].to_numpy() for arm in arms}
