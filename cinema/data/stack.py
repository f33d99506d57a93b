"""Parallel planes -> one short-axis stack: which belong to it, their order, gaps, frames and common grid."""

from collections import Counter
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from cinema.data import views
from cinema.data.frames import MAX_PIXELS
from cinema.data.geometry import normal, to_voxel, to_world
from cinema.data.planes import FEW_PHASES, Plane, load, refuse_missing
from cinema.data.study import View

SAME_PLACE_MM = 2.0
SAME_STEP = 0.15  # of the least step between slices
MIN_SLICES = 3
LEAST_LIKENESS, SAME_LIKENESS = 0.65, 0.1
MAX_PLANES = 400  # of an examination


def find(cine: list[Plane], likeness: Callable | None = None) -> tuple[list[Plane], list[Plane], dict[Plane, str]]:
    """(slices of the short-axis stack, other planes, reasons of those set aside).

    likeness: takes a few slices (x, y, z, t) and their spacing in mm and says how much they look like short axes, 0 to
    1; what geometry makes likely must look so too, nearly as much as any. None: geometry alone decides.
    """
    if len(cine) > MAX_PLANES:
        raise ValueError(
            f"{len(cine)} cine planes are more than an examination has; give the series of the heart alone"
        )
    groups: list[list[Plane]] = []
    for plane in cine:
        group = next((group for group in groups if views.parallel(normal(group[0].affine), normal(plane.affine))), None)
        groups.append([plane]) if group is None else group.append(plane)
    stacks = [group for group in groups if len(_places(group)) >= MIN_SLICES]
    rest = [plane.affine for group in groups if group not in stacks for plane in group]
    ranked = views.rank_stacks([(group[0].affine, len(_places(group))) for group in stacks], rest)
    sorted_out = {chosen: one_stack(stacks[chosen]) for chosen in ranked}
    seen = {chosen: 1.0 if likeness is None else _seen(sorted_out[chosen][0], likeness) for chosen in ranked}
    least = max(LEAST_LIKENESS, max(seen.values(), default=0.0) - SAME_LIKENESS)
    for chosen in ranked:
        if seen[chosen] >= least:
            members, reasons = sorted_out[chosen]
            return members, [plane for group in groups if group != stacks[chosen] for plane in group], reasons
    doubted = "parallel planes, but the pictures do not show a short axis"
    return [], list(cine), {plane: doubted for chosen in ranked for plane in stacks[chosen]}


def _seen(members: list[Plane], likeness: Callable) -> float:
    """Likeness of the middle slices; of all, where a few phases hardly show what beats."""
    first = members[len(members) // 2].frames[0]
    few = len(members[0].frames) in FEW_PHASES
    near = members if few else members[max(len(members) // 2 - 1, 0) :][:3]
    images = [load(plane) for plane in near if plane.frames[0].shape == first.shape]
    count = min(image.shape[-1] for image in images)
    return likeness(np.stack([image[..., :count] for image in images], axis=2), (*first.spacing, first.thickness))


def depth(plane: Plane, across: np.ndarray) -> float:
    """Place of a plane along a direction, in mm."""
    return float(across @ plane.affine[:3, 3])


def _places(group: list[Plane]) -> list[float]:
    """Distinct depths of parallel planes, sorted."""
    places: list[float] = []
    for place in sorted(depth(plane, normal(group[0].affine)) for plane in group):
        if not places or place - places[-1] > SAME_PLACE_MM:
            places.append(place)
    return places


def one_stack(group: list[Plane]) -> tuple[list[Plane], dict[Plane, str]]:
    """Members and reasons. Where several series hold a stack each, the fullest (then the latest) counts, and
    others only add slices beyond its ends. Of slices at one place the one taken like most others (tagging is not)
    and then the later series counts."""
    across = normal(group[0].affine)
    by_series: dict[str, list[Plane]] = {}
    for plane in group:
        by_series.setdefault(plane.series, []).append(plane)
    full = [planes for planes in by_series.values() if len(_places(planes)) >= MIN_SLICES]
    members, reasons = list(group), {}
    if len(full) > 1:
        main = max(full, key=lambda planes: (len(_places(planes)), planes[0].number))
        for planes in full:
            main = main + planes if planes is not main and _interleaved([*main, *planes], across) else main
        low, high = _places(main)[0] - SAME_PLACE_MM, _places(main)[-1] + SAME_PLACE_MM
        within = [plane for plane in group if plane not in main and low <= depth(plane, across) <= high]
        members = main + [plane for plane in group if plane not in main and plane not in within]
        reasons = dict.fromkeys(within, f"a second short-axis stack; series {main[0].number} is fuller or later")
    protocols = {plane: _protocol(plane) for plane in members}
    alike = Counter(protocols.values())
    kept, twins = one_per_place(members, across, lambda plane: (alike[protocols[plane]], plane.number), SAME_PLACE_MM)
    for plane, twin in twins:
        reasons[plane] = f"short axis at the same place as series {twin.number}, which is taken"
    return kept, reasons


def _interleaved(planes: list[Plane], across: np.ndarray) -> bool:
    """Whether planes of two series make one even stack: the odd slices in one, the even ones in the other."""
    steps = np.diff(sorted(depth(plane, across) for plane in planes))
    least = max(SAME_PLACE_MM, (1 - SAME_STEP) * planes[0].frames[0].thickness)
    return len(set(map(_protocol, planes))) == 1 and steps.min() > least and steps.max() < (1 + SAME_STEP) * steps.min()


def _protocol(plane: Plane) -> tuple:
    """What images of one protocol share: echo time and pixel size, rounded."""
    frame = plane.frames[0]
    return round(2 * (frame.contrast[1] or 0)), tuple(np.round(frame.spacing, 1))


def one_per_place(planes: list, across: np.ndarray, rank: Callable, within_mm: float) -> tuple[list, list]:
    """(planes in order of place, [(plane left out, the one taken there)]): of those at one place the highest rank."""
    kept: list[Plane] = []
    twins: list[tuple[Plane, Plane]] = []
    for plane in sorted(planes, key=rank, reverse=True):
        place = depth(plane, across)
        twin = next((other for other in kept if abs(depth(other, across) - place) <= within_mm), None)
        kept.append(plane) if twin is None else twins.append((plane, twin))
    return sorted(kept, key=lambda plane: depth(plane, across)), twins


def multiples(steps: np.ndarray) -> tuple[np.ndarray, bool]:
    """(steps in whole numbers of the least one, whether all of them are that, within SAME_STEP)."""
    parts = steps / steps.min()
    whole = np.round(parts)
    return whole.astype(int), bool(np.abs(parts - whole).max() <= SAME_STEP)


def build(members: list[Plane]) -> tuple[View, np.ndarray, list[str]]:
    """(View, (z,) positions in mm, notes) of a stack's planes, on the grid most of them share.

    Slices run along row x column, as SimpleITK orders them. A missing slice of an even stack becomes an empty
    (zero) slice with position NaN. Frames of series with another count are taken at the nearest relative phase.
    """
    notes = list(dict.fromkeys(note for plane in members for note in refuse_missing(plane)))
    grids = Counter(_grid(plane) for plane in members)
    reference = next(plane for plane in members if _grid(plane) == grids.most_common(1)[0][0])
    across = normal(reference.affine)
    members = sorted(members, key=lambda plane: depth(plane, across))
    depths = np.array([depth(plane, across) for plane in members])
    thickness = reference.frames[0].thickness
    places, step, gap_notes = _even(depths, thickness)
    notes += gap_notes
    if step > 1.25 * thickness:
        notes.append(
            f"short-axis slices are {thickness:.1f} mm thick and {step:.1f} mm apart: {step - thickness:.1f} "
            f"mm between them were not imaged, and volumes rest on {len(members)} slices"
        )
    affine = reference.affine
    affine[:3, 2] = across * step
    affine[:3, 3] += across * (depths[0] - depth(reference, across))
    clock, times, clock_notes = _common_clock(members)
    shape = (*reference.frames[0].shape, places[-1] + 1, len(clock.frames))
    if np.prod(shape, dtype=float) > MAX_PIXELS:
        raise ValueError(
            f"a short-axis stack of {' x '.join(map(str, shape))} pixels is more than a cine has; remove it"
        )
    image, positions, moved = np.zeros(shape, np.float32), np.full(shape[2], np.nan), 0
    for plane, place, where in zip(members, places, depths - depths[0], strict=True):
        pixels = load(plane)
        if len(plane.frames) != len(clock.frames):  # the nearest in relative phase
            apart = np.abs(clock.phases[:, None] - plane.phases)
            pixels = pixels[..., np.argmin(np.minimum(apart, 1 - apart), axis=1)]
        target = affine.copy()
        target[:3, 3] += across * where
        image[:, :, place], shifted = _onto(pixels, plane.affine, target, shape[:2])
        positions[place], moved = where, moved + shifted
    if moved:
        notes.append(
            f"{moved} of {len(members)} short-axis slices lie on another grid or beside the others; "
            "they were interpolated onto the common one"
        )
    return View(image, affine, frame_times_ms=times), positions, notes + clock_notes


def _grid(plane: Plane) -> tuple:
    frame = plane.frames[0]
    return frame.shape, tuple(np.round(frame.spacing, 3)), tuple(np.round([*frame.row, *frame.column], 2))


def _even(depths: np.ndarray, thickness: float) -> tuple[np.ndarray, float, list[str]]:
    """Slice index of each depth on an even grid, its step in mm (of one slice, its thickness), and notes on gaps and
    unevenness."""
    if len(depths) == 1:
        return np.zeros(1, int), thickness, []
    steps = np.diff(depths)
    counts, even = multiples(steps)
    if even and counts.sum() <= 2 * len(depths):
        places = np.r_[0, np.cumsum(counts)]
        step = (depths[-1] - depths[0]) / places[-1]
        missing = places[-1] + 1 - len(depths)
        note = (
            f"{missing} short-axis {'slice is' if missing == 1 else 'slices are'} missing: slices are {step:.1f} mm "
            f"apart, in places {steps.max():.1f} mm; volumes there come from the neighbours"
        )
        return places, step, [note] if missing else []
    step = (depths[-1] - depths[0]) / (len(depths) - 1)
    note = (
        f"short-axis slices are unevenly spaced ({steps.min():.1f} to {steps.max():.1f} mm); images and masks are "
        f"written {step:.1f} mm apart, volumes use the real distances"
    )
    return np.arange(len(depths)), step, [note]


def _common_clock(members: list[Plane]) -> tuple[Plane, np.ndarray | None, list[str]]:
    """(plane whose frame count is the most common (the larger one on a tie), frame times in ms, notes)."""
    notes = []
    counts = Counter(len(plane.frames) for plane in members)
    common = max(counts, key=lambda count: (counts[count], count))
    if len(counts) > 1:
        notes.append(
            f"short-axis slices have {' or '.join(str(count) for count in sorted(counts))} frames; all were "
            f"brought to {common} at the same part of the cycle"
        )
    clock = next(plane for plane in members if len(plane.frames) == common)
    intervals = [plane.frames[0].rr_ms for plane in members if plane.frames[0].rr_ms]
    if intervals and max(intervals) - min(intervals) > 0.02 * max(intervals):
        notes.append(
            f"RR intervals of the short-axis slices run from {min(intervals):.0f} to "
            f"{max(intervals):.0f} ms; frames are joined by their part of the cycle"
        )
    times = clock.times
    if times is not None and intervals:
        times = clock.phases * np.mean(intervals)
    return clock, times, notes


def _onto(pixels: np.ndarray, affine: np.ndarray, target: np.ndarray, shape: tuple) -> tuple[np.ndarray, bool]:
    """Pixels (x, y, t) of a plane on another grid of the same plane, and whether that needed interpolation."""
    corners = np.array([[0, 0, 0], [shape[0] - 1, 0, 0], [0, shape[1] - 1, 0]])
    off = np.abs(to_voxel(affine, to_world(target, corners)) - corners)[:, :2].max()
    if pixels.shape[:2] == tuple(shape) and off < 0.25:  # pixels
        return pixels, False
    index = np.stack([*np.indices(shape), np.zeros(shape)], axis=-1)
    at = np.moveaxis(to_voxel(affine, to_world(target, index))[..., :2], -1, 0)
    frames = [ndimage.map_coordinates(frame, at, order=1, cval=0.0) for frame in np.moveaxis(pixels, -1, 0)]
    return np.stack(frames, axis=-1), True
