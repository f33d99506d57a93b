"""From a frame on disk to what a model is given: intensities, padding, and random augmentation.

Arrays are (channels, x, y[, z]). Every random draw comes from the `rng` argument (numpy.random.Generator).
Rotation, translation, scale, zoom and crop are composed into one affine map, so that an image is resampled once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cinema.data.geometry import Numbers

ATTEMPTS = 10  # draws of a pose that keeps every landmark inside before the pose is left alone


@dataclass(frozen=True)
class Augment:
    """How items are varied. Each of contrast, noise, pose, zoom and hole happens with `probability`.

    gamma:            range of the contrast exponent.
    noise:            largest standard deviation of Gaussian noise, on intensities scaled to 0..1.
    rotation_deg, translation_mm: largest in-plane rotation and shift, either way.
    scale:            largest relative change of size along x and y, drawn per axis.
    zoom:             range of one factor for all axes, slices included.
    hole_mm, hole_slices: in-plane edge and depth of a box set to 0 in the image, labels kept; 0 for none.

    The release differs in two ways, both a matter of values: scale=(0.2, 0) (a scalar there fills the x axis only)
    and noise=0.1/255 (it is added before scaling to 0..1).
    """

    probability: float = 0.5
    gamma: tuple = (0.5, 1.5)
    noise: float = 0.1
    rotation_deg: float = 180.0
    translation_mm: float = 60.0
    scale: tuple = (0.2, 0.2)
    zoom: tuple = (1.0, 1.0)
    hole_mm: float = 0.0
    hole_slices: int = 2


# Method, section 10. Long-axis planes shift further; only segmentation has a hole.
CLASSIFICATION = {"sax": Augment(), "lax": Augment(translation_mm=80.0)}
LANDMARKS = CLASSIFICATION
SEGMENTATION = {"sax": Augment(hole_mm=40.0), "lax": Augment(translation_mm=80.0, hole_mm=50.0)}
NOTHING = Augment(gamma=(1.0, 1.0), noise=0.0, rotation_deg=0.0, translation_mm=0.0, scale=(0.0, 0.0))
PRETRAINING = dict.fromkeys(("sax", "lax"), replace(NOTHING, zoom=(0.9, 1.1)))


def varied(augment: dict[str, Augment], **changes: Any) -> dict[str, Augment]:
    """A preset with the same changes for both kinds of view, as in varied(SEGMENTATION, rotation_deg=30.0)."""
    return {kind: replace(one, **changes) for kind, one in augment.items()}


def min_max(x: np.ndarray) -> np.ndarray:
    """Scale to [0, 1] over the whole array, all channels together; a constant array becomes 0."""
    low, high = x.min(), x.max()
    return (x - low) / (high - low) if high > low else np.zeros_like(x)


def pad_end(x: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Pad zeros at the end of the trailing axes up to `size`; axes already larger are left alone."""
    lead = x.ndim - len(size)
    widths = [(0, 0)] * lead + [(0, max(0, n - have)) for n, have in zip(size, x.shape[lead:], strict=True)]
    return np.pad(x, widths) if any(after for _, after in widths) else x


def crop_to(x: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The first `size` entries of the trailing axes: undoes pad_end."""
    kept: tuple = (..., *(slice(0, n) for n in size))
    return x[kept]


def augmented(
    image: np.ndarray,
    labels: np.ndarray | None,
    points: np.ndarray | None,
    size: tuple,
    spacing_mm: Numbers,
    augment: Augment,
    rng: np.random.Generator,
) -> tuple:
    """One random variation of an image with its label map and landmarks.

    image:      (c, x, y[, z]) float32.
    labels:     (x, y[, z]) integers, or None.
    points:     (n, 2) pixel positions (x, y), or None; returned in pixels of the new image.
    size:       trailing size of the result: larger axes are cropped at random, smaller ones padded at the end.
    spacing_mm: voxel edges; augment: Augment; rng: numpy.random.Generator.
    Returns (image in [0, 1], labels, points), None where None went in.
    """
    image = min_max(image)
    if augment.gamma != (1.0, 1.0) and rng.random() < augment.probability:
        image = image ** np.float32(rng.uniform(*augment.gamma))
    if augment.noise and rng.random() < augment.probability:
        image = image + np.float32(rng.uniform(0, augment.noise)) * rng.standard_normal(image.shape, np.float32)
    image = min_max(image)
    flat = image.ndim == 3
    if flat:
        image, labels, size = image[..., None], None if labels is None else labels[..., None], (*size, 1)
    factor = rng.uniform(*augment.zoom) if rng.random() < augment.probability else 1.0
    matrix, offset = _pose(image.shape[1:3], size[:2], spacing_mm[:2], points, augment, factor, rng)
    image, labels = _slices(image, labels, size[2], factor, rng)
    image = _resample(image, matrix, offset, size[:2], "bilinear")
    if labels is not None:
        labels = _resample(labels[None], matrix, offset, size[:2], "nearest")[0].astype(labels.dtype)
    if points is not None:
        points = (np.asarray(points, np.float32) - offset) @ np.linalg.inv(matrix).T.astype(np.float32)
    if augment.hole_mm and rng.random() < augment.probability:
        edges = [max(1, round(augment.hole_mm / mm)) for mm in spacing_mm[:2]] + [augment.hole_slices]
        firsts = [rng.integers(0, max(0, n - edge) + 1) for n, edge in zip(image.shape[1:], edges, strict=True)]
        box = (slice(first, first + edge) for first, edge in zip(firsts, edges, strict=True))
        image[(slice(None), *box)] = 0.0
    return (image[..., 0] if flat else image), (labels[..., 0] if flat and labels is not None else labels), points


def _pose(
    old_size: Sequence[int],
    size: Sequence[int],
    spacing_mm: Numbers,
    points: np.ndarray | None,
    augment: Augment,
    zoom: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Affine map (matrix, offset) from pixels of the new image to pixels of the old one.

    The crop is drawn first, then rotation, scale and shift about the middle of the old image.
    """
    corner = np.array([rng.integers(0, max(0, old - new) + 1) for old, new in zip(old_size, size, strict=True)], float)
    middle = (np.asarray(old_size) - 1) / 2
    spacing = np.asarray(spacing_mm, float)  # a rotation keeps lengths in mm, not in pixels
    varied = rng.random() < augment.probability
    for _ in range(ATTEMPTS if varied else 0):
        angle = np.deg2rad(rng.uniform(-augment.rotation_deg, augment.rotation_deg))
        scale = 1 + np.array([rng.uniform(-s, s) for s in augment.scale])
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = rng.uniform(-augment.translation_mm, augment.translation_mm, 2) / spacing
        matrix = rotation * spacing[None, :] / spacing[:, None] / scale / zoom
        offset = matrix @ (corner - middle - shift) + middle
        moved = np.empty((0, 2)) if points is None else (np.asarray(points) - offset) @ np.linalg.inv(matrix).T
        if np.all((moved >= 0) & (moved <= np.asarray(size) - 1)):
            return matrix, offset
    matrix = np.eye(2) / zoom
    return matrix, matrix @ (corner - middle) + middle


def _slices(
    image: np.ndarray, labels: np.ndarray | None, depth: int, zoom: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Zoom along z, then crop at random or pad at the end to `depth` slices."""
    n = image.shape[3]
    if zoom != 1.0 and n > 1:
        source = (np.arange(n) - (n - 1) / 2) / zoom + (n - 1) / 2
        weights = np.clip(1 - np.abs(source[None, :] - np.arange(n)[:, None]), 0, None)  # linear, zero outside
        image = image @ weights.astype(np.float32)
        if labels is not None:
            nearest = np.rint(source).astype(int)
            labels = np.where((nearest >= 0) & (nearest < n), labels[..., np.clip(nearest, 0, n - 1)], 0)
    first = rng.integers(0, max(0, n - depth) + 1)
    keep = slice(first, first + depth)
    image = pad_end(image[..., keep], (*image.shape[1:3], depth))
    return image, None if labels is None else pad_end(labels[..., keep], (*labels.shape[:2], depth))


def _resample(x: np.ndarray, matrix: np.ndarray, offset: np.ndarray, size: Sequence[int], mode: str) -> np.ndarray:
    """Values of x (c, X, Y, z) at matrix @ (i, j) + offset for every pixel (i, j) of `size`; zero outside.

    Slices ride along as channels: the weights are computed once for all of them.
    """
    c, old_x, old_y, z = x.shape
    if np.array_equal(matrix, np.eye(2)) and np.array_equal(offset, np.rint(offset)):  # a crop: keep the voxels exact
        first = offset.astype(int)
        return pad_end(x[:, first[0] : first[0] + size[0], first[1] : first[1] + size[1]], (*size, z))
    ij = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij"), -1)
    at = ij @ matrix.T + offset
    grid = (2 * at[..., ::-1] + 1) / (old_y, old_x) - 1  # last array axis first, edges at -1 and 1
    channels = np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32).reshape(1, c * z, old_x, old_y)
    grid = torch.from_numpy(np.ascontiguousarray(grid, np.float32))[None]
    out = F.grid_sample(torch.from_numpy(channels), grid, mode=mode, padding_mode="zeros", align_corners=False)
    return out.reshape(c, z, *size).permute(0, 2, 3, 1).contiguous().numpy()
