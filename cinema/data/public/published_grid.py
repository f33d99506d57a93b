"""A study on the scanner's grid -> the same study on the published one, right in the patient's space.

Short axis 1 x 1 x 10 mm and at most 192 x 192 pixels, long axis 1 x 1 mm and at most 256 x 256, cut around the heart;
grey values from percentiles to uint8. The release does the same with a grid that moves where axes run against the
world's; here the new grid has the old one's directions and middle, so pixels stay where they are.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from cinema.data.geometry import interpolation_matrix, moving_centre, spacing_mm, to_voxel, view_intersection
from cinema.data.study import Study, View
from cinema.terms import LABELS, PUBLISHED_GRID

PERCENTILES = (0.95, 99.5)  # of the release
TIE, AROUND_MM = 1e-3, 3.0  # weight and width of what decides between labels of equal share
# voxels beyond which every second column and row tell the percentiles as well (and four times as fast)
MANY = 2_000_000


def standardised(study: Study, grid: dict = PUBLISHED_GRID) -> Study:
    """The Study on the published grid: images uint8, labels and landmarks moved along, affines of the new grid.

    Each view is cut around the LV of its first labelled frame (end diastole, where that is known); without labels
    around its landmarks or the common point of 2C, 4C and SAX, else around what moves. Smaller images stay small;
    slices are never cut. One grey scale per view, all frames together; sequences (attribute `sequences`) each for
    itself.
    grid: view -> (size, spacing_mm), the published one unless a dataset has its own.
    Slices 10 mm apart sample a heart anew: volumes of the new masks are not those of the old ones (spheres of LV size,
    centred: 1 % less from 8 mm slices, 14 % from 9, 11 % from 12). Reference volumes are attributes,
    from the raw masks.
    """
    apart = "sequences" in study.attributes  # frames that are no cine
    try:
        planes = [study.views[name].affine for name in ("lax_2c", "lax_4c", "sax")]
        meeting = None if apart else view_intersection(*planes)
    except (KeyError, ValueError):  # a view is missing, or the planes have no common point
        meeting = None
    views = {}
    for name, view in study.views.items():
        middle = _heart(view, study.ed_frame, meeting, not apart)
        views[name] = _standard_view(name, view, middle, apart, *grid[name])
    return replace(study, views=views)


def _heart(view: View, ed_frame: int | None, meeting: np.ndarray | None, cine: bool) -> np.ndarray:
    """(x, y) voxel of the view about which it is cut."""
    if view.labels is not None and view.labels.any():
        labelled = view.label_frames
        label = view.label_at(labelled[0] if ed_frame is None or ed_frame not in labelled else ed_frame)
        if not label.any():
            label = view.labels.max(axis=3)
        heart: Any = label == LABELS["LV"] if (label == LABELS["LV"]).any() else label > 0
        here = [np.flatnonzero(heart.any(axis=(1 - axis, 2))) for axis in (0, 1)]
        return np.array([(index[0] + index[-1]) / 2 for index in here])
    shape = np.array(view.image.shape[:2])
    if view.landmarks is not None and np.isfinite(view.landmarks).any():
        return np.nanmean(view.landmarks, axis=(0, 1))
    if meeting is not None:
        point = to_voxel(view.affine, meeting)[:2]
        if np.all((point >= 0) & (point <= shape - 1)):
            return point
    return moving_centre(view.image, view.spacing_mm) if cine else (shape - 1) / 2


def _standard_view(name: str, view: View, middle: np.ndarray, apart: bool, size: tuple, target: tuple) -> View:
    spacing, shape = spacing_mm(view.affine), view.image.shape
    axes = [_Axis(shape[k], spacing[k], target[k], True, size[k], middle[k]) for k in (0, 1)]
    # Slices are thick as they are: between them the grey value is interpolated, not averaged over further ones.
    axes.append(_Axis(shape[2], spacing[2], target[2] if name == "sax" else spacing[2], False))
    image = _bytes(_apply(view.image, axes), apart)
    labels = None if view.labels is None else _labels(view.labels, axes)
    first, step = (np.array([getattr(axis, part) for axis in axes]) for part in ("first", "step"))
    affine, landmarks = moved(view, first, step)
    return View(image, affine, labels, view.label_frames, landmarks, view.frame_times_ms)


def moved(view: View, first: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(affine, landmarks) on a grid whose voxel 0 is the view's `first`, `step` of its voxels apart; (3,) each."""
    affine = np.array(view.affine, float)
    affine[:3, 3] += affine[:3, :3] @ first
    affine[:3, :3] *= step
    if view.landmarks is None:
        return affine, None
    return affine, ((view.landmarks - first[:2]) / step[:2]).astype(np.float32)


class _Axis:
    """How one axis is read anew: `first` old index of the new voxel 0, `step` old voxels per new one.

    window: (start, stop) of the old voxels that count; matrix: (new, stop - start) weights, None if nothing changes.
    """

    def __init__(
        self, old: int, spacing: float, target: float, widen: bool, size: int | None = None, middle: Any = None
    ) -> None:
        new = max(1, int(np.round(old * spacing / target)))
        self.step = target / spacing
        # The two grids share their middle: half of what rounding adds or takes lies at either end.
        self.first = (old - 1) / 2 - (new - 1) / 2 * self.step
        if size is not None and new > size:
            start = np.round((middle - self.first) / self.step - (size - 1) / 2)
            self.first += np.clip(start, 0, new - size) * self.step
            new = size
        positions = self.first + np.arange(new) * self.step
        weights = interpolation_matrix(old, positions, self.step if widen else 1.0).astype(np.float32)
        used = np.flatnonzero(weights.any(axis=0))
        self.window = (used[0], used[-1] + 1)
        weights = weights[:, self.window[0] : self.window[1]]
        same = weights.shape[0] == weights.shape[1] and np.allclose(weights, np.eye(len(weights)), atol=1e-4)
        self.matrix = None if same else weights


def _apply(array: np.ndarray, axes: list[_Axis]) -> np.ndarray:
    """float32 (x, y, z, t) on the new axes. Matrix products over all frames at once, one axis after the other."""
    windows = tuple(slice(*axis.window) for axis in axes)
    array = np.ascontiguousarray(array[windows], np.float32)
    for k, axis in enumerate(axes):
        if axis.matrix is not None:
            before, after = array.shape[:k], array.shape[k + 1 :]
            flat = array.reshape(int(np.prod(before)), array.shape[k], int(np.prod(after)))
            array = np.matmul(axis.matrix, flat).reshape(*before, len(axis.matrix), *after)
    return array


def _labels(labels: np.ndarray, axes: list[_Axis]) -> np.ndarray:
    """uint8 labels on the new axes: a voxel gets the label that has the largest share in it, background included.

    Half-way between two slices shares tie wherever the slices differ; there the label counts that has more around it,
    in the plane, so that outlines lie between those of the two slices.
    """
    result: Any = None
    for value in range(int(labels.max(initial=0)) + 1):
        share = _apply(labels == value, axes)
        share += TIE * ndimage.gaussian_filter(share, (AROUND_MM, AROUND_MM, 0, 0))  # new pixels are 1 mm
        if result is None:
            result, best = np.zeros(share.shape, np.uint8), share
        else:
            result[share > best] = value
            best = np.maximum(best, share)
    return result


def _bytes(image: np.ndarray, apart: bool) -> np.ndarray:
    """uint8, rounded: percentiles to 0 and 255 of all frames together or (apart) of each; 0 where all is equal."""
    if apart:
        return np.concatenate([_bytes(image[..., t : t + 1], False) for t in range(image.shape[3])], axis=3)
    low, high = np.percentile(image[::2, ::2] if image.size > MANY else image, PERCENTILES)
    if not high > low:
        low, high = float(image.min()), float(image.max())
    if not high > low:
        return np.zeros(image.shape, np.uint8)
    image = image * np.float32(255 / (high - low))
    image += np.float32(0.5 - low * 255 / (high - low))
    return np.clip(image, 0, 255, out=image).astype(np.uint8)
