"""DICOM pictures of a cine -> a short-axis stack or one long-axis plane, as Kaggle's and UK Biobank's files need it.

What decides is where pictures lie and when in the beat they were taken; names and numbers only break ties:

- of pictures of one place, the complete series counts, then the latest;
- a frame that is missing or unreadable is interpolated in time between its neighbours, the beat being periodic;
- slices are sorted along their normal, in the direction in which they are numbered; slices of another orientation,
  size or pixel spacing are set aside; a place of an even stack at which no slice lies is interpolated from the two
  beside it, as long as they are at most two and a half steps apart.

The release does none of this. Every function gives notes: sentences on what was done.
"""

from collections import Counter

import numpy as np
from scipy import ndimage

from cinema.data.frames import Frame
from cinema.data.planes import LPS_TO_RAS, MIN_FRAMES, Plane, latest
from cinema.data.stack import MIN_SLICES, SAME_STEP, multiples, one_per_place
from cinema.data.study import View
from cinema.data.views import parallel

MIN_SHARE = 0.8  # of the frames of a beat; with fewer a slice is set aside
SAME_PLACE_MM = 1.0
MAX_GAP_STEPS = 2.5
MAX_SHIFT_PIXELS = 0.25


def _axes(plane: Plane) -> np.ndarray:
    """(3, 3) rows: unit vectors along x and y of the picture and across it, RAS."""
    frame = plane.frames[0]
    return np.stack([frame.row, frame.column, np.cross(frame.row, frame.column)]) @ LPS_TO_RAS[:3, :3]


def _missing(plane: Plane) -> int:
    return max(plane.declared - len(plane.frames), 0)


def _quality(plane: Plane) -> tuple:
    """To be compared: complete before incomplete, then the later series."""
    return -_missing(plane), plane.number, plane.frames[0].clock, plane.rank


def _as_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Interpolated values in the pixels' own type, rounded where that is of whole numbers."""
    return (values if dtype.kind == "f" else np.round(values)).astype(dtype)


def planes(pictures: list[Frame], name: str, rank: int) -> tuple[list[Plane], list[str]]:
    """(planes of all places and series among the pictures of one folder or series, notes)."""
    groups: dict[tuple, list[Frame]] = {}
    found, notes = [], []
    for picture in pictures:
        where = tuple(np.round([*picture.position, *picture.row, *picture.column], 2))
        groups.setdefault((picture.series, picture.shape, picture.spacing, where), []).append(picture)
    for group in groups.values():
        whole = [picture for picture in group if picture.pixels is not None]
        triggers = {picture.trigger_ms for picture in whole}
        if None in triggers or len(triggers) < len(whole) / 3:  # no times to speak of
            first = min((picture.instance for picture in whole), default=0)
            timed = latest(whole, lambda one, first=first: float(one.instance - first), lambda one: one.clock)
        else:
            timed = latest(whole, lambda one: one.trigger_ms, lambda one: (one.clock, one.instance))
        declared = max(picture.declared or 0 for picture in group) or len(timed)
        if len(timed) < max(MIN_FRAMES, MIN_SHARE * declared):
            notes.append(f"{name}: {len(timed)} of {declared} frames are readable: set aside")
        else:
            times = np.array(list(timed))
            found.append(Plane(tuple(timed.values()), times, name=name, rank=rank, declared=declared))
    return found, notes


def frames(plane: Plane, count: int) -> tuple[np.ndarray, bool]:
    """(x, y, count) pixels of one beat in even steps, in the files' type, and whether any were interpolated."""
    pictures = [picture.pixels for picture in plane.frames]
    if len(pictures) == count:
        return np.stack(pictures, axis=-1), False
    times = plane.times
    step = np.median(np.diff(times))
    beat = plane.frames[0].rr_ms or 0
    if beat <= times[-1]:  # not said, or times are counted
        beat = max(times[-1] - times[0] + step, step * plane.declared)
    phases = times / beat % 1
    order = np.argsort(phases)
    after = np.searchsorted(phases[order], np.arange(count) / count, side="right")
    mixed = []
    for k in range(count):
        low, high = order[after[k] - 1], order[after[k] % len(order)]
        share = (k / count - phases[low]) % 1 / ((phases[high] - phases[low]) % 1 or 1)
        mixed.append(_as_type((1 - share) * pictures[low] + share * pictures[high], pictures[0].dtype))
    return np.stack(mixed, axis=-1), True


def long_axis(found: list[Plane]) -> tuple[View, list[str]]:
    """(View, notes) of the best of the planes of one long-axis view."""
    best = max(found, key=_quality)
    notes = [] if len(found) == 1 else [f"{best.name}: {len(found)} series or places; the latest complete one is read"]
    image, mended = frames(best, best.declared)
    notes += _mended([best] if mended else [])
    return View(image[:, :, None], best.affine, frame_times_ms=_times([best], best.declared)), notes


def short_axis(found: list[Plane]) -> tuple[View, list[str]]:
    """(View, notes) of the stack in planes given in the order of their numbers; ValueError if they do not make one."""
    members, notes = _alike(found)
    axes, first = _axes(members[0]), members[0].affine[:3, 3]
    depths = np.array([(plane.affine[:3, 3] - first) @ axes[2] for plane in members])
    ranks = [found.index(plane) for plane in members]
    if np.polyfit(depths, ranks, 1)[0] < 0:  # numbered against the normal: from base to apex, as a rule
        depths, members, ranks = -depths[::-1], members[::-1], ranks[::-1]
        axes = axes * [[1], [1], [-1]]
    if ranks != sorted(ranks):
        notes.append("short-axis slices are not numbered in order; they were sorted by position")
    affine = members[0].affine
    count = Counter(plane.declared for plane in members).most_common(1)[0][0]
    mended, slices, shifted = [], [], 0
    for plane in members:
        image, changed = frames(plane, count)
        mended += [plane] * changed
        off = ((plane.affine[:3, 3] - affine[:3, 3]) @ axes.T)[:2] / plane.frames[0].spacing
        if np.abs(off).max() > MAX_SHIFT_PIXELS:
            moved = ndimage.shift(image, (*off, 0), np.float32, order=1, mode="grid-constant")
            image, shifted = _as_type(moved, image.dtype), shifted + 1
        slices.append(image)
    if shifted:
        notes.append(f"{shifted} short-axis slices lie beside the first; they were moved onto its grid")
    image, step, more = _even(slices, depths - depths[0])
    affine[:3, 2] = axes[2] * step
    return View(image, affine, frame_times_ms=_times(members, count)), notes + _mended(mended) + more


def _alike(found: list[Plane]) -> tuple[list[Plane], list[str]]:
    """Planes of one orientation and grid, one for each place, sorted by place; ValueError if fewer than three."""
    notes, members = [], list(found)
    for what, same in (("orientation", _same_orientation), ("size or pixel spacing", _same_grid)):
        fellows = [[other for other in members if same(plane, other)] for plane in members]
        largest = max(fellows, key=len, default=[])
        others = [plane.name for plane in members if plane not in largest]
        notes += [f"{name} has another {what} than the other short-axis slices: set aside" for name in others]
        members = largest
    members, twins = one_per_place(members, _axes(members[0])[2] if members else np.zeros(3), _quality, SAME_PLACE_MM)
    for plane, twin in twins:
        notes.append(f"{plane.name} lies where {twin.name} does, which is the later complete one: set aside")
    if len(members) < MIN_SLICES:
        why = f" ({'; '.join(notes)[:200]})" if notes else ""
        raise ValueError(
            f"{len(members)} usable short-axis slices{why}; at least {MIN_SLICES} are needed: fetch the "
            "subject again or leave it out"
        )
    return members, notes


def _same_orientation(first: Plane, second: Plane) -> bool:
    return all(parallel(one, other) and one @ other > 0 for one, other in zip(_axes(first), _axes(second), strict=True))


def _same_grid(one: Plane, other: Plane) -> bool:
    first, second = one.frames[0], other.frames[0]
    return first.shape == second.shape and np.allclose(first.spacing, second.spacing, rtol=1e-3)


def _even(slices: list[np.ndarray], depths: np.ndarray) -> tuple[np.ndarray, float, list[str]]:
    """((x, y, z, t) image, step, notes) of slices at sorted depths, on even places."""
    steps = np.diff(depths)
    step, gap = float(steps.min() if multiples(steps)[1] else np.median(steps)), float(steps.max())
    if gap > MAX_GAP_STEPS * step:
        raise ValueError(
            f"short-axis slices are {step:.1f} mm apart, but {gap:.1f} mm in one place; several slices "
            "are missing: fetch the subject again or leave it out"
        )
    count = round(depths[-1] / step)
    step = depths[-1] / count
    if count + 1 == len(slices) and np.abs(steps - step).max() <= SAME_STEP * step:
        return np.stack(slices, axis=2), step, []
    image, dtype, made = [], np.result_type(*slices), 0
    for place in np.arange(count + 1) * step:
        nearest = int(np.argmin(np.abs(depths - place)))
        if abs(depths[nearest] - place) <= SAME_STEP * step:
            image.append(slices[nearest])
            continue
        high = int(np.searchsorted(depths, place))
        share = (place - depths[high - 1]) / (depths[high] - depths[high - 1])
        image.append(_as_type((1 - share) * slices[high - 1] + share * slices[high], dtype))
        made += 1
    note = (
        f"short-axis slices are {steps.min():.1f} to {gap:.1f} mm apart; {made} of "
        f"{count + 1} were interpolated between their neighbours, {step:.1f} mm apart"
    )
    return np.stack(image, axis=2, dtype=dtype), step, [note]


def _mended(changed: list[Plane]) -> list[str]:
    lacking = sum(map(_missing, changed))
    uneven = sum(_missing(plane) == 0 for plane in changed)
    notes = [f"{lacking} missing or unreadable frames interpolated in time"] if lacking else []
    return notes + ([f"{uneven} short-axis slices brought to the others' number of frames"] if uneven else [])


def _times(members: list[Plane], count: int) -> np.ndarray | None:
    """(count,) ms: median trigger times over the complete slices, else even parts of the beat, else None."""
    whole = [plane for plane in members if len(plane.times) == count]
    timed = [plane.times for plane in whole if plane.frames[-1].trigger_ms == plane.times[-1]]
    beats = [plane.frames[0].rr_ms for plane in members if plane.frames[0].rr_ms]
    if timed:
        return np.median(timed, axis=0)
    return np.arange(count) * np.median(beats) / count if beats else None
