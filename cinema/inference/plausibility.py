"""What an examination and its numbers can be: input that is no cine of a heart is refused, results that are no heart's
carry a warning, and what no heart at all has is not given as a number.

Bounds are wide: they tell a misreading from a heart, not an ill heart from a sound one. "Labels" below are the masks
of ACDC's 100 training patients (Bernard et al. 2018, doi:10.1109/TMI.2018.2837502); none of them crosses a bound.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cinema.data.reading import Reading, slice_widths_mm
from cinema.data.study import View
from cinema.terms import LABELS, VIEW_NAMES

MIN_CURVE = 8  # frames; of fewer, neighbours may well differ
SIZES = "set the voxel size in the file's header (NIfTI: pixdim and sform, in mm), or export the images again"
AXES = "time and slices seem to be swapped; order the axes x, y, slice, time"
ONE_SLICE = "these seem to be frames of one slice; store time on the fourth axis"
OUTLINES = "the heart may be misread; look at the outlines"
PHASES = "ED and ES may be swapped, or the heart misread; look at the outlines"
SLICES = "slices may be missing, at a wrong distance or misread; look at the outlines"
BASE = "a basal slice seems to be read as empty at ES, LVESV too small and LVEF too large; look at the outlines there"
STROKES = "regurgitation, a shunt, or a misreading; look at the outlines"
FRAMES = "frames may be out of order or misread; look at the curve"
MOTION = "frames may be out of order, or the valve misread; look at the landmarks"


class Check(NamedTuple):
    """A quantity is plausible from `low` to `high`. At or beyond the ends of `never` no heart has it: not given."""

    quantity: str
    unit: str
    low: float
    high: float
    advice: str
    never: tuple[float, float] = (-np.inf, np.inf)


INPUT = (  # labels: pixels of 0.7 to 1.9 mm, fields of 220 to 420 mm, slices 5 to 10 mm apart, 45 to 100 mm in all
    Check("pixel size", "mm", 0.4, 4, SIZES),
    Check("field of view", "mm", 60, 800, SIZES),  # from an image cut to the heart to a scanner's bore
    Check("distance of slices", "mm", 2, 40, SIZES),
    Check("length of the stack", "mm", 0, 300, SIZES),
    # ED and ES of the labelled patients, as different as frames can be: 0.1 to 0.6; swapped it is the inverse
    Check("change from frame to frame over that from slice to slice", "", 0, 1.25, AXES),
    Check("correlation of neighbouring slices", "", -1, 0.97, ONE_SLICE),  # 0.4 to 0.84; of frames of a cine 0.99
)
RESULTS = (  # "women", "men": 95 % ranges of sound people (UK Biobank; Kawel-Boehm 2015); Kaggle: 1140, children too
    Check("LVEDV", "ml", 30, 600, OUTLINES, (0, np.inf)),  # labels 49 to 374; women from 88; Kaggle 10 to 569
    Check("LVESV", "ml", 5, 500, OUTLINES, (0, np.inf)),  # labels 19 to 334; women from 31; Kaggle 4 to 489
    Check("LVEF", "%", 5, 90, PHASES, (0, 100)),  # labels 10 to 82; Kaggle 9 to 78
    Check("RVEDV", "ml", 30, 600, OUTLINES, (0, np.inf)),  # labels 47 to 295; women from 85
    Check("RVESV", "ml", 5, 500, OUTLINES, (0, np.inf)),  # labels 10 to 263; women from 27
    Check("RVEF", "%", 1, 90, PHASES, (0, 100)),  # labels 2 to 86
    Check("LVM", "g", 25, 500, OUTLINES, (0, np.inf)),  # labels 34 to 272; men up to 176
    Check("MAPSE", "mm", -2, 30, MOTION),  # the valve's plane moves 14 to 19 in sound hearts; it is read to 1 or 2
    Check("GLshortening", "%", -3, 45, MOTION),
    Check("length of the LV at ED", "mm", 40, 160, SLICES),  # labels 50 to 110
    Check("wall volume at ES over that at ED", "", 0.6, 2, OUTLINES),  # muscle keeps its volume; labels 0.9 to 1.5
    Check("difference of the stroke volumes", "ml", 0, 120, STROKES),  # of one beat they are equal; labels up to 98
    Check("difference of the stroke volumes relative to the larger", "%", 0, 95, STROKES),  # labels up to 94
    Check("number of slices without LV between others", "", 0, 0, SLICES),  # labels: none
    # From the last slice with LV to the valve of the long axis: 60 virtual stacks, hinges 2.5 mm off, -0.3 to 1.05
    Check("slices to the valve at ES", "", -np.inf, 1.1, BASE),
    # At both ends of the stack, or all slices are one: the smaller of both areas. Labels up to 0.42.
    Check("LV area where the stack ends relative to the largest", "", 0, 0.65, SLICES),
    # What one frame's volume exceeds or lacks, held against the median of itself and its neighbours: sound hearts 0.1,
    # with 9 frames 0.16
    Check("LV volume that leaps in one frame relative to the largest", "", 0, 0.2, FRAMES),
    Check("RV volume that leaps in one frame relative to the largest", "", 0, 0.2, FRAMES),
)


def refuse(reading: Reading, source: Any) -> None:
    """ValueError in one line, with the remedy, where the images cannot be a cine of a heart. source: what was read."""
    for name, view in reading.study.views.items():
        found = input_quantities(view, reading.sax_positions_mm if name == "sax" else None)
        for _, _, sentence in _crossed(INPUT, found):
            raise ValueError(f"{source}, {VIEW_NAMES[name]}: {sentence}")


def judged(metrics: Mapping[str, Any], labels: NDArray | None, positions_mm: Any) -> tuple[dict[str, Any], dict]:
    """(metrics without the numbers that no heart has, quantity -> warning). labels: (x, y, z, t) of a short-axis stack
    of which volumes were taken, or None; positions_mm: (z,), NaN for a slice without an image."""
    metrics, warnings = dict(metrics), {}
    found = {check.quantity: metrics.get(check.quantity) for check in RESULTS}
    found |= {name: list(metrics[name].values()) for name in ("MAPSE", "GLshortening")}
    if labels is not None:
        found |= result_quantities(metrics, labels, positions_mm)
    for check, value, sentence in _crossed(RESULTS, found):
        warnings[check.quantity] = sentence
        if not check.never[0] < value < check.never[1]:
            warnings[check.quantity] += ". No heart has that: it is not given"
            metrics[check.quantity] = None
    plain = metrics.get("all_slices", {})
    bounds = {check.quantity: check.never for check in RESULTS}
    kept = {key: value for key, value in plain.items() if value is None or bounds[key][0] < value < bounds[key][1]}
    return metrics | ({"all_slices": dict.fromkeys(plain) | kept} if plain else {}), warnings


def _crossed(checks: tuple[Check, ...], found: Mapping[str, Any]) -> Iterator[tuple[Check, float, str]]:
    """(check, value, sentence) of each quantity with a value out of bounds; None and NaN are in bounds."""
    for check in checks:
        values = np.ravel(np.array(found.get(check.quantity, []), float))
        wrong = values[(values < check.low) | (values > check.high)]
        if len(wrong):
            unit = f" {check.unit}".rstrip()
            bounds = f"above {check.high:g}" if check.low in (0, -np.inf) else f"not {check.low:g} to {check.high:g}"
            yield check, wrong[0], f"{check.quantity} is {wrong[0]:.4g}{unit}, {bounds}{unit}: {check.advice}"


def input_quantities(view: View, positions_mm: ArrayLike | None = None) -> dict[str, Any]:
    """Quantity of INPUT -> its values. positions_mm: (z,) of a stack, NaN for a slice without an image."""
    pixel = np.array(view.spacing_mm[:2])
    found: dict[str, Any] = {"pixel size": pixel, "field of view": pixel * view.image.shape[:2]}
    positions = np.array([] if positions_mm is None else positions_mm, float)
    known = np.isfinite(positions)
    if known.sum() > 1:
        steps = np.abs(np.diff(positions[known]))
        found |= {"distance of slices": np.median(steps), "length of the stack": steps.sum()}
        thinned = np.asarray(view.image[::2, ::2][:, :, known], np.float32)
        lower, upper = thinned[:, :, :-1], thinned[:, :, 1:]
        of_slices = np.abs(upper - lower).mean()
        if of_slices > 0:
            found["correlation of neighbouring slices"] = np.corrcoef(lower[..., 0].ravel(), upper[..., 0].ravel())[
                0, 1
            ]
        if of_slices > 0 and thinned.shape[3] > 1:
            change = np.abs(np.diff(thinned, axis=3)).mean()
            found["change from frame to frame over that from slice to slice"] = change / of_slices
    return found


def result_quantities(metrics: Mapping[str, Any], labels: NDArray, positions_mm: Any) -> dict[str, Any]:
    """Those quantities of RESULTS that are no metric themselves -> values, as far as phases and structures are there.
    metrics: of `measures.sax_metrics`; labels, positions_mm: of the stack."""
    known = np.isfinite(positions_mm)
    lv, wall = (np.sum(labels[:, :, known] == LABELS[name], axis=(0, 1)) for name in ("LV", "MYO"))
    widths, frames = slice_widths_mm(positions_mm)[known], (metrics["ed_frame"], metrics["es_frame"])
    found: dict[str, Any] = {}
    for area in (lv[:, frame] for frame in frames if frame is not None):
        there = np.flatnonzero(area)
        if len(there):
            holes = found.setdefault("number of slices without LV between others", [])
            holes.append(np.sum(area[there[0] : there[-1]] == 0))
    ed, es = frames
    if ed is not None and lv[:, ed].any():
        found["length of the LV at ED"] = widths[lv[:, ed] > 0].sum()
        found["LV area where the stack ends relative to the largest"] = min(lv[0, ed], lv[-1, ed]) / lv[:, ed].max()
        if es is not None and wall[:, ed].any():
            found["wall volume at ES over that at ED"] = widths @ wall[:, es] / (widths @ wall[:, ed])
    if None not in frames:
        strokes = [metrics[f"{side}EDV"] - metrics[f"{side}ESV"] for side in ("LV", "RV")]
        apart = abs(strokes[0] - strokes[1])
        found["difference of the stroke volumes"] = apart
        found["difference of the stroke volumes relative to the larger"] = 100 * apart / max(*strokes, 1.0)
    for side in ("LV", "RV"):
        curve = np.array(metrics[f"{side.lower()}_volumes"])
        if len(curve) >= MIN_CURVE and curve.any():
            beside = np.median([np.roll(curve, 1), curve, np.roll(curve, -1)], axis=0)
            found[f"{side} volume that leaps in one frame relative to the largest"] = (
                np.abs(curve - beside).max() / curve.max()
            )
    return found
