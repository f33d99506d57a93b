"""The NIfTI format: volumes, masks and a patient's own files read with one-line errors, and written on their grid."""

import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from cinema.data import views
from cinema.data.geometry import moving_centre, spacing_mm, to_world
from cinema.data.reading import Reading, row
from cinema.data.study import Study, View
from cinema.files import whole_or_not
from cinema.terms import VIEW_NAMES, VIEWS, check_view

# A file name is cut into words at anything but letters and digits.
VIEW_WORDS = {"sax": {"sax", "sa", "shortaxis"}}
VIEW_WORDS |= {f"lax_{n}c": {f"{n}c", f"{n}ch", f"lax{n}c", f"lax{n}ch", f"la{n}ch"} for n in (2, 3, 4)}
MASK_WORDS = {"gt", "seg", "mask", "label", "labels", "segmentation"}
ED_WORDS, ES_WORDS = {"ed", "diastole"}, {"es", "systole"}
MS_PER = {"sec": 1e3, "msec": 1.0, "usec": 1e-3}
SUFFIXES = (".nii", ".nii.gz")
GEOMETRY_FIELDS = (
    "qform_code sform_code quatern_b quatern_c quatern_d qoffset_x qoffset_y qoffset_z srow_x srow_y srow_z"
)
SAME_SPACING = 0.01  # relative: headers round
SAME_PLACE = 0.5  # in voxels: beyond this, a mask's corner lies elsewhere than its image's


def volume(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(array, affine) of a NIfTI file: (x, y, z) or (x, y, z, t) in its own number type, RAS+ affine in mm.

    Values are scaled where the header says so (then float32). The affine's columns have the header's voxel sizes.
    Raises FileNotFoundError; ValueError for a file that is unreadable, empty, not 3D or 4D, or holds NaN or infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing in {path.parent.name}; download it again")
    image, array, affine, stated = _opened(path, path.name, "download it again")
    scaled = image.dataobj.slope != 1 or image.dataobj.inter != 0
    affine[:3, :3] *= stated / spacing_mm(affine)
    return np.ascontiguousarray(array, np.float32 if scaled else array.dtype.newbyteorder("=")), affine


def _opened(path: Path, name: str | Path, remedy: str, dtype: type | None = None) -> tuple:
    """(nibabel's image, array of 3 or 4 axes, affine as it stands, voxel sizes of the header) of a file.

    name, remedy: for the one line of a ValueError. dtype: to read as; None leaves the file's own.
    """
    try:
        image: Any = nib.load(path)
        array = np.asarray(image.dataobj, dtype)
    except (OSError, EOFError, ValueError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ValueError(f"{name} is no readable NIfTI image ({reason}); {remedy}") from None
    while array.ndim > 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3, 4) or min(array.shape) == 0:
        raise ValueError(f"{name} has shape {array.shape}; it must be (x, y, z) or (x, y, z, t)")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} holds {array.dtype} values; they must be plain numbers")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} holds values that are not numbers (NaN or infinity); {remedy}")
    affine, stated = np.array(image.affine, dtype=float), np.ones(3)
    zooms = image.header.get_zooms()[:3]
    stated[: len(zooms)] = zooms
    if not np.all(np.isfinite(np.r_[affine.ravel(), stated])) or min(spacing_mm(affine)) == 0 or min(stated) <= 0:
        raise ValueError(f"{name} has no usable geometry (voxel sizes {stated.tolist()} mm); {remedy}")
    return image, array[..., None] if array.ndim == 2 else array, affine, stated


def check_grid(array: np.ndarray, affine: np.ndarray, like: tuple, name: str) -> None:
    """ValueError unless a mask has its image's shape (frames aside), voxel sizes and place."""
    image, reference = like
    if array.shape[:3] != image.shape[:3] or (array.ndim == image.ndim == 4 and array.shape != image.shape):
        raise ValueError(f"{name} has shape {array.shape}, its image {image.shape}: it is not on the grid of its image")
    sizes, wanted = spacing_mm(affine), spacing_mm(reference)
    if not np.allclose(sizes, wanted, rtol=SAME_SPACING):
        both = _sizes_text(sizes), _sizes_text(wanted)
        raise ValueError(f"{name} has voxels of {both[0]} mm, its image {both[1]} mm: mixed spacing")
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in array.shape[:3]])).reshape(3, -1).T
    apart = np.abs(to_world(affine, corners) - to_world(reference, corners)).max()
    if apart > SAME_PLACE * min(wanted):
        raise ValueError(f"{name} lies up to {apart:.3g} mm from its image: it is not on the grid of its image")


def _sizes_text(lengths: np.ndarray, digits: int = 4) -> str:
    """Voxel sizes as 1.5 x 1.5 x 8."""
    return " x ".join(f"{length:.{digits}g}" for length in lengths)


def nifti_files(folder: str | Path) -> list[Path]:
    """NIfTI files below a folder, sorted."""
    files = sorted(Path(folder).rglob("*"))
    return [file for file in files if file.name.lower().endswith(SUFFIXES) and not file.name.startswith(".")]


def write_nifti(
    array: np.ndarray, affine: np.ndarray, path: str | Path, frame_ms: float | None = None, header: Any = None
) -> None:
    """Write an (x, y, z, t) array; whole or not at all.

    affine:   index -> RAS mm, written as sform and qform (scanner coordinates).
    frame_ms: time between frames, None if unknown (then 0 is written).
    header:   of the image the array belongs to: its voxel sizes, qform and sform are repeated instead.
    """
    geometry = nib.Nifti1Header()
    if header is None:
        geometry.set_data_shape(array.shape)
        geometry.set_sform(affine, code=1)
        geometry.set_qform(affine, code=1)
    else:
        for name in GEOMETRY_FIELDS.split():
            geometry[name] = header[name]
        geometry["pixdim"][:4] = header["pixdim"][:4]
        affine = header.get_best_affine()  # nibabel rewrites a header that differs from the affine it is given
    image = nib.Nifti1Image(array, affine, geometry, dtype=array.dtype)
    image.header["pixdim"][4] = 0.0 if frame_ms is None else frame_ms / 1000
    image.header.set_xyzt_units("mm", "sec")
    with whole_or_not(path) as temporary:
        nib.save(image, temporary)


@dataclass(frozen=True, eq=False)
class _Image:
    """A file of one view. pixels: (x, y, z, t) float32; notes: on its geometry; view: None if not known."""

    path: Path
    pixels: np.ndarray
    header: Any
    affine: np.ndarray
    notes: tuple[str, ...] = ()
    view: str | None = None


def read_nifti(path: str | Path, view: str | None = None) -> Reading:
    """Reading of a NIfTI file (3D or 4D) or of a folder of one patient's files.

    A view is told by the name (sax, sa; 2ch, lax_2c, 4c ..), else several slices are the short axis, else the affines
    tell if a short-axis stack is there too. view: what a single file shows, where its name and shape do not tell.
    Raises FileNotFoundError, ValueError in one line.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; name a NIfTI file (.nii, .nii.gz) or a folder of them")
    files = [path] if path.is_file() else nifti_files(path)
    masks = [file for file in files if path.is_dir() and MASK_WORDS & _words(file)]
    table = [row(file.name, None, 0, 0, "a mask by its name, not an image") for file in masks]
    images = [_load(file) for file in files if file not in masks]
    if not images:
        raise ValueError(f"{path} holds no NIfTI images (.nii, .nii.gz); name a file or another folder")
    images = _by_geometry([replace(one, view=_view_of(one, view, len(images))) for one in images])
    found, headers, phases = {}, {}, (None, None)
    notes: list[str] = []
    for name in VIEWS:
        members = [one for one in images if one.view == name]
        if members:
            found[name], used, frames = _join(members, name, path)
            headers[name] = used[0].header
            phases = frames if frames != (None, None) else phases
            for one in members:
                slices, count = one.pixels.shape[2:]
                if one in used:
                    notes += one.notes
                    table.append(row(one.path.name, name, slices, count, "by its name or shape"))
                else:
                    table.append(row(one.path.name, None, slices, count, "the cine file holds these frames"))
    unknown = [one for one in images if one.view is None]
    if not found:
        raise ValueError(
            f"{unknown[0].path} has one slice and no view in its name; add --view lax_2c, lax_3c or lax_4c"
        )
    why = "one slice, no view in its name, and no other view to tell it from"
    table += [row(one.path.name, None, 1, one.pixels.shape[3], why) for one in unknown]
    positions = None
    if "sax" in found:
        empty = np.ptp(found["sax"].image, axis=(0, 1, 3)) == 0  # one constant value: padding, without an image
        positions = np.where(empty, np.nan, np.arange(len(empty)) * found["sax"].spacing_mm[2])
        if empty.any():
            notes.append(f"{empty.sum()} of {len(empty)} short-axis slices are empty padding and stay empty")
    notes += [f"no {VIEW_NAMES[name]} view given" for name in VIEWS if name not in found]
    study = Study("study", "own", found, {}, ed_frame=phases[0], es_frame=phases[1])
    return Reading(study, table, tuple(dict.fromkeys(notes)), headers, positions)


def _words(file: Path) -> set[str]:
    return {word for word in re.split(r"[^a-z0-9]+", file.name.lower().split(".nii")[0]) if word}


def _load(file: Path) -> _Image:
    """A user's own file; ValueError names what is wrong with it. Voxel sizes that its affine lacks are the header's."""
    image, data, affine, stated = _opened(file, file, "copy or export it again", np.float32)
    data = data.reshape(*data.shape, *[1] * (4 - data.ndim))
    if min(data.shape[:2]) < 16:
        raise ValueError(f"{file} has shape {data.shape}; slices must be the first two axes, at least 16 pixels wide")
    if np.ptp(data) == 0:
        raise ValueError(f"{file} is empty: every voxel is {data.flat[0]:g}; is it the right file?")
    lengths = spacing_mm(affine)
    if np.allclose(lengths, stated, rtol=SAME_SPACING):
        return _Image(file, data, image.header, affine)
    affine[:3, :3] *= stated / lengths
    note = (
        f"{file.name}: the affine's voxel sizes ({_sizes_text(lengths, 3)} mm) are not the header's "
        f"({_sizes_text(stated, 3)} mm); the header's count"
    )
    return _Image(file, data, image.header, affine, (note,))


def _view_of(image: _Image, told: str | None, n_images: int) -> str | None:
    """The view as the user told it, else by the file's name or its number of slices, else None."""
    file, slices = image.path, image.pixels.shape[2]
    if told is not None:
        check_view(told)
        if n_images > 1:
            raise ValueError(f"--view {told} is for one file; {file.parent} holds {n_images}: leave --view out")
        if (told == "sax") == (slices == 1):
            raise ValueError(f"{file} has {slices} slice(s); that is no {VIEW_NAMES[told]}: name another --view")
        return told
    words = _words(file)
    for name, marks in VIEW_WORDS.items():
        if words & marks:
            if name == "sax" or slices == 1:
                return name
            raise ValueError(f"{file} is a {VIEW_NAMES[name]} by its name but has {slices} slices; give one plane")
    return "sax" if slices > 1 and not words & {"lax", "la"} else None


def _by_geometry(images: list[_Image]) -> list[_Image]:
    """Give the nameless single slices a view by how they stand to the short-axis stack, if there is one."""
    stack = next((one for one in images if one.view == "sax"), None)
    axis = None if stack is None else views.axis_of_stack(stack.affine)
    nameless = [one for one in images if one.view is None]
    if stack is None or axis is None or not nameless:
        return images
    middle = (*moving_centre(stack.pixels, spacing_mm(stack.affine)), (stack.pixels.shape[2] - 1) / 2)
    planes: list[np.ndarray] = []
    for one in nameless:  # ED and ES of one plane are one plane
        if not any(np.allclose(one.affine, plane, atol=1e-3) for plane in planes):
            planes.append(one.affine)
    lax = views.assign(planes, axis, to_world(stack.affine, middle)).lax
    told = list(images)
    for k, one in enumerate(images):
        same = [name for name, index in lax.items() if np.allclose(one.affine, planes[index], atol=1e-3)]
        if one.view is None and same:
            told[k] = replace(one, view=same[0])
    return told


def _join(members: list[_Image], name: str, path: Path) -> tuple[View, list[_Image], tuple]:
    """(View, files used, (ED frame, ES frame)) of one view's files: a cine, or ED and ES."""
    cines = [one for one in members if one.pixels.shape[3] > 1]
    if len(cines) == 1:
        header, count = cines[0].header, cines[0].pixels.shape[3]
        step = float(header["pixdim"][4]) * MS_PER.get(header.get_xyzt_units()[1], 1e3)
        times = np.arange(count) * step if 5 <= step <= 250 else None  # else no part of a heart beat
        return View(cines[0].pixels, cines[0].affine, frame_times_ms=times), cines, (None, None)
    phases: dict[str, _Image] = {}
    for one in members:
        words = _words(one.path)
        phases.setdefault("ED" if words & ED_WORDS else "ES" if words & ES_WORDS else "?", one)
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
