"""One patient's own NIfTI files -> a study: which view each shows, and which axis of it is time.

What the picture and the affine tell counts before what a file is called: frames of one slice are more alike than
slices, parallel planes are a stack, a long-axis plane is told by its angle. Files are counted in the order of their
names, from 1; their names, which may be a patient's, appear in errors only.
"""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from cinema.data import stack, views
from cinema.data.geometry import moving_centre, normal, spacing_mm, to_voxel, to_world
from cinema.data.nifti import ALIKE, MARGIN, MOST_BYTES, Image, aligned, load, nifti_files, unlikeness, words
from cinema.data.reading import Reading, row
from cinema.data.study import Study, View
from cinema.terms import VIEW_NAMES, VIEWS, check_view

MASK_WORDS = {"gt", "seg", "mask", "label", "labels", "segmentation"}
ED_WORDS, ES_WORDS = {"ed", "diastole"}, {"es", "systole"}
ACROSS = np.sin(np.radians(60))  # tilt to the long axis from which on a plane is no long-axis view


def read_nifti(path: str | Path, view: str | None = None) -> Reading:
    """Reading of a NIfTI file (3D or 4D) or of a folder of one patient's files: of views, slices, frames, ED and ES.

    view: what a single file shows, where its name, shape and place do not tell.
    Raises FileNotFoundError, ValueError in one line.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; name a NIfTI file (.nii, .nii.gz) or a folder of them")
    images, table, notes = _loaded(path)
    images, aside = _slices_joined(_frames_joined(images))
    table += aside
    images = _by_geometry([replace(one, view=_view_of(one, view, len(images))) for one in images])
    found: dict[str, View] = {}
    headers: dict = {}
    phases = (None, None)
    for name in VIEWS:
        members = [one for one in images if one.view == name]
        if members:
            found[name], used, frames = _phases_joined(members, name, path)
            headers |= {} if used[0].header is None else {name: used[0].header}
            phases = frames if frames != (None, None) else phases
            for one in members:
                notes += one.notes if one in used else ()
                reason = one.reason if one in used else "the cine file holds these frames"
                table += _rows(one, name if one in used else None, reason)
    unknown = [one for one in images if one.view is None]
    if not found:
        what = ", ".join([f"{unknown[0].path} shows one slice, of no view that its name tells", *unknown[0].notes])
        raise ValueError(f"{what}; add --view lax_2c, lax_3c or lax_4c, or --view sax for areas without volumes")
    for one in unknown:
        table, notes = [*table, *_rows(one, None, one.reason)], [*notes, *one.notes]
    positions = None
    if "sax" in found:
        empty = np.ptp(found["sax"].image, axis=(0, 1, 3)) == 0  # one constant value: padding, without an image
        positions = np.where(empty, np.nan, np.arange(len(empty)) * found["sax"].spacing_mm[2])
        if empty.any():
            notes.append(f"{empty.sum()} of {len(empty)} short-axis slices are empty padding and stay empty")
    notes += [f"no {VIEW_NAMES[name]} view given" for name in VIEWS if name not in found]
    study = Study("study", "own", found, {}, ed_frame=phases[0], es_frame=phases[1])
    table.sort(key=lambda one: one["series"])
    return Reading(study, table, tuple(dict.fromkeys(notes)), headers, positions)


def _rows(image: Image, view: str | None, reason: str) -> list[dict]:
    return [row(number, view, slices, frames, reason) for number, slices, frames in image.files]


def _loaded(path: Path) -> tuple[list[Image], list[dict], list[str]]:
    """(images, rows and notes of what is none) of a file or folder; ValueError if none can be read."""
    files = [path] if path.is_file() else nifti_files(path)
    images: list[Image] = []
    table, notes, errors = [], [], []
    for number, file in enumerate(files, start=1):
        if path.is_dir() and MASK_WORDS & words(file):
            table.append(row(number, None, 0, 0, "a mask by its name, not an image"))
            continue
        if file.suffix != ".gz" and file.with_name(f"{file.name}.gz") in files:
            table.append(row(number, None, 0, 0, "the same name packed (.nii.gz) is read"))
            continue
        try:
            images.append(load(file, number))
        except ValueError as error:
            errors.append(error)
            reason = str(error).replace(str(file), "it")
            table.append(row(number, None, 0, 0, reason))
            notes.append(f"file {number} is left out: {reason}")
        if sum(one.pixels.nbytes for one in images) > MOST_BYTES:
            raise ValueError(f"{path} holds more than one patient's cine has room for; name one patient's files")
    if not images:
        none = ValueError(f"{path} holds no NIfTI images (.nii, .nii.gz); name a file or another folder")
        raise errors[0] if errors else none
    return images, table, notes


def _frames_joined(images: list[Image]) -> list[Image]:
    """Files of one frame each that differ by a number in their names, and little in what they show, as one cine."""
    groups: dict[tuple, list[Image]] = {}
    grids = [(one.pixels.shape[:3], *np.round(one.affine, 2).ravel()) for one in images]
    cines = {grid for grid, one in zip(grids, images, strict=True) if one.pixels.shape[3] > 1}  # hold all frames
    for k, (grid, one) in enumerate(zip(grids, images, strict=True)):
        alike = (re.sub(r"\d+", "#", one.path.name), one.named, grid)
        groups.setdefault((k,) if grid in cines else alike, []).append(one)
    joined = []
    for group in groups.values():
        if len(group) > 1:
            group.sort(key=lambda one: [int(number) for number in re.findall(r"\d+", one.path.name)])
            pixels, sizes = np.concatenate([one.pixels for one in group], axis=3), spacing_mm(group[0].affine)
            apart = unlikeness(pixels, 2, sizes) / MARGIN if pixels.shape[2] > 1 else ALIKE
            if unlikeness(pixels, 3, sizes) < apart:
                files = tuple(file for one in group for file in one.files)
                group = [replace(group[0], pixels=pixels, files=files, reason="one of the frames that files hold")]
        joined += group
    return joined


def _slices_joined(images: list[Image]) -> tuple[list[Image], list[dict]]:
    """(images, rows of those set aside): single planes that lie parallel, at three places or more, as one stack."""
    groups: list[list[Image]] = []
    for one in images if all(one.pixels.shape[2] == 1 for one in images) else ():
        group = next((group for group in groups if _on_one_grid(one, group[0])), None)
        groups.append([one]) if group is None else group.append(one)
    stacks = [group for group in groups if len(group) >= stack.MIN_SLICES]
    stacks = [one for one in stacks if aligned(one[0].affine) or views.axis_of_stack(one[0].affine) is not None]
    if not stacks:
        return images, []
    rest = [one.affine for group in groups if group not in stacks for one in group]
    members = stacks[(views.rank_stacks([(group[0].affine, len(group)) for group in stacks], rest) or [0])[0]]
    across = normal(members[0].affine)
    kept, twins = stack.one_per_place(members, across, lambda one: one.files[0][0], stack.SAME_PLACE_MM)
    if len(kept) < stack.MIN_SLICES:
        return images, []
    depths = np.array([across @ one.affine[:3, 3] for one in kept])
    steps = np.diff(depths)
    counts, even = stack.multiples(steps)
    places = np.r_[0, np.cumsum(counts)] if even and counts.sum() <= 2 * len(kept) else np.arange(len(kept))
    affine, shape = kept[0].affine.copy(), kept[0].pixels.shape
    affine[:3, 2] = across * (depths[-1] - depths[0]) / places[-1]
    n_frames = Counter(one.pixels.shape[3] for one in kept).most_common(1)[0][0]
    pixels = np.zeros((*shape[:2], places[-1] + 1, n_frames), np.float32)
    for one, place in zip(kept, places, strict=True):  # of another count, the frames at the same parts of the beat
        pixels[:, :, place] = one.pixels[:, :, 0, np.arange(n_frames) * one.pixels.shape[3] // n_frames]
    notes = [note for one in kept for note in one.notes]
    if steps.max() > (1 + stack.SAME_STEP) * steps.min():
        notes.append(f"the {len(kept)} short-axis slices lie {steps.min():.1f} to {steps.max():.1f} mm apart")
    whole = replace(kept[0], pixels=pixels, affine=affine, header=None, notes=tuple(notes), view="sax")
    whole = replace(whole, files=tuple(file for one in kept for file in one.files), reason="one of parallel planes")
    rows = [line for one, twin in twins for line in _rows(one, None, f"file {twin.files[0][0]} lies there, too")]
    return [whole, *[one for one in images if one not in members]], rows


def _on_one_grid(one: Image, other: Image) -> bool:
    """Whether two planes lie behind one another. Where directions were lost, names that say otherwise count."""
    named = one.named or other.named or "sax"
    shift = to_voxel(other.affine, one.affine[:3, 3])[:2]
    alike = np.allclose(one.affine[:3, :2], other.affine[:3, :2], atol=0.02) and np.abs(shift).max() < 1  # pixel
    return alike and one.pixels.shape[:2] == other.pixels.shape[:2] and (named == "sax" or not aligned(one.affine))


def _view_of(image: Image, told: str | None, n_images: int) -> str | None:
    """The view as the user told it, else by the file's name or its number of slices, else None."""
    file, slices = image.path, image.pixels.shape[2]
    if told is not None:
        check_view(told)
        if n_images > 1:
            raise ValueError(f"--view {told} is for one file; {file.parent} holds {n_images}: leave --view out")
        if told != "sax" and slices > 1:
            raise ValueError(f"{file} has {slices} slices; that is no {VIEW_NAMES[told]}: name another --view")
        return told
    name = image.view or image.named
    if name not in (None, "sax") and slices > 1:
        raise ValueError(f"{file} is a {VIEW_NAMES[name]} by its name but has {slices} slices; give one plane")
    return name or ("sax" if slices > 1 and not image.words & {"lax", "la"} else None)


def _by_geometry(images: list[Image]) -> list[Image]:
    """The images by how they stand to the short-axis stack, if there is one: names count where planes leave it open."""
    several = [one for one in images if one.view == "sax" and one.pixels.shape[2] > 1]
    if any(not views.parallel(normal(one.affine), normal(several[0].affine)) for one in several):
        others = [one.affine for one in images if one not in several]
        ranked = views.rank_stacks([(one.affine, one.pixels.shape[2]) for one in several], others)
        main = [several[index] for index in ranked[:1]] or several
        aside = "a stack of parallel planes, of which another suits the short axis better"
        images = [
            replace(one, view=None, reason=aside) if one in several and one not in main else one for one in images
        ]
    stacked = next((one for one in images if one.view == "sax"), None)
    axis = None if stacked is None else views.axis_of_stack(stacked.affine)
    lost = stacked is None or aligned(stacked.affine)
    singles = [one for one in images if one.view != "sax" and one.pixels.shape[2] == 1 and not (lost and one.view)]
    if stacked is None or axis is None or not singles:
        return images
    middle = (*moving_centre(stacked.pixels, spacing_mm(stacked.affine)), (stacked.pixels.shape[2] - 1) / 2)
    planes: list[np.ndarray] = []
    for one in singles:  # ED and ES of one plane are one plane
        if not any(np.allclose(one.affine, plane, atol=1e-3) for plane in planes):
            planes.append(one.affine)
    result = views.assign(planes, axis, to_world(stacked.affine, middle))
    unsure, taken = dict(result.notes), {index: name for name, index in result.lax.items()}
    told = []
    for one in images:
        k = next(
            (k for k, plane in enumerate(planes) if one in singles and np.allclose(one.affine, plane, atol=1e-3)), -1
        )
        says, across = taken.get(k), abs(normal(one.affine) @ axis) > ACROSS
        if k >= 0 and one.view is None:
            told.append(replace(one, view=says, reason="by its plane" if says else result.reasons[k]))
        elif k < 0 or not one.view or says == one.view or (not across and (says is None or k in unsure)):
            told.append(one)
        else:
            lies = f"is {VIEW_NAMES[says]}" if says else result.reasons[k]
            note = f"file {one.files[0][0]}: its name says {VIEW_NAMES[one.view]}, its plane {lies}; the plane counts"
            told.append(replace(one, view=says, reason="by its plane", notes=(*one.notes, note)))
    return told


def _phases_joined(members: list[Image], name: str, path: Path) -> tuple[View, list[Image], tuple]:
    """(View, images used, (ED frame, ES frame)) of one view's images: a cine, or ED and ES."""
    cines = [one for one in members if one.pixels.shape[3] > 1]
    if len(cines) == 1:
        step, count = cines[0].step_ms, cines[0].pixels.shape[3]
        times = None if step is None else np.arange(count) * step
        return View(cines[0].pixels, cines[0].affine, frame_times_ms=times), cines, (None, None)
    phases: dict[str, Image] = {}
    for one in members:
        phases.setdefault("ED" if one.words & ED_WORDS else "ES" if one.words & ES_WORDS else "?", one)
    if len(members) > 1 and (set(phases) != {"ED", "ES"} or len(members) > 2):
        names = ", ".join(one.path.name for one in members[:4])
        raise ValueError(
            f"{path} holds {len(members)} files of the {VIEW_NAMES[name]} view ({names}); give one "
            "patient's cine, or one file with ed and one with es in its name"
        )
    parts = [phases[phase] for phase in sorted(phases)]  # ED before ES
    first, last = parts[0], parts[-1]
    if first.pixels.shape != last.pixels.shape or not np.allclose(first.affine, last.affine, atol=1e-2):
        raise ValueError(
            f"{path}: {' and '.join(one.path.name for one in parts)} differ in shape or position; "
            "ED and ES must share one grid"
        )
    frames = tuple(sorted(phases).index(phase) if phase in phases else None for phase in ("ED", "ES"))
    return View(np.concatenate([one.pixels for one in parts], axis=3), first.affine), parts, frames
