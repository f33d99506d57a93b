"""The rules of data.md section 1 once more, in NumPy, so that adapters are not checked against their own code."""

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import map_coordinates


def resampled(path, spacing, label=False):
    """(x, y, z) array of an integer NIfTI file on voxels of `spacing`: index by index, in SimpleITK's geometry."""
    image = sitk.ReadImage(str(path))
    array, old = sitk.GetArrayFromImage(image).T, np.array(image.GetSpacing())
    new, origin = np.array(spacing), np.array(image.GetOrigin())
    direction = np.array(image.GetDirection()).reshape(3, 3)
    size = np.round(array.shape * old / new).astype(int)
    index = np.indices(size).reshape(3, -1)
    shift = np.linalg.inv(direction) @ (0.5 * (new - old)) / old  # along the world's axes
    at = index * (new / old)[:, None] + shift[:, None]
    top = np.array(array.shape)[:, None]
    inside = ((at >= -0.5) & (at < top - 0.5)).all(0)
    at = np.clip(at, 0, top - 1)
    if label:
        values = array[tuple(np.floor(at + 0.5).astype(int))]
    else:
        values = np.trunc(map_coordinates(array.astype(float), at, order=1, mode="nearest"))
    return np.where(inside, values, 0).reshape(size).astype(array.dtype)


def window(low, high, length, target):
    """The slice of one axis that a crop to `target` about the box [low, high) leaves."""
    first = 0 if length <= target else int(np.clip(np.ceil((high - 1 + low) / 2 - target / 2), 0, length - target))
    return slice(first, first + min(target, length))


def about(labels, value, target=192):
    """Slices of x and y that leave `target` about a label."""
    x, y = (np.flatnonzero((labels == value).any(axis)) for axis in ((1, 2), (0, 2)))
    return tuple(window(here[0], here[-1] + 1, n, target) for here, n in zip((x, y), labels.shape, strict=False))


def grey(array):
    """uint8 of an integer volume: truncated percentiles 0.95 and 99.5, then the extremes, then truncated."""
    low, high = np.trunc(np.percentile(array, (0.95, 99.5)))
    clipped = np.clip(array.astype(float), low, high)
    return ((clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255).astype(np.uint8)


def assert_grey(found, expected):
    """Within one grey level."""
    assert found.dtype == np.uint8 and found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1
