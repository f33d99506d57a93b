"""What adapters share: images, masks and tables read with one-line errors, label values translated at the door."""

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from cinema.data.geometry import spacing_mm, to_world
from cinema.stats.metrics import ejection_fraction_percent, volume_ml
from cinema.terms import LABELS, TISSUE_LABELS

SAME_SPACING = 0.01  # relative: headers round
SAME_PLACE = 0.5  # in voxels: beyond this, a mask's corner lies elsewhere than its image's


def volume(path):
    """(array, affine) of a NIfTI file: (x, y, z) or (x, y, z, t) in its own number type, RAS+ affine in mm.

    Values are scaled where the header says so (then float32). The affine's columns have the header's voxel sizes.
    Raises FileNotFoundError; ValueError for a file that is unreadable, empty, not 3D or 4D, or holds NaN or infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing in {path.parent.name}; download it again")
    try:
        image = nib.load(path)
        array = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ValueError(f"{path.name} is no readable NIfTI image ({reason}); download it again") from None
    while array.ndim > 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3, 4) or min(array.shape) == 0:
        raise ValueError(f"{path.name} has shape {array.shape}; it must be (x, y, z) or (x, y, z, t)")
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{path.name} holds {array.dtype} values; they must be plain numbers")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{path.name} holds values that are not numbers (NaN or infinity)")
    scaled = image.dataobj.slope != 1 or image.dataobj.inter != 0
    return np.ascontiguousarray(array, np.float32 if scaled else array.dtype.newbyteorder("=")), _affine(image, path)


def _affine(image, path):
    affine, zooms = np.array(image.affine, float), np.array(image.header.get_zooms()[:3], float)
    zooms = np.r_[zooms, np.ones(3 - len(zooms))]
    lengths = spacing_mm(affine)
    if not np.all(np.isfinite(np.r_[affine.ravel(), zooms])) or min(lengths) == 0 or min(zooms) <= 0:
        raise ValueError(f"{path.name} has no usable geometry (voxel sizes {zooms.tolist()} mm)")
    affine[:3, :3] *= zooms / lengths
    return affine


def labels(path, mapping, like=None):
    """uint8 label map of a NIfTI file, its values translated by {value in the file: our value}; 0 stays 0.

    like: (array, affine) of the image it belongs to.
    Raises ValueError for a value that the mapping lacks, and for a mask that is not on the grid of `like`.
    """
    array, affine = volume(path)
    if like is not None:
        check_grid(array, affine, like, Path(path).name)
    return translated(array, mapping, Path(path).name)


def translated(array, mapping, name):
    """uint8 array of our label values; ValueError if `array` holds a value that is neither 0 nor in `mapping`."""
    result, known = np.zeros(array.shape, np.uint8), array == 0
    for value, ours in mapping.items():
        here = array == value
        result[here] = ours
        known |= here
    if not known.all():
        allowed = ", ".join(str(value) for value in sorted({0, *mapping}))
        raise ValueError(f"{name} holds the label {array[~known][0]:g}; allowed are {allowed}")
    return result


def check_grid(array, affine, like, name):
    """ValueError unless a mask has its image's shape (frames aside), voxel sizes and place."""
    image, reference = like
    if array.shape[:3] != image.shape[:3] or (array.ndim == image.ndim == 4 and array.shape != image.shape):
        raise ValueError(f"{name} has shape {array.shape}, its image {image.shape}: it is not on the grid of its image")
    sizes, wanted = spacing_mm(affine), spacing_mm(reference)
    if not np.allclose(sizes, wanted, rtol=SAME_SPACING):
        raise ValueError(f"{name} has voxels of {_sizes(sizes)} mm, its image {_sizes(wanted)} mm: mixed spacing")
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in array.shape[:3]])).reshape(3, -1).T
    apart = np.abs(to_world(affine, corners) - to_world(reference, corners)).max()
    if apart > SAME_PLACE * min(wanted):
        raise ValueError(f"{name} lies up to {apart:.3g} mm from its image: it is not on the grid of its image")


def _sizes(lengths):
    return " x ".join(f"{length:.4g}" for length in lengths)


def table(path, columns, **pandas):
    """DataFrame of a CSV file that has at least `columns`; further arguments go to pandas.read_csv.

    Raises FileNotFoundError, and ValueError for an unreadable file or missing columns.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing in {path.parent.name or path.parent}; download it again")
    try:
        found = pd.read_csv(path, **pandas)
    except (ValueError, OSError) as error:  # pandas' own errors and undecodable bytes are ValueErrors
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"{path.name} is no readable CSV table ({reason}); download it again") from None
    lacking = [column for column in columns if column not in found.columns]
    if lacking:
        raise ValueError(
            f"{path.name} lacks the columns {', '.join(map(str, lacking))}; it has {', '.join(map(str, found.columns))}"
        )
    return found


def label_map(card):
    """{value in the dataset's mask files: our value} of a card."""
    values = LABELS | TISSUE_LABELS
    return {raw: values[name] for raw, name in card.labels.items()}


def volumes(labels_ed, labels_es, spacing_mm):
    """Attributes lv_edv_ml, lv_esv_ml, lv_ef_percent and the same of the RV, from (x, y, z) label maps of terms.LABELS.

    A structure that does not occur at end diastole is left out.
    """
    found = {}
    for structure in ("LV", "RV"):
        edv, esv = (volume_ml(each == LABELS[structure], spacing_mm) for each in (labels_ed, labels_es))
        if edv > 0:
            found |= {
                f"{structure.lower()}_edv_ml": edv,
                f"{structure.lower()}_esv_ml": esv,
                f"{structure.lower()}_ef_percent": ejection_fraction_percent(edv, esv),
            }
    return found
