"""The NIfTI format: volumes and masks read with one-line errors, and written on the grid they came from."""

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from cinema.data.geometry import spacing_mm, to_world
from cinema.files import whole_or_not

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
    image, array, affine, stated = opened(path, path.name, "download it again")
    scaled = image.dataobj.slope != 1 or image.dataobj.inter != 0
    affine[:3, :3] *= stated / spacing_mm(affine)
    return np.ascontiguousarray(array, np.float32 if scaled else array.dtype.newbyteorder("=")), affine


def opened(path: Path, name: str | Path, remedy: str, dtype: type | None = None) -> tuple:
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
        raise ValueError(
            f"{name} has voxels of {sizes_text(sizes)} mm, its image {sizes_text(wanted)} mm: mixed spacing"
        )
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in array.shape[:3]])).reshape(3, -1).T
    apart = np.abs(to_world(affine, corners) - to_world(reference, corners)).max()
    if apart > SAME_PLACE * min(wanted):
        raise ValueError(f"{name} lies up to {apart:.3g} mm from its image: it is not on the grid of its image")


def sizes_text(lengths: np.ndarray, digits: int = 4) -> str:
    """Voxel sizes as 1.5 x 1.5 x 8."""
    return " x ".join(f"{length:.{digits}g}" for length in lengths)


def nifti_files(folder: str | Path) -> list[Path]:
    """NIfTI files below a folder, sorted."""
    return sorted(
        file
        for file in Path(folder).rglob("*")
        if file.name.lower().endswith(SUFFIXES) and not file.name.startswith(".")
    )


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
    with whole_or_not(path, ".part.nii.gz") as temporary:
        nib.save(image, temporary)
