"""Late enhancement painted onto virtual hearts: the generator of cohorts makes cine contrast only.

An infarct is a sector of the wall's inner part, no-reflow its core, oedema a wider sector of the whole wall.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

from cinema.terms import LABELS, TISSUE_LABELS
from rawtrees.hearts import hearts

GRID = {"sax": ((112, 104, 7), (2.8, 2.8, 8.0))}  # doubled below: larger than 192 voxels of 1.458 mm
RV, MYO, LV = (LABELS[name] for name in ("RV", "MYO", "LV"))
SCAR, NO_REFLOW, OEDEMA = (TISSUE_LABELS[name] for name in ("scar", "no-reflow", "oedema"))


def case(index, seed=0, ill=True):
    """(cine int16, labels of the store, affine) of one heart: 224 x 208 x 7 voxels of 1.4 x 1.4 x 8 mm.

    ill: whether the muscle holds oedema, scar and no-reflow.
    """
    study = hearts("acdc", max(6, index + 1), seed, ("ED", "ES"), GRID)[index]
    view = study.views["sax"]
    rng = np.random.default_rng([seed, index])
    labels = view.labels[..., 0].copy()
    if ill:
        _infarct(labels, rng)
    double = lambda array: array.repeat(2, 0).repeat(2, 1)  # noqa: E731
    image = double(view.image[..., 0]).astype(np.int16) * 4
    affine = view.affine.copy()
    affine[:3, :2] /= 2
    affine[:3, 3] -= view.affine[:3, :2].sum(1) / 4  # the first of two halves lies a quarter voxel outward
    return image + rng.integers(0, 9, image.shape, np.int16), double(labels), affine


def _infarct(labels, rng):
    centre = rng.uniform(-np.pi, np.pi)
    for z in range(labels.shape[2]):
        plane = labels[:, :, z]
        if not (plane == LV).any() or not (plane == MYO).any():
            continue
        x, y = np.argwhere(plane == LV).mean(0)
        i, j = np.indices(plane.shape)
        away = np.abs((np.arctan2(j - y, i - x) - centre + np.pi) % (2 * np.pi) - np.pi)
        depth, muscle = distance_transform_edt(plane != LV), plane == MYO
        plane[muscle & (away < 0.9)] = OEDEMA
        plane[muscle & (away < 0.6) & (depth < 3)] = SCAR
        plane[muscle & (away < 0.25) & (depth < 1.5)] = NO_REFLOW


def enhanced(cine, labels, levels, rng):
    """An image of another contrast: labels at `levels` {label: grey value}, everything else half its cine value."""
    image = cine // 2
    for label, level in levels.items():
        image = np.where(labels == label, level, image)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, None).astype(np.int16)


def values(labels, mapping, kind):
    """The mask that a file holds: labels of the store by {label: value}, of type `kind`."""
    mask = np.zeros(labels.shape, kind)
    for label, value in mapping.items():
        mask[labels == label] = value
    return mask
