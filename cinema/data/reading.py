"""What every reader of a user's own examination returns, and how it is put in words."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from cinema.data.study import Study
from cinema.terms import VIEW_NAMES

BEAT_MS = (300.0, 2000.0)  # that a beat can last


@dataclass(frozen=True)
class Reading:
    """A study and how it was come by. Holds nothing that identifies a patient.

    study:   study.Study.
    table:   one dict per series or file: series (number; of a file its place among their names), view (terms.VIEWS or
             None: set aside), slices, frames, reason.
    notes:   sentences on what the input lacked or what was done to it.
    headers: view -> nibabel header whose geometry written masks repeat (NIfTI input only).
    sax_positions_mm: (z,) places of the short-axis slices along their normal, NaN for slices without an image.
    """

    study: Study
    table: list
    notes: tuple = ()
    headers: dict = field(default_factory=dict)
    sax_positions_mm: np.ndarray | None = None


def row(series: int | str, view: str | None, slices: int, frames: int, reason: str) -> dict:
    """A line of Reading.table."""
    return {"series": series, "view": view, "slices": slices, "frames": frames, "reason": reason}


def describe(reading: Reading) -> str:
    """The table as text, one line per series: its number, what it was taken for, and why."""
    columns = ("series", "view", "slices", "frames", "reason")
    named = [one | {"view": VIEW_NAMES.get(one["view"], "set aside")} for one in reading.table]
    rows = [columns, *([str(one[column]) for column in columns] for one in named)]
    widths = [max(len(one[k]) for one in rows) for k in range(4)]
    return "\n".join("  ".join([*map(str.ljust, one[:4], widths), one[4]]) for one in rows)


def slice_widths_mm(positions_mm: ArrayLike) -> np.ndarray:
    """How much of the long axis each slice stands for: half the way to both neighbours, in mm.

    positions_mm: (z,) along the normal, NaN for a slice without an image (width 0). The two ends
    stand for as much outwards as inwards. Disc summation with these is exact for even slices.
    """
    positions = np.asarray(positions_mm, float)
    known = np.flatnonzero(np.isfinite(positions))
    widths = np.zeros(len(positions))
    if len(known) > 1:
        steps = np.abs(np.diff(positions[known]))
        widths[known] = (np.r_[steps[0], steps] + np.r_[steps, steps[-1]]) / 2
    return widths
