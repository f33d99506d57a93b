"""DICOM frames -> planes in time: which of them are cine, in what order, and their pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pydicom

from cinema.data.frames import door, pixels_of

MIN_FRAMES = 8  # fewer do not show a heart beat
MIN_SPAN_MS = 200.0  # a beat lasts longer; perfusion and late enhancement stay within one phase
MAX_FRAME_STEP_S = 0.35  # between frames of a beat; dynamic series take one image per beat
FEW_PHASES = (2, 3)  # of ED and ES alone
FEW = "only a few images at each place: they are taken for phases of one beat, such as ED and ES"
MAX_HOLE = 1.6  # between frames, of their usual distance
HALF_DAY_S = 43200.0
SAME_PLANE = np.array([0.3] * 3 + [2e-3] * 6)  # mm of position, parts of row and column
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Plane:
    """One place of one series. frames: in order of time; times: of each, in ms after the R wave, or None.

    notes: sentences on its frames. Of pictures (slices.py), where times may be counted: name and rank of their folder
    or series among others, and how many frames its beat has.
    """

    frames: tuple
    times: Any = None
    notes: tuple = ()
    name: str = ""
    rank: int = 0
    declared: int = 0

    @property
    def number(self) -> int:
        return self.frames[0].number

    @property
    def series(self) -> str:
        return self.frames[0].series

    @property
    def affine(self) -> np.ndarray:
        """RAS; index order column, row, slice; the third column is one slice thickness along row x column."""
        frame, affine = self.frames[0], np.eye(4)
        affine[:3, 0], affine[:3, 1] = frame.row * frame.spacing[0], frame.column * frame.spacing[1]
        affine[:3, 2] = np.cross(frame.row, frame.column) * frame.thickness
        affine[:3, 3] = frame.position
        return LPS_TO_RAS @ affine

    @property
    def phases(self) -> np.ndarray:
        """(t,) part of the heart cycle passed at each frame, 0 <= phase < 1."""
        rr = self.frames[0].rr_ms
        if self.times is None or not rr or rr <= self.times[-1]:
            return np.arange(len(self.frames)) / len(self.frames)
        return self.times / rr


def latest(frames: Sequence, time: Callable, order: Callable) -> dict:
    """{time: frame} in order of time; of frames of one time the last by `order` counts."""
    found = {time(frame): frame for frame in sorted(frames, key=order)}
    return {key: found[key] for key in sorted(found)}


def cine_planes(frames: list) -> tuple[list[Plane], dict[Plane, str]]:
    """(planes that are cine, {plane: reason} of the others). Where none is, ED and ES alone may be there."""
    planes = [Plane(tuple(group)) for group in _group(frames, lambda frame: frame.series)]
    flow = [plane for plane in planes if plane.frames[0].contrast[0]]
    cine, aside = [], {}
    for plane in planes:
        plane, reason = _in_time(plane)
        if reason is None and any(_of_one_acquisition(plane, other) for other in flow):
            reason = "magnitude images of a flow series"
        if reason is None:
            cine.append(plane)
        else:
            aside[plane] = reason
    if all(len(plane.frames) < MIN_FRAMES for plane in cine) and (phases := _few_phases(frames)):
        used = {(frame.path, frame.index) for plane in phases for frame in plane.frames}
        rest = [plane for plane in aside if not used & {(frame.path, frame.index) for frame in plane.frames}]
        return phases, {plane: aside[plane] for plane in rest}
    return cine, aside


def _group(frames: list, series: Callable) -> list[list]:
    """Frames of one series, one picture kind, one plane, in one list each."""
    alike: dict[tuple, list] = {}
    for frame in frames:
        alike.setdefault((series(frame), frame.contrast, frame.shape, frame.spacing), []).append(frame)
    groups = []
    for of_kind in alike.values():
        left = np.array([[*frame.position, *frame.row, *frame.column] for frame in of_kind])
        while of_kind:  # all that share the first one's plane
            same = np.all(np.abs(left - left[0]) <= SAME_PLANE + 1e-5 * np.abs(left), axis=1)
            groups.append([frame for frame, is_same in zip(of_kind, same, strict=True) if is_same])
            of_kind = [frame for frame, is_same in zip(of_kind, same, strict=True) if not is_same]
            left = left[~same]
    return groups


def _few_phases(frames: list) -> list[Plane]:
    """Planes of ED and ES alone, in one series or two: every place shows as many phases, of one kind of picture."""
    planes = []
    for group in _group([frame for frame in frames if frame.inversion_ms is None], lambda frame: ""):
        triggers = [frame.trigger_ms or 0.0 for frame in group]
        apart = len(set(triggers)) == len(group) and max(triggers) - min(triggers) > MIN_SPAN_MS / 2
        plain = not group[0].contrast[0] and group[0].contrast[2] == 1
        if plain and len(group) in FEW_PHASES and (apart or not any(triggers)):
            order = lambda frame: (frame.trigger_ms or 0.0, frame.number, frame.order, frame.instance)
            shown = sorted((replace(frame, declared=None) for frame in group), key=order)
            planes.append(Plane(tuple(shown), notes=(FEW,)))
    return planes if len({len(plane.frames) for plane in planes}) == 1 else []


def _of_one_acquisition(first: Plane, second: Plane) -> bool:
    """Scanners write magnitude and phase of one flow acquisition into one series or into neighbouring ones."""
    if abs(first.number - second.number) > 1 or len(first.frames) != len(second.frames):
        return False
    one, other = first.affine[:3], second.affine[:3]
    return np.allclose(one[:, :2], other[:, :2], atol=0.02) and np.allclose(one[:, 3], other[:, 3], atol=1.0)


def _in_time(plane: Plane) -> tuple[Plane, str | None]:
    """The plane with its frames in order of time, and None or the reason why it is no cine."""
    frames = plane.frames
    if frames[0].contrast[2] > 1:
        return plane, "colour pictures"
    if frames[0].contrast[0]:
        return plane, "velocity or phase images"
    promised = max(frame.declared or 0 for frame in frames)
    if len(frames) == 1 and promised < MIN_FRAMES:
        return plane, "a single image, no cine"
    if len({frame.inversion_ms for frame in frames}) > 1:
        return plane, "the inversion time changes from image to image: a map, no cine"
    triggers = [frame.trigger_ms for frame in frames]
    if None in triggers or not any(triggers):
        return _by_order(plane)
    phases = latest(frames, lambda frame: frame.trigger_ms, lambda frame: frame.instance)
    notes: tuple[str, ...] = ()
    if len(phases) < len(frames):
        if len(phases) < max(MIN_FRAMES, len(frames) / 3):
            many = f"{len(frames)} images at {len(phases)} phases of the cycle"
            return plane, f"{many}: dynamic or multi-contrast, no cine"
        again = len(frames) - len(phases)
        notes = (f"series {plane.number} shows {again} phases more than once; the later image counts",)
    frames = tuple(phases.values())
    if len(frames) < MIN_FRAMES and promised < MIN_FRAMES:
        return plane, f"only {len(frames)} phases; a cine has at least {MIN_FRAMES}"
    if len(frames) > 1 and frames[-1].trigger_ms - frames[0].trigger_ms < MIN_SPAN_MS and promised <= len(frames):
        return plane, "all images lie within one phase of the cycle, no cine"
    return replace(plane, frames=frames, times=np.array(list(phases)), notes=notes), None


def _by_order(plane: Plane) -> tuple[Plane, str | None]:
    """`_in_time` without trigger times: by what the header says of the order."""
    frames = plane.frames
    if len(frames) < MIN_FRAMES:
        return plane, f"only {len(frames)} images; a cine has at least {MIN_FRAMES}"
    clocks = [_seconds(frame.clock) for frame in frames]
    if max(clocks) - min(clocks) > HALF_DAY_S:  # over midnight
        clocks = [clock + 2 * HALF_DAY_S * (clock < HALF_DAY_S) for clock in clocks]
    if len(set(clocks)) == len(frames) and np.median(np.diff(sorted(clocks))) > MAX_FRAME_STEP_S:
        return plane, "no trigger times, and images taken beats apart: a dynamic series, no cine"
    told = {
        "temporal position": [frame.order for frame in frames],
        "image number": [frame.instance for frame in frames],
        "time of acquisition": clocks,
    }
    what = next((what for what, order in told.items() if len(set(order)) == len(frames)), None)
    if what is None:
        return plane, "no trigger times, and neither image numbers nor times tell the order of its images"
    order = sorted(range(len(frames)), key=told[what].__getitem__)
    note = f"series {plane.number} has no trigger times; its frames are in order of {what}"
    return replace(plane, frames=tuple(frames[k] for k in order), notes=(note,)), None


def _seconds(clock: str) -> float:
    """Seconds since midnight of a DICOM time, HHMMSS.FFFFFF."""
    digits = clock.replace(":", "").ljust(6, "0")
    try:
        return int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + float(digits[4:])
    except ValueError:
        return 0.0


def refuse_missing(plane: Plane) -> tuple:
    """Notes on a plane that is used, frames fewer than declared that cover the beat evenly among them.

    ValueError if some are missing: a hole in time, or fewer than declared.
    """
    count, declared = len(plane.frames), max(frame.declared or 0 for frame in plane.frames)
    where = f"series {plane.number} in {plane.frames[0].path.parent}"
    remedy = "export the series again, or remove it to go on without"
    rest = np.inf  # from the last frame to the first of the next beat
    if plane.times is not None and count > 2:
        steps = np.diff(plane.times)
        usual, hole = np.median(steps), int(np.argmax(steps))
        if steps[hole] > MAX_HOLE * usual:
            before, after = plane.times[hole : hole + 2]
            raise ValueError(
                f"{where}: no frame between {before:.0f} and {after:.0f} ms after the R wave, where "
                f"others are {usual:.0f} ms apart; {remedy}"
            )
        rest = ((plane.frames[0].rr_ms or np.inf) - plane.times[-1] + plane.times[0]) / usual
    if declared > count:
        if count < MIN_FRAMES or not 0 < rest <= MAX_HOLE:
            raise ValueError(f"{where}: {count} of {declared} frames are there; {remedy}")
        return (*plane.notes, f"{count} of {declared} frames are there; they cover the beat evenly")
    return plane.notes


def load(plane: Plane) -> np.ndarray:
    """(x, y, t) float32 pixels of a plane, rescaled as the header says. ValueError names a damaged file."""
    files, images = {}, []
    for frame in plane.frames:
        if frame.path not in files:
            with door(frame.path):
                files[frame.path] = pixels_of(pydicom.dcmread(frame.path, force=True))
        pixels = files[frame.path]
        if frame.index >= len(pixels) or pixels[frame.index].shape != frame.shape[::-1]:
            raise ValueError(f"{frame.path} is cut short: image {frame.index + 1} is missing; export it again")
        images.append(pixels[frame.index].T)
    return np.stack(images, axis=-1, dtype=np.float32)
