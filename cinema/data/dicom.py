"""A folder of DICOM files -> a study.

Frames are grouped into planes, planes into a short-axis stack and long-axis views, by geometry alone (views.py).
What is not used is listed with its reason. Names, dates and identifiers stay behind in the files.
"""

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cinema.data import planes, stack, views
from cinema.data.geometry import moving_centre, normal, to_world
from cinema.data.headers import scan
from cinema.data.planes import Plane
from cinema.data.reading import BEAT_MS, Reading, row
from cinema.data.study import Study, View
from cinema.terms import LAX_VIEWS, VIEW_NAMES, VIEWS, check_view


def read_dicom(path: str | Path, view: str | None = None, likeness: Callable | None = None) -> Reading:
    """Reading of all DICOM files below `path`.

    view: what the input is, if it is one plane or one stack only; geometry decides otherwise.
    likeness: confirms by the picture what geometry takes for the short axis (stack.find); None: nobody does.
    Raises FileNotFoundError, ValueError in one line: nothing to read, several patients, no cine, missing frames.
    """
    with warnings.catch_warnings(action="ignore"):  # pydicom's, on odd values in headers: what matters is checked
        return _read(path, view, likeness)


def _read(path: str | Path, view: str | None, likeness: Callable | None) -> Reading:
    frames, attributes, notes = scan(path)
    cine, aside = planes.cine_planes(frames)
    if not cine:
        raise ValueError(f"{path} holds no cine: {_why_none(aside)}; export the cine series (one image per phase)")
    sax, singles, reasons = stack.find(cine, likeness) if view is None else _as_told(check_view(view), cine)
    reasons = aside | reasons
    found, sax_positions, heart, axis = {}, None, None, None
    if sax:
        image, sax_positions, said = stack.build(sax)
        notes += said
        axis = views.axis_of_stack(image.affine)
        heart = to_world(image.affine, (*moving_centre(image.image, image.spacing_mm), (image.image.shape[2] - 1) / 2))
        found["sax"] = image
    lax: dict[str, Plane] = {}
    if view in LAX_VIEWS:
        lax = {view: singles[0]}
    elif singles:
        result = views.assign([plane.affine for plane in singles], axis, heart)
        lax = {name: _latest_repeat(singles[index], singles) for name, index in result.lax.items()}
        reasons = {singles[index]: reason for index, reason in result.reasons.items()} | reasons
        for name, index in result.lax.items():
            if singles[index] is not lax[name]:
                reasons[singles[index]] = f"{VIEW_NAMES[name]} again; series {lax[name].number} is later"
        notes += [f"series {singles[index].number} {text}" for index, text in result.notes]
    for name, plane in lax.items():
        notes += planes.refuse_missing(plane)
        found[name] = View(planes.load(plane)[:, :, None], plane.affine, frame_times_ms=plane.times)
    if not found:
        for plane in cine:  # what would be refused under any --view
            planes.refuse_missing(plane)
        across = [normal(plane.affine) for plane in cine]
        told = "lax_4c (2c, 3c)" if len(cine) == 1 else "a folder of one plane or of one stack, and its"
        if all(views.parallel(across[0], other) for other in across):
            told = "sax" if len(cine) > 1 else f"sax or {told}"
        raise ValueError(
            f"{path}: none of its {len(cine)} cine planes could be told to be a heart view "
            f"({_why_none(reasons)}); if you know what it shows, give --view {told}"
        )
    notes += [f"no {VIEW_NAMES[name]} view found" for name in VIEWS if name not in found]
    if len({plane.frames[0].place for plane in [*sax, *lax.values()]}) > 1:
        notes.append("views lie in different frames of reference (the patient was moved): they may not fit together")
    beats = [plane.frames[0].rr_ms for plane in sax or lax.values()]
    known = [beat for beat in beats if beat and BEAT_MS[0] <= beat <= BEAT_MS[1]]
    if known:
        attributes["heart_rate_bpm"] = round(float(60_000 / np.mean(known)), 1)
    table = _table([*aside, *cine], sax, lax, reasons)
    return Reading(Study("study", "own", found, attributes), table, tuple(dict.fromkeys(notes)), {}, sax_positions)


def _as_told(view: str, cine: list[Plane]) -> tuple[list[Plane], list[Plane], dict[Plane, str]]:
    """The planes as the user named them; ValueError if the input is more than one plane or stack."""
    normals = [normal(plane.affine) for plane in cine]
    if view == "sax" and all(views.parallel(normals[0], other) for other in normals):
        members, reasons = stack.one_stack(cine)
        return members, [], reasons
    if view in LAX_VIEWS and len(cine) == 1:
        return [], list(cine), {}
    what = "one stack of parallel planes" if view == "sax" else "one plane"
    raise ValueError(f"--view {view} is for an input of {what}; this one has {len(cine)} cine planes: leave --view out")


def _latest_repeat(plane: Plane, singles: list[Plane]) -> Plane:
    """The last series that shows the same plane again: a repeat usually betters what it repeats."""
    across = normal(plane.affine)
    near = [other for other in singles if abs(across @ (other.affine - plane.affine)[:3, 3]) < 3.0]
    same = [other for other in near if views.parallel(across, normal(other.affine))]
    return max(same, key=lambda other: (other.number, other is plane))


def _why_none(reasons: dict[Plane, str]) -> str:
    said = Counter(reasons.values()).most_common(3)
    return "; ".join(f"{count} x {reason}" for reason, count in said) or "nothing with a position"


def _table(listed: list[Plane], sax: list[Plane], lax: dict[str, Plane], reasons: dict[Plane, str]) -> list[dict]:
    """One row per series and use, ordered by series number."""
    axis = views.axis_of_stack(sax[0].affine) if sax else None
    rows: dict[tuple, dict] = {}
    for plane in listed:
        view = next((name for name, taken in lax.items() if taken is plane), None)
        if plane in sax:
            view, reason = "sax", "one of parallel planes across the long axis"
        elif view:
            angle = "" if axis is None else f" at {views.angle_about(axis, plane.affine):.0f} degrees about it"
            reason = f"along the LV axis{angle}"
        else:
            reason = reasons.get(plane, "not needed")
        key = (plane.number, plane.series, view, reason)
        rows.setdefault(key, row(plane.number, view, 0, len(plane.frames), reason))["slices"] += 1
    return sorted(rows.values(), key=lambda one: (one["series"], one["view"] or ""))
