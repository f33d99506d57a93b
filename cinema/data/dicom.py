"""A folder of DICOM files -> a study.

Frames are grouped into planes, planes into a short-axis stack and long-axis views, by geometry alone (views.py).
What is not used is listed with its reason. Names, dates and identifiers stay behind in the files.
"""

import warnings
from collections import Counter
from pathlib import Path

from cinema.data import planes, stack, views
from cinema.data.geometry import moving_centre, to_world
from cinema.data.headers import scan
from cinema.data.planes import Plane
from cinema.data.reading import Reading, row
from cinema.data.study import Study, View
from cinema.terms import LAX_VIEWS, VIEW_NAMES, check_view


def read_dicom(path: str | Path, view: str | None = None) -> Reading:
    """Reading of all DICOM files below `path`.

    view: what the input is, if it is one plane or one stack only; geometry decides otherwise.
    Raises FileNotFoundError, ValueError in one line: nothing to read, several patients, no cine, missing frames.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, on odd values in headers: what matters is checked
        return _read(path, view)


def _read(path: str | Path, view: str | None) -> Reading:
    frames, attributes, notes = scan(path)
    cine, aside = planes.cine_planes(frames)
    if not cine:
        raise ValueError(f"{path} holds no cine: {_why_none(aside)}; export the cine series (one image per phase)")
    sax, singles, reasons = stack.find(cine)
    if view is not None:
        sax, singles, reasons = _as_told(check_view(view), sax, singles, reasons, cine)
    found, sax_positions, heart, axis = {}, None, None, None
    if sax:
        found["sax"], sax_positions, more = stack.build(sax)
        notes += more
        axis = views.axis_of_stack(found["sax"].affine)
        x, y = moving_centre(found["sax"].image, found["sax"].spacing_mm)
        heart = to_world(found["sax"].affine, (x, y, (found["sax"].image.shape[2] - 1) / 2))
    assigned = {}
    if view in LAX_VIEWS:
        assigned = {view: singles[0]}
    elif singles:
        result = views.assign([plane.affine for plane in singles], axis, heart)
        lax = {name: _latest_repeat(singles[index], singles) for name, index in result.lax.items()}
        assigned, reasons = lax, reasons | _reasons(result, singles, lax)
        notes += [f"series {singles[index].number} {text}" for index, text in result.notes]
    for name, plane in assigned.items():
        found[name], more = _long_axis(plane)
        notes += more
    if not found:
        raise ValueError(
            f"{path}: no plane of its {len(cine)} cine planes could be told to be a heart view "
            f"({_why_none(aside, reasons)}); name it with --view if it is one plane or one stack"
        )
    notes += [f"no {VIEW_NAMES[name]} view found" for name in ("sax", *LAX_VIEWS) if name not in found]
    if len({plane.place for plane in [*sax, *assigned.values()]}) > 1:
        notes.append("views lie in different frames of reference (the patient was moved): they may not fit together")
    table = _table(cine, aside, sax, assigned, reasons)
    ordered = {name: found[name] for name in ("sax", *LAX_VIEWS) if name in found}
    return Reading(Study("study", "own", ordered, attributes), table, tuple(notes), {}, sax_positions)


def _as_told(
    view: str, sax: list[Plane], singles: list[Plane], reasons: dict[int, str], cine: list[Plane]
) -> tuple[list[Plane], list[Plane], dict[int, str]]:
    """The planes as the user named them; ValueError if the input is more than one plane or stack."""
    normals = [views.normal(plane.affine) for plane in cine]
    if view == "sax" and all(views.parallel(normals[0], other) for other in normals):
        return list(cine), [], {}
    if view in LAX_VIEWS and len(cine) == 1:
        return [], list(cine), {}
    what = "one stack of parallel planes" if view == "sax" else "one plane"
    raise ValueError(f"--view {view} is for an input of {what}; this one has {len(cine)} cine planes: leave --view out")


def _latest_repeat(plane: Plane, singles: list[Plane]) -> Plane:
    """The last series that shows the same plane again: a repeat usually betters what it repeats."""
    same = [
        other
        for other in singles
        if views.parallel(views.normal(plane.affine), views.normal(other.affine))
        and abs(views.normal(plane.affine) @ (other.affine - plane.affine)[:3, 3]) < 3.0
    ]
    return max(same, key=lambda other: (other.number, other is plane))


def _reasons(result: views.Assignment, singles: list[Plane], lax: dict[str, Plane]) -> dict[int, str]:
    reasons = {id(singles[index]): reason for index, reason in result.reasons.items()}
    for name, index in result.lax.items():
        if singles[index] is not lax[name]:
            reasons[id(singles[index])] = f"{VIEW_NAMES[name]} again; series {lax[name].number} is later"
    return reasons


def _long_axis(plane: Plane) -> tuple[View, list[str]]:
    planes.refuse_missing(plane)
    image = planes.load(plane)[:, :, None]
    return View(image, plane.affine, frame_times_ms=plane.times), list(plane.notes)


def _why_none(aside: list[tuple[Plane, str]], reasons: dict[int, str] | None = None) -> str:
    said = Counter(reason for _, reason in aside) + Counter((reasons or {}).values())
    return "; ".join(f"{count} x {reason}" for reason, count in said.most_common(3)) or "nothing with a position"


def _table(
    cine: list[Plane],
    aside: list[tuple[Plane, str]],
    sax: list[Plane],
    assigned: dict[str, Plane],
    reasons: dict[int, str],
) -> list[dict]:
    """One row per series and use, ordered by series number."""
    rows: dict[tuple, dict] = {}

    def add(plane: Plane, view: str | None, reason: str) -> None:
        key = (plane.number, plane.series, view, reason)
        rows.setdefault(key, row(plane.number, view, 0, len(plane.frames), reason))["slices"] += 1

    for plane, reason in aside:
        add(plane, None, reason)
    for plane in cine:
        name = next((view for view, taken in assigned.items() if taken is plane), None)
        if any(plane is slice_ for slice_ in sax):
            add(plane, "sax", "one of parallel planes across the long axis")
        elif name:
            axis = views.axis_of_stack(sax[0].affine) if sax else None
            angle = "" if axis is None else f" at {views.angle_about(axis, plane.affine):.0f} degrees about it"
            add(plane, name, f"along the LV axis{angle}")
        else:
            add(plane, None, reasons.get(id(plane), "not needed"))
    return sorted(rows.values(), key=lambda one: (one["series"], one["view"] or ""))
