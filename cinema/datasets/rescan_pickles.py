"""One scan of Rescan as its pickles hold it: pixels, masks and where they lie, checked.

A geometry is (position, row, column, step, spacing): centre of the first voxel, unit vectors along x and y, step from
slice to slice (all LPS, mm), and voxel edges (x, y, z) with z by SliceSpacing. Source: data.md section 6.
"""

import numpy as np

from cinema.datasets import files, unpickle
from cinema.datasets.cards import card

EVEN = 0.02  # relative: steps between slices, right angles, unit lengths
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def sax(path):
    """(pixels (x, y, z, t), geometry) of SAX.pickle, slices from the last in the file to the first."""
    content = _content(path, ("image_voxels", "SliceSpacing"))
    pixels = _pixels(content["image_voxels"], "image_voxels", 4, path)
    positions = _numbers(content, "ImagePositionPatient", (len(pixels), 3), path)[::-1]
    row, column, spacing = _orientation(content, path)
    between = float(_numbers(content, "SliceSpacing", (), path))
    if not between > 0:
        raise ValueError(f"{path}: SliceSpacing is {between} mm; it must be positive")
    steps = np.diff(positions, axis=0)
    step = steps.mean(axis=0) if len(steps) else np.cross(row, column) * between
    length = np.linalg.norm(step)
    if length == 0 or np.abs(steps - step).max(initial=0) > EVEN * length:
        raise ValueError(f"{path}: the slices are not evenly spaced; mixed spacing has no grid")
    if abs(step @ np.cross(row, column)) < 0.5 * length:
        raise ValueError(f"{path}: the slices are not stacked across their plane; positions or orientation are wrong")
    return pixels[::-1].transpose(3, 2, 0, 1), (positions[0], row, column, step, (*spacing, between))


def lax(path, between):
    """The same of one plane; between: SliceSpacing of SAX, which stands for the thickness of the plane."""
    content = _content(path, ("image_voxels",))
    pixels = _pixels(content["image_voxels"], "image_voxels", 3, path)
    position = np.ravel(_numbers(content, "ImagePositionPatient", None, path))
    if position.shape != (3,):
        raise ValueError(f"{path}: ImagePositionPatient has {position.size} numbers; a plane has 3")
    row, column, spacing = _orientation(content, path)
    geometry = (position, row, column, np.cross(row, column) * between, (*spacing, between))
    return pixels.transpose(2, 1, 0)[:, :, None], geometry


def masks(path, shape):
    """(x, y, z, t) labels of terms.LABELS on the grid of SAX."""
    labels = _pixels(_content(path, ("image_segmentation",))["image_segmentation"], "image_segmentation", 4, path)
    labels = labels[::-1].transpose(3, 2, 0, 1)
    if labels.shape != shape:
        raise ValueError(f"{path} has shape {labels.shape}, its image {shape} (x, y, z, t); they must agree")
    return files.translated(labels, files.label_map(card("rescan")), str(path))


def _content(path, keys):
    content = unpickle.read(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; it must be a dictionary")
    lacking = [key for key in keys if key not in content]
    if lacking:
        raise ValueError(f"{path} lacks {', '.join(lacking)}; it has {', '.join(map(repr, content))[:200]}")
    return content


def _pixels(array, key, n_dims, path):
    if not isinstance(array, np.ndarray) or array.ndim != n_dims or array.size == 0 or array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: {key} must be an array of {n_dims} axes and numbers, "
                         f"({'z, ' * (n_dims - 3)}t, y, x)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{path}: {key} holds values that are not numbers (NaN or infinity)")
    return array.astype({"b": np.uint8}.get(array.dtype.kind, array.dtype.newbyteorder("=")), copy=False)


def _numbers(content, key, shape, path):
    """float64 array of an entry; ValueError unless it is finite and of this shape (None: any)."""
    try:
        values = np.asarray(content[key], float)
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: {key} is missing or holds no numbers") from None
    if (shape is not None and values.shape != shape) or not np.isfinite(values).all():
        raise ValueError(f"{path}: {key} has shape {values.shape}; it must be {shape}, all of it finite")
    return values


def _orientation(content, path):
    """Unit vectors along x and y in LPS, and the spacing (x, y) in mm."""
    row, column = _numbers(content, "ImageOrientationPatient", (6,), path).reshape(2, 3)
    spacing = _numbers(content, "PixelSpacing", (2,), path)
    if min(spacing) <= 0 or abs(row @ column) > EVEN or max(abs(np.linalg.norm(v) - 1) for v in (row, column)) > EVEN:
        raise ValueError(f"{path}: ImageOrientationPatient must be two unit vectors at right angles, and PixelSpacing "
                         "positive")
    return row, column, (float(spacing[1]), float(spacing[0]))  # DICOM: between rows, which is y, comes first


def ras(geometry):
    """RAS+ affine of a geometry, slices where their positions are."""
    position, row, column, step, spacing = geometry
    affine = np.eye(4)
    affine[:3] = np.stack([row * spacing[0], column * spacing[1], step, position], axis=1)
    return LPS_TO_RAS @ affine
