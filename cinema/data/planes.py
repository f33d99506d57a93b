"""DICOM frames -> planes in time: which of them are cine, in what order, and their pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from cinema.data.headers import Frame, decompressed, frame_value

MIN_FRAMES = 8  # fewer do not show a heart beat
MIN_SPAN_MS = 200.0  # a beat lasts longer; perfusion and late enhancement stay within one phase
MAX_FRAME_STEP_S = 0.35  # between frames of a beat; dynamic series take one image per beat
RESCALING = "PixelValueTransformationSequence"
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
    """(planes that are cine, {plane: reason} of the others)."""
    planes = [Plane(tuple(group)) for group in _group(frames)]
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
    return cine, aside


def _group(frames: list) -> list[list]:
    """Frames of one series, one picture kind, one plane, in one list each."""
    groups: dict[tuple, list[list]] = {}
    for frame in frames:
        places = groups.setdefault((frame.series, frame.contrast, frame.shape, frame.spacing), [])
        group = next((group for group in places if _same_plane(group[0], frame)), None)
        places.append([frame]) if group is None else group.append(frame)
    return [group for places in groups.values() for group in places]


def _same_plane(first: Frame, second: Frame) -> bool:
    tolerance = {"position": 0.3, "row": 2e-3, "column": 2e-3}
    return all(np.allclose(getattr(first, of), getattr(second, of), atol=atol) for of, atol in tolerance.items())


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
        return _by_clock(plane)
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


def _by_clock(plane: Plane) -> tuple[Plane, str | None]:
    frames = plane.frames
    if len(frames) < MIN_FRAMES:
        return plane, f"only {len(frames)} images; a cine has at least {MIN_FRAMES}"
    by_number = len({frame.instance for frame in frames}) == len(frames)
    by_clock = len({frame.clock for frame in frames}) == len(frames)
    clocks = sorted(_seconds(frame.clock) for frame in frames if frame.clock)
    if by_clock and np.median(np.diff(clocks)) > MAX_FRAME_STEP_S:
        return plane, "no trigger times, and images taken beats apart: a dynamic series, no cine"
    if not (by_number or by_clock):
        return plane, "no trigger times, and neither image numbers nor times tell the order of its images"
    what = "image number" if by_number else "time of acquisition"
    frames = tuple(sorted(frames, key=lambda frame: frame.instance if by_number else frame.clock))
    note = f"series {plane.number} has no trigger times; its frames are in order of {what}"
    return replace(plane, frames=frames, notes=(note,)), None


def _seconds(clock: str) -> float:
    """Seconds since midnight of a DICOM time, HHMMSS.FFFFFF."""
    digits = clock.replace(":", "").ljust(6, "0")
    try:
        return int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + float(digits[4:])
    except ValueError:
        return 0.0


def refuse_missing(plane: Plane) -> None:
    """ValueError if frames of a plane that is used are missing: fewer than declared, or a hole in time."""
    count, declared = len(plane.frames), max(frame.declared or 0 for frame in plane.frames)
    where = f"series {plane.number} in {plane.frames[0].path.parent}"
    remedy = "export the series again, or remove it to go on without"
    if plane.times is not None and count > 2:
        steps = np.diff(plane.times)
        hole = int(np.argmax(steps))
        if steps[hole] > 1.6 * np.median(steps):
            before, after = plane.times[hole : hole + 2]
            raise ValueError(
                f"{where}: no frame between {before:.0f} and {after:.0f} ms after the R wave, where "
                f"others are {np.median(steps):.0f} ms apart; {remedy}"
            )
    if declared > count:
        raise ValueError(f"{where}: {count} of {declared} frames are there; {remedy}")


def load(plane: Plane) -> np.ndarray:
    """(x, y, t) float32 pixels of a plane, rescaled as the header says. ValueError names a damaged file."""
    files, images = {}, []
    for frame in plane.frames:
        if frame.path not in files:
            files[frame.path] = _pixels(frame.path)
        pixels = files[frame.path]
        if frame.index >= len(pixels) or pixels[frame.index].shape != frame.shape[::-1]:
            raise ValueError(f"{frame.path} is cut short: image {frame.index + 1} is missing; export it again")
        images.append(pixels[frame.index].T)
    return np.stack(images, axis=-1)


def _pixels(path: Path) -> np.ndarray:
    """(frames, rows, columns) float32 of one file."""
    try:
        dataset = pydicom.dcmread(path, force=True)
        if dataset.file_meta.get("TransferSyntaxUID") and dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            return decompressed(path).reshape(-1, dataset.Rows, dataset.Columns).astype(np.float32)
        pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns).astype(np.float32)
    except Exception as error:  # decoders raise whatever they like; to the user it is one damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is damaged or cut short ({reason[:120]}); export it again") from None
    for index, image in enumerate(pixels):
        said = [frame_value(dataset, index, f"Rescale{what}", RESCALING) for what in ("Slope", "Intercept")]
        image[:] = image * np.float32(said[0] or 1) + np.float32(said[1] or 0)
    return pixels
