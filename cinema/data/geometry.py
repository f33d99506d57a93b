"""Where things are: voxels and millimetres, planes, resampling in a plane and back.

Index order is (x, y, z[, t]); a point of index i covers i - 0.5 .. i + 0.5. Affines lead from voxel index
to patient position in mm, RAS+ as in NIfTI. An image's slices are planes with the third axis through them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

Numbers = Sequence[float] | np.ndarray  # few and in a row: edge lengths in mm, a position


def spacing_mm(affine: ArrayLike) -> np.ndarray:
    """Three voxel edge lengths in mm."""
    return np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)


def normal(affine: ArrayLike) -> np.ndarray:
    """Unit vector across a slice: first axis x second axis. Slices may be stacked along it or against it."""
    affine = np.asarray(affine, float)
    across = np.cross(affine[:3, 0], affine[:3, 1])
    length = np.linalg.norm(across)
    if length == 0:
        raise ValueError("the image's first two axes are parallel; its affine describes no plane")
    return across / length


def to_world(affine: ArrayLike, voxels: ArrayLike) -> np.ndarray:
    """Positions in mm of voxel indices (..., 3)."""
    affine = np.asarray(affine, float)
    return np.asarray(voxels, float) @ affine[:3, :3].T + affine[:3, 3]


def to_voxel(affine: ArrayLike, points_mm: ArrayLike) -> np.ndarray:
    """Voxel indices (fractions kept) of positions (..., 3) in mm."""
    return to_world(np.linalg.inv(np.asarray(affine, float)), points_mm)


def view_intersection(affine_a: ArrayLike, affine_b: ArrayLike, affine_stack: ArrayLike) -> np.ndarray:
    """Common point of two long-axis views and the first slice of a short-axis stack, in mm: the centre of the heart.

    normals[k] . c = normals[k] . points[k]. Source: data.md section 1.
    Raises ValueError if the planes are (nearly) parallel to one line.
    """
    affines = [np.asarray(affine, float) for affine in (affine_a, affine_b, affine_stack)]
    points, normals = np.array([affine[:3, 3] for affine in affines]), np.array([normal(affine) for affine in affines])
    if abs(np.linalg.det(normals)) < 1e-6:
        raise ValueError("the three planes have no single common point; two of them are parallel or share a line")
    return np.linalg.solve(normals, np.sum(normals * points, axis=1))


def interpolation_matrix(size: int, positions: ArrayLike, step: float = 1.0) -> np.ndarray:
    """(len(positions), size) weights that read a row of `size` samples at fractional positions.

    Linear; within half a sample of the edge the edge value counts, further out the result is 0.
    step: distance between positions in samples. Above 1 the tent widens with it, so that a coarser
    grid averages what it skips.
    """
    positions = np.asarray(positions, float)
    distance = np.abs(positions[:, None] - np.arange(size))
    weights = np.clip(1 - distance / max(1.0, step), 0, None)
    inside = (positions >= -0.5) & (positions < size - 0.5)
    total = weights.sum(axis=1)  # the edge cuts the tent of its last half sample: what is left counts in full
    return np.where(inside[:, None], weights / np.where(total > 0, total, 1)[:, None], 0)


def resample_axis(array: np.ndarray, axis: int, positions: ArrayLike, step: float = 1.0) -> np.ndarray:
    """Read `array` at fractional `positions` along one axis; rules of interpolation_matrix. Gives float32."""
    matrix = interpolation_matrix(array.shape[axis], positions, step).astype(np.float32)
    return np.moveaxis(np.tensordot(matrix, np.asarray(array, np.float32), (1, axis)), 0, axis)


def to_grid(image: np.ndarray, spacing: Numbers, centre: Numbers, pixel_mm: float, size: int) -> np.ndarray:
    """Cut the square `size` pixels wide, of `pixel_mm`, around pixel `centre` out of an image.

    image:   (x, y, ...) of any further axes. spacing: its first two edge lengths in mm.
    centre:  (x, y) in pixels of the image; it lands between the two middle pixels of an even size.
    Returns (size, size, ...) float32; 0 outside the image.
    """
    for axis in (0, 1):
        step = pixel_mm / float(spacing[axis])
        positions = centre[axis] + (np.arange(size) - (size - 1) / 2) * step
        image = resample_axis(image, axis, positions, step)
    return image


def from_grid(
    patch: np.ndarray, shape: Sequence[int], spacing: Numbers, centre: Numbers, pixel_mm: float
) -> np.ndarray:
    """Put back what `to_grid` cut: (size, size, ...) -> (*shape, ...) on the image's own pixels, 0 elsewhere."""
    size = patch.shape[0]
    for axis in (0, 1):
        step = float(spacing[axis]) / pixel_mm
        positions = (np.arange(shape[axis]) - centre[axis]) * step + (size - 1) / 2
        patch = resample_axis(patch, axis, positions, step)
    return patch


def labels_from_grid(
    labels: np.ndarray, shape: Sequence[int], spacing: Numbers, centre: Numbers, pixel_mm: float
) -> np.ndarray:
    """`from_grid` for label values: each class interpolated, the largest taken. Gives uint8."""
    result = np.zeros((*shape, *labels.shape[2:]), np.uint8)
    best = np.full(result.shape, 0.5, np.float32)
    for value in np.unique(labels[labels > 0]):
        share = from_grid(labels == value, shape, spacing, centre, pixel_mm)
        result[share > best] = value
        best = np.maximum(best, share)
    return result


def points_to_grid(points: ArrayLike, spacing: Numbers, centre: Numbers, pixel_mm: float, size: int) -> np.ndarray:
    """Pixel positions (..., 2) of an image -> those of the square `to_grid` cuts."""
    return (np.asarray(points, float) - centre) * np.asarray(spacing, float)[:2] / pixel_mm + (size - 1) / 2


def points_from_grid(points: ArrayLike, spacing: Numbers, centre: Numbers, pixel_mm: float, size: int) -> np.ndarray:
    """Inverse of `points_to_grid`."""
    return (np.asarray(points, float) - (size - 1) / 2) * pixel_mm / np.asarray(spacing, float)[:2] + centre


def moving_centre(image: np.ndarray, spacing: Numbers) -> np.ndarray:
    """(x, y) pixel about which the image moves: the heart, seen by its beat.

    image: (x, y, z, t) or (x, y, t). The deviation over time, smoothed by 5 mm and summed over slices, is cut
    at half its maximum; the centre of gravity of the largest piece counts. The middle if nothing moves.
    """
    moving = np.std(np.asarray(image, np.float32), axis=-1)
    moving = moving.reshape(*moving.shape[:2], -1).sum(axis=2)
    moving = ndimage.gaussian_filter(moving, [5.0 / float(edge) for edge in spacing[:2]])
    if moving.max() <= 0:
        return (np.array(moving.shape) - 1) / 2
    heart = largest_component(moving > 0.5 * moving.max())
    return np.array(ndimage.center_of_mass(np.where(heart, moving, 0)))


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a boolean mask; diagonal neighbours connect."""
    pieces, count = ndimage.label(mask, np.ones((3,) * np.ndim(mask)))
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if count > 1 else np.asarray(mask, bool)
