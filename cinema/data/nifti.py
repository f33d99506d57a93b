"""The NIfTI format: files read with one-line errors, masks checked against their image, results written on its grid.

`volume` reads the files of public data sets, which are as they say; `load` a patient's own file, in which the pictures
tell what is time and what slices: frames of one slice are more alike than slices.
"""

import logging
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from cinema.data.geometry import spacing_mm, to_world
from cinema.files import whole_or_not

nib.imageglobals.logger.setLevel(logging.CRITICAL)  # it prints what it mends in headers; what matters is checked here
MM_PER = {"meter": 1e3, "micron": 1e-3}
PIXEL_MM, SLICE_MM = (0.2, 10.0), 60.0  # edges of voxels in plane, and across at most
MOST_BYTES = 2**30  # in the numbers of the file and as float32: 50 frames of 20 slices of 512 x 512 pixels
MOST_PACKED = 1032  # bytes of which gzip makes one
SUFFIXES = (".nii", ".nii.gz")
GEOMETRY_FIELDS = (
    "qform_code sform_code quatern_b quatern_c quatern_d qoffset_x qoffset_y qoffset_z srow_x srow_y srow_z"
)
SAME_SPACING = 0.01  # relative: headers round
SAME_PLACE = 0.5  # in voxels: beyond this, a mask's corner lies elsewhere than its image's
# A file name is cut into words at anything but letters and digits.
VIEW_WORDS = {"sax": {"sax", "sa", "shortaxis"}}
VIEW_WORDS |= {f"lax_{n}c": {f"{n}c", f"{n}ch", f"lax{n}c", f"lax{n}ch", f"la{n}ch"} for n in (2, 3, 4)}
MS_PER = {"sec": 1e3, "msec": 1.0, "usec": 1e-3}
FRAME_MS = 5, 250  # between frames; else the header's number is no part of a heart beat
SLICE_STEP_MM = 2, 25  # between slices of a short-axis stack
FARTHEST_MM = 12.0  # at which pixels of one picture are compared, to judge slices
ALIKE = 0.65  # neighbours less unlike than this are frames: real slices have 0.8 to 2.4, frames 0.1 to 0.5
MARGIN = 1.3  # by which neighbours in time are more alike than slices


def volume(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(array, affine) of a NIfTI file: (x, y, z) or (x, y, z, t) in its own number type, RAS+ affine in mm.

    Values are scaled where the header says so (then float32). The affine's columns have the header's voxel sizes, or
    their own where the header's are 1.
    Raises FileNotFoundError; ValueError for a file that is unreadable, empty, not 3D or 4D, or holds NaN or infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing in {path.parent.name}; download it again")
    image, array, affine, stated = opened(path, path.name, "download it again")
    lengths = spacing_mm(affine)
    affine[:3, :3] *= np.where((stated == 1) & (np.abs(lengths - 1) > SAME_SPACING), lengths, stated) / lengths
    check_sizes(spacing_mm(affine), path.name)
    scaled = image.dataobj.slope != 1 or image.dataobj.inter != 0
    return np.ascontiguousarray(array, np.float32 if scaled else array.dtype.newbyteorder("=")), affine


def opened(path: Path, name: str | Path, remedy: str, dtype: type | None = None) -> tuple:
    """(nibabel's image, array of 3 or 4 axes, affine as it stands, voxel sizes of the header) of a file, both in mm.

    name, remedy: for the one line of a ValueError. dtype: to read as; None leaves the file's own.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            image: Any = nib.load(path)
            _check_claims(image, path)
            array = np.asarray(image.dataobj, dtype)
            affine, stated = np.array(image.affine, dtype=float), np.ones(3)
            zooms = image.header.get_zooms()[:3]
            stated[: len(zooms)] = zooms
            unit = MM_PER.get(image.header.get_xyzt_units()[0], 1.0)
    except Exception as error:  # of nibabel, zlib, gzip, struct ..: the file is at fault, whatever it is
        said = (
            str(error).replace(str(path), "it").replace(path.name, "it")
        )  # before it is cut: a name may be a patient's
        reason = " ".join(said.split())[:100] or type(error).__name__
        raise ValueError(f"{name} is no readable NIfTI image ({reason}); {remedy}") from None
    if unit != 1 and _plausible(stated * unit):  # else the unit is wrong, as it often is, and they are mm
        affine[:3], stated = affine[:3] * unit, stated * unit
    if array.ndim > 4:  # (x, y, z, 1, t)
        array = array.reshape(*array.shape[:3], *[size for size in array.shape[3:] if size > 1])
    if array.ndim not in (2, 3, 4) or min(array.shape) == 0:
        raise ValueError(f"{name} has shape {array.shape}; it must be (x, y, z) or (x, y, z, t): take it apart")
    if array.dtype.kind == "f" and not np.all(np.isfinite([array.min(), array.max()])):
        raise ValueError(f"{name} holds values that are not numbers (NaN or infinity); {remedy}")
    sound = np.all(np.isfinite(np.r_[affine.ravel(), stated])) and min(stated) > 0
    if not sound or abs(np.linalg.det(affine[:3, :3])) < 0.1 * np.prod(spacing_mm(affine)):  # its axes lie in a plane
        raise ValueError(f"{name} has no usable geometry (voxel sizes {stated.tolist()} mm); {remedy}")
    return image, array[..., None] if array.ndim == 2 else array, affine, stated


def _check_claims(image: Any, path: Path) -> None:
    """ValueError if the header claims more voxels than there are, or than any view has: before memory is taken."""
    dtype, count, present = image.get_data_dtype(), math.prod(image.shape), path.stat().st_size
    if dtype.kind not in "iuf":
        raise ValueError(f"it holds {dtype} values, which must be plain numbers")
    most = present * (MOST_PACKED if path.name.lower().endswith(".gz") else 1)
    if count * max(dtype.itemsize, 4) > MOST_BYTES or count * dtype.itemsize > most:
        raise ValueError(f"its header claims {count:.3g} voxels, its size is {present} bytes")


def _plausible(sizes: np.ndarray) -> bool:
    return bool(min(sizes[:2]) >= PIXEL_MM[0] and max(sizes[:2]) <= PIXEL_MM[1] and sizes[2] <= SLICE_MM)


def check_sizes(sizes: np.ndarray, name: str | Path) -> None:
    """ValueError for voxel sizes, in mm, that no cine has."""
    if not _plausible(sizes):
        bounds = f"pixels have {PIXEL_MM[0]:g} to {PIXEL_MM[1]:g} mm and slices up to {SLICE_MM:g}"
        raise ValueError(f"{name} has voxels of {sizes_text(sizes)} mm; {bounds}: correct pixdim, affine and unit")


def check_grid(array: np.ndarray, affine: np.ndarray, like: tuple, name: str) -> None:
    """ValueError unless a mask has its image's shape (frames aside), voxel sizes and place."""
    image, reference = like
    if array.shape[:3] != image.shape[:3] or (array.ndim == image.ndim == 4 and array.shape != image.shape):
        raise ValueError(
            f"{name} has shape {array.shape}, its image {image.shape}: they share no grid; download both again"
        )
    sizes, wanted = spacing_mm(affine), spacing_mm(reference)
    if not np.allclose(sizes, wanted, rtol=SAME_SPACING):
        both = sizes_text(sizes), sizes_text(wanted)
        raise ValueError(
            f"{name} has voxels of {both[0]} mm, its image {both[1]} mm: mixed spacing; download both again"
        )
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in array.shape[:3]])).reshape(3, -1).T
    apart = np.abs(to_world(affine, corners) - to_world(reference, corners)).max()
    if apart > SAME_PLACE * min(wanted):
        raise ValueError(f"{name} lies up to {apart:.3g} mm from its image: they share no grid; download both again")


def sizes_text(lengths: np.ndarray, digits: int = 4) -> str:
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
    unit = "mm" if header is None else header.get_xyzt_units()[0]
    image.header.set_xyzt_units("mm" if unit == "unknown" else unit, "sec")
    with whole_or_not(path) as temporary:
        nib.save(image, temporary)


@dataclass(frozen=True, eq=False)
class Image:
    """One file, or several that are one. pixels: (x, y, z, t) float32; step_ms: between frames, None if unknown;
    header: None if written masks go by the affine alone; files: (number, slices, frames) of each; view: None if not
    known; reason: for the view, or against any."""

    path: Path
    pixels: np.ndarray
    affine: np.ndarray
    header: Any
    files: tuple
    step_ms: float | None = None
    notes: tuple[str, ...] = ()
    view: str | None = None
    reason: str = "by its name or shape"

    @property
    def words(self) -> set[str]:
        return words(self.path)

    @property
    def named(self) -> str | None:
        """The view that the file's name says."""
        return next((name for name, marks in VIEW_WORDS.items() if self.words & marks), None)


def words(file: Path) -> set[str]:
    """The words of a file's name, in small letters."""
    return {word for word in re.split(r"[^a-z0-9]+", file.name.lower().split(".nii")[0]) if word}


def load(file: Path, number: int) -> Image:
    """A user's own file, (x, y, z, t) whatever the order of its axes; ValueError names what is wrong with it."""
    image, data, affine, stated = opened(file, file, "copy or export it again", np.float32)
    header, notes = image.header, []
    data = data.reshape(*data.shape, *[1] * (4 - data.ndim))
    if min(data.shape[:2]) < 16:
        raise ValueError(f"{file} has shape {data.shape}; slices must be the first two axes, at least 16 pixels wide")
    if np.ptp(data) == 0:
        raise ValueError(f"{file} is empty: every voxel is {data.flat[0]:g}; is it the right file?")
    affine, said = _sized(affine, stated, data.shape[2], file)
    notes += [f"file {number}: {said}"] if said else []
    sizes = spacing_mm(affine)
    steps = [float(step) * MS_PER.get(header.get_xyzt_units()[1], 1e3) for step in header["pixdim"][4:6]]
    if min(data.shape[2:]) > 1 and MARGIN * unlikeness(data, 2, sizes) < unlikeness(data, 3, sizes):
        notes.append(f"file {number}: its third axis is time and its fourth the slices, by what the pictures show")
        data, low, high = data.swapaxes(2, 3), *SLICE_STEP_MM
        if not low <= sizes[2] <= high and low <= header["pixdim"][4] <= high:  # the sizes follow the axes
            affine[:3, 2] *= float(header["pixdim"][4]) / sizes[2]
            header, steps, sizes = None, [sizes[2] * 1e3, sizes[2]], spacing_mm(affine)
    elif data.shape[2] > 1 and data.shape[3] == 1 and unlikeness(data, 2, sizes) < ALIKE:
        notes.append(f"file {number}: its third axis is time, of one slice, by what the pictures show")
        data = data.swapaxes(2, 3)
    check_sizes(sizes, file)
    slices, unset = data.shape[2], np.isclose(sizes, 1, rtol=1e-6)
    lost = unset.all() and aligned(affine)
    if slices > 1 and (lost or (unset[2] and not unset[0])):
        raise ValueError(
            f"{file} states no voxel sizes ({sizes_text(sizes)} mm), without which there are no volumes; "
            "write the true ones into its header (pixdim and affine), or convert it again"
        )
    if lost:
        notes.append(f"file {number} states no pixel size: lengths count pixels of 1 mm, which may be wrong")
    step = next((step for step in steps if FRAME_MS[0] <= step <= FRAME_MS[1]), None)
    return Image(file, data, affine, header, ((number, *data.shape[2:]),), step, tuple(notes))


def aligned(affine: np.ndarray) -> bool:
    """Whether an affine lies along the scanner's axes, as no heart does: its directions were lost."""
    return bool(np.abs(affine[:3, :3] / spacing_mm(affine)).max(axis=0).min() > 0.99999)


def _sized(affine: np.ndarray, stated: np.ndarray, slices: int, file: Path) -> tuple[np.ndarray, str]:
    """(affine, what was wrong) with the voxel sizes that either the affine or the header has, where the other has 1."""
    lengths = spacing_mm(affine)
    differ = ~np.isclose(lengths, stated, rtol=SAME_SPACING)
    if not differ.any():
        return affine, ""
    both = sizes_text(lengths, 3), sizes_text(stated, 3)
    said = f"the affine's voxel sizes ({both[0]} mm) are not the header's ({both[1]} mm)"
    depth = np.array([False, False, slices == 1])  # of a single plane is of no account
    if np.all(np.isclose(lengths, 1, rtol=1e-6) | ~differ | depth):
        affine[:3, :3] *= stated / lengths
        return affine, f"{said}; the header's count"
    if np.all((stated == 1) | ~differ | depth):
        return affine, f"{said}; the affine's count"
    raise ValueError(f"{file}: {said}, and either may be right; write the true ones into both (pixdim and affine)")


def unlikeness(pixels: np.ndarray, axis: int, sizes: np.ndarray) -> float:
    """How much neighbours along an axis, 2 or 3, differ: in units of what pixels of one picture do that lie as far
    apart as slices. About 1 for slices, whatever the heart; frames leave most of a picture as it was.

    pixels: (x, y, z, t). sizes: voxel sizes in mm. Both differences are 30th percentiles over the brighter half.
    """
    some = [np.unique(np.linspace(0, n - 1, 5).astype(int)[1:4]) for n in pixels.shape[2:]]
    some[axis - 2] = np.unique(np.linspace(0, pixels.shape[axis] - 2, 3).astype(int))
    lags = [max(1, round(min(sizes[2], FARTHEST_MM) / edge)) for edge in sizes[:2]]
    width, height = np.subtract(pixels.shape[:2], lags)
    every = 1 + min(pixels.shape[:2]) // 100  # pixels are plenty

    def seen(right: int, down: int, on: int) -> np.ndarray:
        planes = [(z + on * (axis == 2), t + on * (axis == 3)) for z in some[0] for t in some[1]]
        part = slice(right, max(0, width) + right, every), slice(down, max(0, height) + down, every)
        return np.stack([pixels[*part, z, t] for z, t in planes])

    here, next_one = seen(0, 0, 0), seen(0, 0, 1)
    bright = np.maximum(here, next_one)
    bright = bright > np.median(bright) if bright.size else bright > 0
    if not bright.any():
        return 1.0
    beside = np.r_[np.abs(here - seen(lags[0], 0, 0))[bright], np.abs(here - seen(0, lags[1], 0))[bright]]
    usual = np.percentile(beside, 30)
    return float(np.percentile(np.abs(here - next_one)[bright], 30) / usual) if usual > 0 else 1.0
