"""The release's processing in NumPy, from data.md's words and without SimpleITK: what its arrays must be."""

import nibabel as nib
import numpy as np

GRIDS = {"sax": ((1.0, 1.0, 10.0), (192, 192)), "lax_4c": ((1.0, 1.0, None), (256, 256))}


def load(path, frame=None):
    """(array, spacing, LPS direction) of a file, or of one frame of it."""
    image = nib.load(path)
    array = np.asanyarray(image.dataobj)
    direction = np.diag([-1.0, -1.0, 1.0]) @ image.affine[:3, :3]
    spacing = np.array(image.header.get_zooms()[:3], float)
    return array if frame is None else array[..., frame], spacing, direction / np.linalg.norm(direction, axis=0)


def resample(array, spacing, direction, target, label, tie=(0.0, 0.0, 0.0)):
    """(x, y, z) array on voxels of `target` mm: the origin moves along the world's axes, not the image's.

    tie: where rounding to the nearest meets a half, which arithmetic of the last digit decides: per axis
         1e-9 for up, -1e-9 for down.
    """
    target = np.array([own if wanted is None else wanted for own, wanted in zip(spacing, target, strict=True)])
    sizes = np.round(np.array(array.shape) * spacing / target).astype(int)
    starts = direction.T @ (0.5 * (target - spacing)) / spacing
    result = array.astype(float)
    for axis in range(3):
        at = starts[axis] + np.arange(sizes[axis]) * target[axis] / spacing[axis]
        n = array.shape[axis]
        inside = (at >= -0.5) & (at < n - 0.5)
        rows = np.moveaxis(result, axis, 0)
        if label:
            read = rows[np.clip(np.floor(at + 0.5 + tie[axis]).astype(int), 0, n - 1)]
        else:
            at = np.clip(at, 0, n - 1)
            low = np.minimum(np.floor(at).astype(int), max(n - 2, 0))
            part = (at - low)[:, None, None]
            read = rows[low] * (1 - part) + rows[np.minimum(low + 1, n - 1)] * part
        result = np.moveaxis(read * inside[:, None, None], 0, axis)
    return np.trunc(result).astype(array.dtype) if array.dtype.kind in "iu" else result.astype(array.dtype)


def box(label, size):
    """Slices of x and y that leave `size` voxels about a boolean (x, y, z) label."""
    cut = []
    for axis, target in enumerate(size):
        here = np.flatnonzero(label.any(axis=tuple({0, 1, 2} - {axis})))
        length = label.shape[axis]
        lower = int(np.clip(np.ceil((here.max() + here.min()) / 2 - target / 2), 0, max(length - target, 0)))
        cut.append(slice(lower, min(lower + target, length)))
    return tuple(cut)


def to_uint8(array):
    low, high = np.percentile(array, (0.95, 99.5))
    if array.dtype.kind in "iu":
        low, high = int(low), int(high)
    clamped = np.clip(array.astype(float), low, high)
    low, high = clamped.min(), clamped.max()
    return ((clamped - low) / (high - low) * 255).astype(np.uint8)


def arrays(view, images, masks, mapping, tie=(0.0, 0.0, 0.0)):
    """Expected arrays: images and masks are (array, spacing, direction) by phase; mapping raw value -> ours."""
    target, size = GRIDS[view]
    found = {}
    for phase, (mask, *grid) in masks.items():
        ours = np.zeros(mask.shape, np.uint8)
        for raw, new in mapping.items():
            ours[mask == raw] = new
        found[f"{phase}_gt"] = resample(ours, *grid, target, True, tie)
    cut = box(found["ed_gt"] == 3, size)
    for phase, (image, *grid) in images.items():
        frames = image[..., None] if image.ndim == 3 else image
        done = [to_uint8(resample(frames[..., t], *grid, target, False)[cut]) for t in range(frames.shape[3])]
        found[phase] = done[0] if image.ndim == 3 else np.stack(done, axis=-1)
    return {name: array[cut] if name.endswith("_gt") else array for name, array in found.items()}


def check_grey(found, expected):
    """Within one grey level, and equal in all but few voxels."""
    assert found.dtype == np.uint8 and found.shape == expected.shape
    apart = np.abs(found.astype(int) - expected)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.05, (apart.max(), (apart > 0).mean())


def check(release, prefix, expected):
    """Labels exact, images within one grey level; the release has these files of the view and no others."""
    import SimpleITK as sitk

    given = {
        name.removeprefix(prefix): sitk.GetArrayFromImage(image).T
        for name, image in release.images.items()
        if name.startswith(prefix)
    }
    assert given.keys() == expected.keys()
    for name, array in given.items():
        if name.endswith("_gt"):
            assert array.dtype == np.uint8
            np.testing.assert_array_equal(array, expected[name], name)
        else:
            check_grey(array, expected[name])
