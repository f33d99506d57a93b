"""Parallel planes -> one short-axis stack: which belong to it, their order, gaps, frames and common grid."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cinema.data import views
from cinema.data.geometry import normal, to_voxel, to_world
from cinema.data.headers import orthonormal
from cinema.data.planes import LPS_TO_RAS, MIN_FRAMES, load, refuse_missing
from cinema.data.study import View
from cinema.data.views import parallel

SAME_PLACE_MM = 2.0
MIN_SLICES = 3


def find(cine):
    """(slices of the short-axis stack, other planes, reasons of those set aside by id)."""
    groups = []
    for plane in cine:
        group = next((group for group in groups if views.parallel(normal(group[0].affine), normal(plane.affine))), None)
        groups.append([plane]) if group is None else group.append(plane)
    stacks = [group for group in groups if len(_places(group)) >= MIN_SLICES]
    rest = [plane.affine for group in groups if len(_places(group)) < MIN_SLICES for plane in group]
    chosen = views.choose_stack([(group[0].affine, len(_places(group))) for group in stacks], rest)
    if chosen is None:
        return [], list(cine), {}
    members, reasons = _one_stack(stacks[chosen])
    singles = [plane for group in groups if group is not stacks[chosen] for plane in group]
    return members, singles, reasons


def depth(plane, across):
    """Place of a plane along a direction, in mm."""
    return float(across @ plane.affine[:3, 3])


def _places(group):
    """Distinct depths of parallel planes, sorted."""
    across = normal(group[0].affine)
    places = []
    for place in sorted(depth(plane, across) for plane in group):
        if not places or place - places[-1] > SAME_PLACE_MM:
            places.append(place)
    return places


def _one_stack(group):
    """Members and reasons. Where several series hold a stack each, the fullest (then the latest) counts, and
    others only add slices beyond its ends. Of slices at one place the one taken like most others (tagging is not)
    and then the later series counts."""
    across = normal(group[0].affine)
    by_series = {}
    for plane in group:
        by_series.setdefault(plane.series, []).append(plane)
    full = [planes for planes in by_series.values() if len(_places(planes)) >= MIN_SLICES]
    members, reasons = list(group), {}
    if len(full) > 1:
        main = max(full, key=lambda planes: (len(_places(planes)), planes[0].number))
        low, high = _places(main)[0] - SAME_PLACE_MM, _places(main)[-1] + SAME_PLACE_MM
        members = main + [
            plane for plane in group if plane.series != main[0].series and not low <= depth(plane, across) <= high
        ]
        reasons = {
            id(plane): f"a second short-axis stack; series {main[0].number} is fuller or later"
            for plane in group
            if not any(plane is member for member in members)
        }
    kept, recipes = [], Counter(plane.recipe for plane in members)
    for plane in sorted(members, key=lambda plane: (recipes[plane.recipe], plane.number), reverse=True):
        place = depth(plane, across)
        twin = next((other for other in kept if abs(depth(other, across) - place) <= SAME_PLACE_MM), None)
        if twin is None:
            kept.append(plane)
        else:
            reasons[id(plane)] = f"short axis at the same place as series {twin.number}, which is taken"
    return sorted(kept, key=lambda plane: depth(plane, across)), reasons


def build(members):
    """(View, (z,) positions in mm, notes) of a stack's planes, on the grid most of them share.

    Slices run along row x column, as SimpleITK orders them. A missing slice of an even stack becomes an empty
    (zero) slice with position NaN. Frames of series with another count are taken at the nearest relative phase.
    """
    for plane in members:
        refuse_missing(plane)
    notes = [note for plane in members for note in plane.notes]
    grids = Counter(_grid(plane) for plane in members)
    reference = next(plane for plane in members if _grid(plane) == grids.most_common(1)[0][0])
    across = normal(reference.affine)
    members = sorted(members, key=lambda plane: depth(plane, across))
    depths = np.array([depth(plane, across) for plane in members])
    places, step, gap_notes = _even(depths)
    notes += gap_notes
    thickness = reference.frames[0].thickness
    if step > 1.25 * thickness:
        notes.append(
            f"short-axis slices are {thickness:.1f} mm thick and {step:.1f} mm apart: {step - thickness:.1f} "
            f"mm between them were not imaged, and volumes rest on {len(members)} slices"
        )
    affine = reference.affine.copy()
    affine[:3, 2] = across * step
    affine[:3, 3] += across * (depths[0] - depth(reference, across))
    clock, clock_notes = _common_clock(members)
    shape = (*reference.frames[0].shape, places[-1] + 1, len(clock.frames))
    image, positions, moved = np.zeros(shape, np.float32), np.full(shape[2], np.nan), 0
    for plane, place, where in zip(members, places, depths, strict=True):
        pixels = load(plane)[..., _nearest_phase(plane, clock)]
        target = affine.copy()
        target[:3, 3] += across * (where - depths[0])
        pixels, shifted = _onto(pixels, plane.affine, target, shape[:2])
        moved += shifted
        image[:, :, place], positions[place] = pixels, where - depths[0]
    if moved:
        notes.append(
            f"{moved} of {len(members)} short-axis slices lie on another grid or beside the others; "
            "they were interpolated onto the common one"
        )
    intervals = [plane.frames[0].rr_ms for plane in members if plane.frames[0].rr_ms]
    times = None
    if clock.times_ms is not None:
        times = clock.phases * np.mean(intervals) if intervals else clock.times_ms
    if intervals and max(intervals) - min(intervals) > 0.02 * max(intervals):
        clock_notes.append(
            f"RR intervals of the short-axis slices run from {min(intervals):.0f} to "
            f"{max(intervals):.0f} ms; frames are joined by their part of the cycle"
        )
    return View(image, affine, frame_times_ms=times), positions, notes + clock_notes


def _grid(plane):
    frame = plane.frames[0]
    return frame.shape, tuple(np.round(frame.spacing, 3)), tuple(np.round([*frame.row, *frame.column], 2))


def _even(depths):
    """Slice index of each depth on an even grid, its step in mm, and notes on gaps and unevenness."""
    if len(depths) == 1:
        raise ValueError("the short-axis stack has one slice; volumes need at least two")
    steps = np.diff(depths)
    step = steps.min()
    multiples = np.round(steps / step).astype(int)
    even = np.all(np.abs(steps / step - multiples) < 0.15)
    if even and multiples.sum() <= 2 * len(depths):
        places = np.r_[0, np.cumsum(multiples)]
        step = (depths[-1] - depths[0]) / places[-1]
        missing = places[-1] + 1 - len(depths)
        notes = (
            []
            if not missing
            else [
                f"{missing} short-axis {'slice is' if missing == 1 else 'slices are'} missing: slices are {step:.1f} mm "
                f"apart, in places {steps.max():.1f} mm; volumes there come from the neighbours"
            ]
        )
        return places, step, notes
    step = (depths[-1] - depths[0]) / (len(depths) - 1)
    note = (
        f"short-axis slices are unevenly spaced ({steps.min():.1f} to {steps.max():.1f} mm); images and masks are "
        f"written {step:.1f} mm apart, volumes use the real distances"
    )
    return np.arange(len(depths)), step, [note]


def _common_clock(members):
    """The plane whose frame count is the most common (the larger one on a tie), and a note if counts differ."""
    counts = Counter(len(plane.frames) for plane in members)
    common = max(counts, key=lambda count: (counts[count], count))
    notes = []
    if len(counts) > 1:
        notes.append(
            f"short-axis slices have {' or '.join(str(count) for count in sorted(counts))} frames; all were "
            f"brought to {common} at the same part of the cycle"
        )
    return next(plane for plane in members if len(plane.frames) == common), notes


def _nearest_phase(plane, clock):
    """Indices of the plane's frames nearest in relative phase to the clock's; its own order if counts agree."""
    if len(plane.frames) == len(clock.frames):
        return np.arange(len(plane.frames))
    apart = np.abs(clock.phases[:, None] - plane.phases)
    return np.argmin(np.minimum(apart, 1 - apart), axis=1)


def _onto(pixels, affine, target, shape):
    """Pixels (x, y, t) of a plane on another grid of the same plane, and whether that needed interpolation."""
    corners = np.array([[0, 0, 0], [shape[0] - 1, 0, 0], [0, shape[1] - 1, 0]])
    off = np.abs(to_voxel(affine, to_world(target, corners)) - corners)[:, :2].max()
    if pixels.shape[:2] == tuple(shape) and off < 0.25:  # pixels
        return pixels, False
    index = np.stack([*np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), np.zeros(shape)], axis=-1)
    where = to_voxel(affine, to_world(target, index))
    frames = [
        ndimage.map_coordinates(pixels[..., t], [where[..., 0], where[..., 1]], order=1, cval=0.0)
        for t in range(pixels.shape[2])
    ]
    return np.stack(frames, axis=-1), True


MIN_SHARE = 0.8  # of the frames of a beat; with fewer a slice is set aside
SAME_PLACE_MM = 1.0
SAME_STEP = 0.15  # of the step: nearer than this a slice is taken as it is
MAX_GAP_STEPS = 2.5
MAX_SHIFT_PIXELS = 0.25


@dataclass(frozen=True)
class Plane:
    """One place of one series. frames: Pictures in order of time. times: of each, in ms or counted. rank: its place
    in the order of folders or series names. name: of that folder or series."""

    name: str
    rank: int
    frames: tuple
    times: tuple
    declared: int

    @property
    def missing(self):
        return max(self.declared - len(self.frames), 0)

    @property
    def axes(self):
        """(3, 3) rows: unit vectors along x and y of the picture and across it, RAS."""
        row, column = orthonormal(np.array([*self.frames[0].row, *self.frames[0].column]))
        return np.stack([row, column, np.cross(row, column)]) @ LPS_TO_RAS[:3, :3]

    @property
    def origin(self):
        return np.asarray(self.frames[0].position) @ LPS_TO_RAS[:3, :3]

    @property
    def quality(self):
        """To be compared: complete before incomplete, then the later series."""
        return -self.missing, self.frames[0].number, self.frames[0].clock, self.rank


def planes(pictures, name, rank):
    """(planes of all places and series among the pictures of one folder or series, notes)."""
    groups, found, notes = {}, [], []
    for picture in pictures:
        where = tuple(np.round([*picture.position, *picture.row, *picture.column], 2))
        groups.setdefault((picture.series, picture.shape, picture.spacing, where), []).append(picture)
    for group in groups.values():
        plane = _in_time(group, name, rank)
        if len(plane.frames) < max(MIN_FRAMES, MIN_SHARE * plane.declared):
            notes.append(f"{name}: {len(plane.frames)} of {plane.declared} frames are readable: set aside")
        else:
            found.append(plane)
    return found, notes


def _in_time(group, name, rank):
    whole = [picture for picture in group if picture.pixels is not None]
    timed = all(picture.trigger_ms is not None for picture in whole)
    if not timed or len({picture.trigger_ms for picture in whole}) < len(whole) / 3:  # no times to speak of
        first = min((picture.instance for picture in whole), default=0)
        latest = {float(picture.instance - first): picture for picture in sorted(whole, key=lambda p: p.clock)}
    else:
        latest = {picture.trigger_ms: picture for picture in sorted(whole, key=lambda p: (p.clock, p.instance))}
    times = tuple(sorted(latest))
    declared = max(picture.declared or 0 for picture in group)
    return Plane(name, rank, tuple(latest[time] for time in times), times, declared or len(times))


def frames(plane, count):
    """(x, y, count) pixels of one beat in even steps, in the files' type, and whether any were interpolated."""
    pictures = [picture.pixels for picture in plane.frames]
    if len(pictures) == count:
        return np.stack(pictures, axis=-1), False
    times = np.asarray(plane.times)
    step = np.median(np.diff(times))
    beat = plane.frames[0].rr_ms or 0
    if beat <= times[-1]:  # not said, or times are counted
        beat = max(times[-1] - times[0] + step, step * plane.declared)
    phases = times / beat % 1
    order = np.argsort(phases)
    after = np.searchsorted(phases[order], np.arange(count) / count, side="right")
    result = np.empty((*pictures[0].shape, count), pictures[0].dtype)
    for k in range(count):
        low, high = order[after[k] - 1], order[after[k] % len(order)]
        share = (k / count - phases[low]) % 1 / ((phases[high] - phases[low]) % 1 or 1)
        mixed = (1 - share) * pictures[low] + share * pictures[high]
        result[..., k] = mixed if result.dtype.kind == "f" else np.round(mixed)
    return result, True


def long_axis(found):
    """(View, notes) of the best of the planes of one long-axis view."""
    best = max(found, key=lambda plane: plane.quality)
    notes = [] if len(found) == 1 else [f"{best.name}: {len(found)} series or places; the latest complete one is read"]
    image, mended = frames(best, best.declared)
    notes += _mended([best] if mended else [])
    thickness = best.frames[0].thickness_mm or 8.0
    return View(image[:, :, None], _affine(best, best.axes[2] * thickness), frame_times_ms=_times([best])), notes


def short_axis(found):
    """(View, notes) of the stack in planes given in the order of their numbers; ValueError if they do not make one."""
    members, notes = _alike(found)
    axes, first = members[0].axes, members[0].origin
    depths = np.array([(plane.origin - first) @ axes[2] for plane in members])
    ranks = [next(k for k, plane in enumerate(found) if plane is member) for member in members]
    if np.polyfit(depths, ranks, 1)[0] < 0:  # numbered against the normal: from base to apex, as a rule
        depths, members, ranks = -depths[::-1], members[::-1], ranks[::-1]
        axes = axes * [[1], [1], [-1]]
    if ranks != sorted(ranks):
        notes.append("short-axis slices are not numbered in order; they were sorted by position")
    count = Counter(plane.declared for plane in members).most_common(1)[0][0]
    mended, slices, shifted = [], [], 0
    for plane, depth in zip(members, depths, strict=True):
        image, changed = frames(plane, count)
        mended += [plane] * changed
        off = ((plane.origin - members[0].origin) @ axes.T)[:2] / plane.frames[0].spacing
        if np.abs(off).max() > MAX_SHIFT_PIXELS:
            moved = ndimage.shift(image, (*off, 0), np.float32, order=1, mode="grid-constant")
            image, shifted = moved if image.dtype.kind == "f" else np.round(moved).astype(image.dtype), shifted + 1
        slices.append(image)
    if shifted:
        notes.append(f"{shifted} short-axis slices lie beside the first; they were moved onto its grid")
    image, step, more = _even(slices, depths - depths[0])
    notes += _mended(mended) + more
    return View(image, _affine(members[0], axes[2] * step), frame_times_ms=_times(members)), notes


def _alike(found):
    """Planes of one orientation and grid, one for each place, sorted by place; ValueError if fewer than three."""
    notes, members = [], list(found)
    for what, same in (("orientation", _same_orientation), ("size or pixel spacing", _same_grid)):
        fellows = [[other for other in members if same(plane, other)] for plane in members]
        largest = max(fellows, key=len, default=[])
        notes += [
            f"{plane.name} has another {what} than the other short-axis slices: set aside"
            for plane in members
            if plane not in largest
        ]
        members = largest
    places = {}
    across = members[0].axes[2] if members else None
    for plane in sorted(members, key=lambda plane: plane.quality, reverse=True):
        depth = float(plane.origin @ across)
        twin = next((other for place, other in places.items() if abs(place - depth) < SAME_PLACE_MM), None)
        if twin is None:
            places[depth] = plane
        else:
            notes.append(f"{plane.name} lies where {twin.name} does, which is the later complete one: set aside")
    if len(places) < MIN_SLICES:
        why = f" ({'; '.join(notes)[:200]})" if notes else ""
        raise ValueError(
            f"{len(places)} usable short-axis slices{why}; at least {MIN_SLICES} are needed: fetch the "
            "subject again or leave it out"
        )
    return [places[depth] for depth in sorted(places)], notes


def _same_orientation(first, second):
    return all(parallel(one, other) and one @ other > 0 for one, other in zip(first.axes, second.axes, strict=True))


def _same_grid(first, second):
    return first.frames[0].shape == second.frames[0].shape and np.allclose(
        first.frames[0].spacing, second.frames[0].spacing, rtol=1e-3
    )


def _even(slices, depths):
    """((x, y, z, t) image, step, notes) of slices at sorted depths, on even places."""
    steps = np.diff(depths)
    whole = np.abs(steps / steps.min() - np.round(steps / steps.min())).max() <= SAME_STEP  # only slices are missing
    step, gap = float(steps.min() if whole else np.median(steps)), float(steps.max())
    if gap > MAX_GAP_STEPS * step:
        raise ValueError(
            f"short-axis slices are {step:.1f} mm apart, but {gap:.1f} mm in one place; several slices "
            "are missing: fetch the subject again or leave it out"
        )
    count = round(depths[-1] / step)
    step = depths[-1] / count
    if count + 1 == len(slices) and np.abs(steps - step).max() <= SAME_STEP * step:
        return np.stack(slices, axis=2), step, []
    kind = np.result_type(*slices)
    image, made = np.empty((*slices[0].shape[:2], count + 1, slices[0].shape[2]), kind), 0
    for z in range(count + 1):
        place = z * step
        nearest = int(np.argmin(np.abs(depths - place)))
        if abs(depths[nearest] - place) <= SAME_STEP * step:
            image[:, :, z] = slices[nearest]
            continue
        high = int(np.searchsorted(depths, place))
        share = (place - depths[high - 1]) / (depths[high] - depths[high - 1])
        mixed = (1 - share) * slices[high - 1] + share * slices[high]
        image[:, :, z], made = mixed if kind.kind == "f" else np.round(mixed), made + 1
    return (
        image,
        step,
        [
            f"short-axis slices are {steps.min():.1f} to {gap:.1f} mm apart; {made} of "
            f"{count + 1} were interpolated between their neighbours, {step:.1f} mm apart"
        ],
    )


def _mended(changed):
    lacking = sum(plane.missing for plane in changed)
    uneven = sum(plane.missing == 0 for plane in changed)
    return ([f"{lacking} missing or unreadable frames interpolated in time"] if lacking else []) + (
        [f"{uneven} short-axis slices brought to the others' number of frames"] if uneven else []
    )


def _affine(plane, step):
    affine = np.eye(4)
    affine[:3, :2] = (plane.axes[:2] * np.array(plane.frames[0].spacing)[:, None]).T
    affine[:3, 2], affine[:3, 3] = step, plane.origin
    return affine


def _times(members):
    """(t,) ms: median trigger times over the complete slices, else even parts of the beat; None if nothing is said."""
    count = Counter(plane.declared for plane in members).most_common(1)[0][0]
    timed = [
        plane.times for plane in members if len(plane.times) == count and plane.frames[-1].trigger_ms == plane.times[-1]
    ]
    beats = [plane.frames[0].rr_ms for plane in members if plane.frames[0].rr_ms]
    if timed:
        return np.median(timed, axis=0)
    return np.arange(count) * np.median(beats) / count if beats else None
