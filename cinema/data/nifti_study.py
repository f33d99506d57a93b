"""One patient's NIfTI files -> a study: a file (3D or 4D), or a folder.

A view is told by the name (sax, sa; 2ch, lax_2c, 4c ..), else several slices are the short axis, else the affines tell
if a short-axis stack is there too.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from cinema.data import views
from cinema.data.geometry import moving_centre, spacing_mm, to_world
from cinema.data.nifti import SAME_SPACING, nifti_files, opened, sizes_text
from cinema.data.reading import Reading, row
from cinema.data.study import Study, View
from cinema.terms import VIEW_NAMES, VIEWS, check_view

# A file name is cut into words at anything but letters and digits.
VIEW_WORDS = {
    "sax": ("sax", "sa", "shortaxis"),
    "lax_2c": ("2c", "2ch", "lax2c", "lax2ch", "la2ch"),
    "lax_3c": ("3c", "3ch", "lax3c", "lax3ch", "la3ch"),
    "lax_4c": ("4c", "4ch", "lax4c", "lax4ch", "la4ch"),
}
MASK_WORDS = {"gt", "seg", "mask", "label", "labels", "segmentation"}
ED_WORDS, ES_WORDS = {"ed", "diastole"}, {"es", "systole"}
SECONDS = {"sec": 1e3, "msec": 1.0, "usec": 1e-3}


def read_nifti(path: str | Path, view: str | None = None) -> Reading:
    """Reading of a NIfTI file or of a folder of one patient's files.

    view: what a single file shows, where its name and shape do not tell.
    Raises FileNotFoundError, ValueError in one line.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; name a NIfTI file (.nii, .nii.gz) or a folder of them")
    files = [path] if path.is_file() else nifti_files(path)
    images, notes, table = [], [], []
    for file in files:
        if path.is_dir() and MASK_WORDS & _words(file):
            table.append(row(file.name, None, 0, 0, "a mask by its name, not an image"))
        else:
            images.append((file, *_load(file)))
    if not images:
        raise ValueError(f"{path} holds no NIfTI images (.nii, .nii.gz); name a file or another folder")
    named = [
        (file, data, header, more, _name_view(file, data) if view is None else _told(view, data, file, images))
        for file, data, header, more in images
    ]
    named = _by_geometry(named)
    found, headers, phases = {}, {}, (None, None)
    for name in VIEWS:
        members = [entry for entry in named if entry[4] == name]
        if members:
            found[name], headers[name], frames, used = _join(members, name, path)
            phases = frames if frames != (None, None) else phases
            for file, data, _, more, _ in members:
                chosen = file in used
                notes += more if chosen else []
                reason = "by its name or shape" if chosen else "the cine file holds these frames"
                table.append(row(file.name, name if chosen else None, data.shape[2], data.shape[3], reason))
    unknown = [entry for entry in named if entry[4] is None]
    if not found:
        raise ValueError(f"{unknown[0][0]} has one slice and no view in its name; add --view lax_2c, lax_3c or lax_4c")
    why = "one slice, no view in its name, and no other view to tell it from"
    table += [row(entry[0].name, None, 1, entry[1].shape[3], why) for entry in unknown]
    positions = None
    if "sax" in found:
        positions, more = _positions(found["sax"])
        notes += more
    notes += [f"no {VIEW_NAMES[name]} view given" for name in VIEWS if name not in found]
    study = Study("study", "own", found, {}, ed_frame=phases[0], es_frame=phases[1])
    return Reading(study, table, tuple(dict.fromkeys(notes)), headers, positions)


def _words(file: Path) -> set[str]:
    return {word for word in re.split(r"[^a-z0-9]+", file.name.lower().split(".nii")[0]) if word}


def _load(file: Path) -> tuple[np.ndarray, tuple, list[str]]:
    """(x, y, z, t) float32 data, (header, affine) and notes of one file; ValueError names what is wrong with it.

    Some files state voxel sizes that their affine lacks; the sizes count then.
    """
    image, data, affine, stated = opened(file, file, "copy or export it again", np.float32)
    data = data.reshape(*data.shape, *[1] * (4 - data.ndim))
    if min(data.shape[:2]) < 16:
        raise ValueError(f"{file} has shape {data.shape}; slices must be the first two axes, at least 16 pixels wide")
    if np.ptp(data) == 0:
        raise ValueError(f"{file} is empty: every voxel is {data.flat[0]:g}; is it the right file?")
    lengths = spacing_mm(affine)
    if np.allclose(lengths, stated, rtol=SAME_SPACING):
        return data, (image.header, affine), []
    affine[:3, :3] *= stated / lengths
    note = (
        f"{file.name}: the affine's voxel sizes ({sizes_text(lengths, 3)} mm) are not the header's "
        f"({sizes_text(stated, 3)} mm); the header's count"
    )
    return data, (image.header, affine), [note]


def _name_view(file: Path, data: np.ndarray) -> str | None:
    words = _words(file)
    joined = "".join(sorted(words & {"lax", "la"}))
    for name, marks in VIEW_WORDS.items():
        if words & set(marks):
            if name == "sax" or data.shape[2] == 1:
                return name
            raise ValueError(
                f"{file} is a {VIEW_NAMES[name]} by its name but has {data.shape[2]} slices; give one plane"
            )
    return "sax" if data.shape[2] > 1 and not joined else None


def _told(view: str, data: np.ndarray, file: Path, images: list) -> str:
    check_view(view)
    if len(images) > 1:
        raise ValueError(f"--view {view} is for one file; {file.parent} holds {len(images)}: leave --view out")
    if (view == "sax") == (data.shape[2] == 1):
        raise ValueError(f"{file} has {data.shape[2]} slice(s); that is no {VIEW_NAMES[view]}: name another --view")
    return view


def _by_geometry(named: list) -> list:
    """Give the nameless single slices a view by how they stand to the short-axis stack, if there is one."""
    stack = next((entry for entry in named if entry[4] == "sax"), None)
    axis = None if stack is None else views.axis_of_stack(stack[2][1])
    nameless = [entry for entry in named if entry[4] is None]
    if stack is None or axis is None or not nameless:
        return named
    _, data, (_, affine), *_ = stack
    heart = to_world(affine, (*moving_centre(data, spacing_mm(affine)), (data.shape[2] - 1) / 2))
    planes: list[np.ndarray] = []
    for entry in nameless:  # ED and ES of one plane are one plane
        if not any(np.allclose(entry[2][1], plane, atol=1e-3) for plane in planes):
            planes.append(entry[2][1])
    lax = views.assign(planes, axis, heart).lax

    def view(entry: tuple) -> str | None:
        return next((name for name, index in lax.items() if np.allclose(entry[2][1], planes[index], atol=1e-3)), None)

    return [entry if entry[4] is not None else (*entry[:4], view(entry)) for entry in named]


def _join(members: list, name: str, path: Path) -> tuple:
    """(View, header, (ED frame, ES frame), files used) of one view's files: a cine, or ED and ES."""
    cines = [entry for entry in members if entry[1].shape[3] > 1]
    if len(cines) == 1:
        file, data, (header, affine), *_ = cines[0]
        return View(data, affine, frame_times_ms=_times(header, data.shape[3])), header, (None, None), {file}
    phases: dict[str, list] = {}
    for entry in members:
        words = _words(entry[0])
        phases.setdefault("ED" if words & ED_WORDS else "ES" if words & ES_WORDS else "?", []).append(entry)
    if len(members) > 1 and (set(phases) != {"ED", "ES"} or len(members) > 2):
        names = ", ".join(entry[0].name for entry in members[:4])
        raise ValueError(
            f"{path} holds {len(members)} files of the {VIEW_NAMES[name]} view ({names}); give one "
            "patient's cine, or one file with ed and one with es in its name"
        )
    parts = [phases[phase][0] for phase in ("ED", "ES", "?") if phase in phases]
    shapes = {entry[1].shape for entry in parts}
    if len(shapes) > 1 or not np.allclose(parts[0][2][1], parts[-1][2][1], atol=1e-2):
        raise ValueError(
            f"{path}: {' and '.join(entry[0].name for entry in parts)} differ in shape or position; "
            "ED and ES must share one grid"
        )
    header, affine = parts[0][2]
    frames = tuple(
        list(phases).index(phase)
        if phase in phases and len(parts) == 1
        else ("ED", "ES").index(phase)
        if len(parts) == 2
        else None
        for phase in ("ED", "ES")
    )
    return View(np.concatenate([entry[1] for entry in parts], axis=3), affine), header, frames, {e[0] for e in parts}


def _times(header: Any, count: int) -> np.ndarray | None:
    """(t,) ms from the header's frame distance, None where it is missing or no part of a heart beat."""
    step = float(header["pixdim"][4]) * SECONDS.get(header.get_xyzt_units()[1], 1e3)
    return np.arange(count) * step if 5 <= step <= 250 else None


def _positions(view: View) -> tuple[np.ndarray, list[str]]:
    """(z,) slice places in mm, NaN for slices of one constant value: padding, without an image."""
    flat = np.ptp(view.image, axis=(0, 1, 3)) == 0
    positions = np.where(flat, np.nan, np.arange(view.image.shape[2]) * view.spacing_mm[2])
    count = int(flat.sum())
    return positions, [f"{count} of {len(flat)} short-axis slices are empty padding and stay empty"] if count else []
