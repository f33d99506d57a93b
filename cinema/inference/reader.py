"""Reading a real or virtual cine with the project's own small weights: find the heart, segment, mark.

Nothing is set by hand: the heart is found from a first pass over the whole image, then read in a window
around it, averaged over the eight rotations and mirrors of a square.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from cinema.data.geometry import from_grid, largest_component, moving_centre, points_from_grid, points_to_grid, to_grid
from cinema.files import WEIGHTS
from cinema.models.weights import check_device, restore
from cinema.terms import LABELS

PIXEL_MM = 1.5
SIZE = {"sax": 112, "lax": 144}
SPREAD_MM = 60.0  # how far from where it is expected the heart may well lie
HINGE_GAP_MM = 15.0  # the two hinges are further apart than this in any adult
NEAR_LV_MM = 9.0  # a hinge lies at the rim of the cavity
APICAL = 0.8  # the apex lies in the last fifth of the cavity
REACH_MM = 18.0  # no point strays further than this from its median over the cycle
BATCH = 32

Spacing = Sequence[float]  # mm, of x, y, z


def normalised(image: NDArray) -> NDArray:
    """Image with its 2nd and 98th percentile at -1 and 1, cut at +-2; a constant image becomes 0."""
    low, high = np.percentile(image, (2, 98))
    if high - low < 1e-6:
        return np.zeros_like(image, np.float32)
    return np.clip((image - low) * (2 / (high - low)) - 1, -2, 2).astype(np.float32)


def with_neighbours(stack: Tensor, alone: Tensor | None = None) -> Tensor:
    """(b, z, n, n) slices in order -> (b, z, 3, n, n): each between its neighbours, zeros where there is none.

    alone: (b,) booleans, stacks whose slices are read without neighbours; None: none.
    """
    padded = F.pad(stack, (0, 0, 0, 0, 1, 1))
    if alone is not None:
        padded = padded * (~alone).to(stack.dtype)[:, None, None, None]
    return torch.stack([padded[:, :-2], stack, padded[:, 2:]], dim=2)


@dataclass(eq=False)
class OwnReader:
    """The two small networks; loads one when it is first needed.

    folder: holds the weights of both.
    turns:  rotations and mirrors averaged, 1 to 8; one is eight times as fast and a little worse.
    size:   pixels of the window that is read, kind -> a multiple of 16; smaller is faster.
    search: False where images are cut around the heart already: their middle is taken for its centre.
    """

    folder: str | Path = WEIGHTS
    device: str = "cpu"
    turns: int = 8
    size: Mapping[str, int] = field(default_factory=SIZE.copy)
    search: bool = True
    models: dict[str, Any] = field(default_factory=dict, init=False)

    def model(self, kind: str) -> Any:
        if kind not in self.models:
            check_device(self.device)
            self.models[kind] = restore(self._file(kind)).to(self.device)
        return self.models[kind]

    def _file(self, kind: str) -> Path:
        return Path(self.folder) / f"reader_{kind}.safetensors"

    @property
    def files(self) -> list[Path]:
        """Of the networks that were needed so far."""
        return [self._file(kind) for kind in self.models]

    def predict_sax(self, image: NDArray, spacing_mm: Spacing) -> NDArray:
        """(x, y, z, t) image, slices in order -> (x, y, z, t) uint8 labels on the same grid."""
        return self.read_sax(image, spacing_mm)[0]

    def read_sax(self, image: NDArray, spacing_mm: Spacing) -> tuple[NDArray, NDArray]:
        """`predict_sax` and, on the same grid, how probable the LV is at each voxel, averaged over the poses."""
        labels, window, centre = self._read("sax", np.asarray(image, np.float32), spacing_mm)
        lv = np.ascontiguousarray(window[..., LABELS["LV"]])
        return labels, from_grid(lv, image.shape[:2], spacing_mm, centre, PIXEL_MM)

    def glance(self, image: NDArray, spacing_mm: Spacing) -> NDArray:
        """Labels of the first frame and of one a third of the beat later, in one pose: enough to see what is shown."""
        image = np.asarray(image, np.float32)
        centre = self.find_heart("sax", image, spacing_mm)
        ends = image[..., [0, min(max(image.shape[3] // 3, 1), image.shape[3] - 1)]]
        return self._read("sax", ends, spacing_mm, centre, turns=1)[0]

    def predict_lax(self, image: NDArray, spacing_mm: Spacing) -> tuple[NDArray, NDArray]:
        """(x, y, 1, t) image -> labels of the same shape and (t, 3, 2) pixel positions of hinge, hinge, apex."""
        labels, window, centre = self._read("lax", np.asarray(image, np.float32), spacing_mm)
        seen = window[:, :, 0]
        marks = track(seen[..., 4], seen[..., 5], seen[..., :4].argmax(-1))
        return labels, points_from_grid(marks, spacing_mm, centre, PIXEL_MM, self.size["lax"])

    def _read(
        self, kind: str, image: NDArray, spacing_mm: Spacing, centre: NDArray | None = None, turns: int | None = None
    ) -> tuple[NDArray, NDArray, NDArray]:
        if centre is None:
            centre = self.find_heart(kind, image, spacing_mm) if self.search else (np.array(image.shape[:2]) - 1) / 2
        window = to_grid(image, spacing_mm, centre, PIXEL_MM, self.size[kind])
        out = self._probabilities(kind, window, turns or self.turns)
        classes = from_grid(out[..., :4].astype(np.float32), image.shape[:2], spacing_mm, centre, PIXEL_MM)
        labels = np.where(classes.sum(-1) > 0.5, classes.argmax(-1), 0).astype(np.uint8)
        return labels, out, centre

    def find_heart(self, kind: str, image: NDArray, spacing_mm: Spacing) -> NDArray:
        """(x, y) pixel of the heart's centre: what a first pass over the whole image calls heart, then, in a window
        around that, what a second and a third do."""
        extent = [int(np.ceil(n * s / PIXEL_MM / 16)) * 16 for n, s in zip(image.shape[:2], spacing_mm[:2])]
        middle = (np.array(image.shape[:2]) - 1) / 2
        beat = moving_centre(image, spacing_mm)
        image = image[..., [0, int(np.abs(image - image[..., :1]).mean(axis=(0, 1, 2)).argmax())]]
        centre = self._refined(kind, image, spacing_mm, middle, max(extent), beat)  # what beats; the stomach does not
        for _ in range(2):
            centre = self._refined(kind, image, spacing_mm, centre, SIZE[kind], centre)
        return centre

    def _refined(
        self, kind: str, image: NDArray, spacing_mm: Spacing, centre: NDArray, size: int, expected: NDArray
    ) -> NDArray:
        """(x, y) pixel of the middle of what looks like heart in a window about `centre`, near `expected`."""
        seen = 1 - self._probabilities(kind, to_grid(image, spacing_mm, centre, PIXEL_MM, size), turns=1)[..., 0]
        seen = ndimage.gaussian_filter(seen.mean(axis=(2, 3)), 4.0)
        if seen.max() < 0.05:
            return expected
        x, y = np.indices(seen.shape)
        near = points_to_grid(expected, spacing_mm, centre, PIXEL_MM, size)
        away = np.hypot(x - near[0], y - near[1]) * PIXEL_MM
        seen = seen * np.exp(-0.5 * (away / SPREAD_MM) ** 2)
        heart = largest_component(seen > 0.4 * seen.max())
        found = np.array(ndimage.center_of_mass(np.where(heart, seen, 0)))
        return points_from_grid(found, spacing_mm, centre, PIXEL_MM, size)

    @torch.inference_mode()
    def _probabilities(self, kind: str, window: NDArray, turns: int) -> NDArray:
        """(n, n, z, t) -> (n, n, z, t, channels): class probabilities and heatmaps, averaged over `turns` poses."""
        model, (n, _, z, t) = self.model(kind), window.shape
        stacks = torch.from_numpy(np.stack([[normalised(window[..., k, i]) for k in range(z)] for i in range(t)]))
        slices = (with_neighbours(stacks) if kind == "sax" else stacks[:, :, None]).flatten(0, 1)
        out = []
        for part in slices.split(BATCH):
            mean: Any = 0
            for turn in range(turns):
                logits = model.read(rotate(part, turn).to(self.device)).float()
                values = torch.cat([logits[:, :4].softmax(1), logits[:, 4:]], dim=1)
                mean = mean + rotate_back(values, turn) / turns
            out.append(mean.cpu())
        return torch.cat(out).reshape(t, z, -1, n, n).permute(3, 4, 1, 0, 2).numpy()


def track(hinge_heat: NDArray, apex_heat: NDArray, labels: NDArray) -> NDArray:
    """(t, 3, 2) positions of hinge, hinge, apex from heatmaps and labels (n, n, t); the hinge nearer the RV first.

    The tricuspid valve has hinges too: only heat close to the LV counts, and for the apex only where the cavity is
    far from the mitral valve. A frame that disagrees with the others about where its points are is read again near
    their median.
    """
    hinge_heat, apex_heat = (np.maximum(heat, 1e-6) for heat in (hinge_heat, apex_heat))  # a peak in every window
    rows, apical = [], np.ones(labels.shape, bool)
    x, y = np.indices(labels.shape[:2])
    for t in range(labels.shape[-1]):
        cavity = labels[..., t] == LABELS["LV"]
        close = ndimage.binary_dilation(cavity, iterations=round(NEAR_LV_MM / PIXEL_MM))
        near = close if close.any() else np.ones_like(close)
        hinges = two_peaks(hinge_heat[..., t] * near)
        valve = np.mean(hinges, axis=0)
        away = np.hypot(x - valve[0], y - valve[1])
        apical[..., t] = near & (away > APICAL * away[cavity].max() if cavity.any() else True)
        rows.append([*hinges, peak(apex_heat[..., t] * apical[..., t])])
    marks = np.array(rows)
    for t in range(1, len(marks)):  # the same hinge stays first
        if np.linalg.norm(marks[t, :2] - marks[0, :2]) > np.linalg.norm(marks[t, 1::-1] - marks[0, :2]):
            marks[t, :2] = marks[t, 1::-1]
    usual = np.median(marks, axis=0)
    for k, heat in enumerate((hinge_heat, hinge_heat, apex_heat * apical)):
        within = np.hypot(x - usual[k, 0], y - usual[k, 1]) * PIXEL_MM < REACH_MM
        marks[:, k] = [peak(heat[..., t] * within) for t in range(len(marks))]
    marks = ndimage.median_filter(marks, (3, 1, 1), mode="nearest")
    rv = np.argwhere(labels == LABELS["RV"])[:, :2]
    if len(rv) and np.argmin(np.linalg.norm(usual[:2] - rv.mean(axis=0), axis=1)) == 1:
        marks = marks[:, [1, 0, 2]]
    return marks


def rotate(batch: Tensor, turn: int) -> Tensor:
    """(..., n, n) turned by one of the eight rotations and mirrors of a square."""
    batch = torch.rot90(batch, turn % 4, (-2, -1))
    return batch.flip(-1) if turn >= 4 else batch


def rotate_back(batch: Tensor, turn: int) -> Tensor:
    """Inverse of `rotate`."""
    batch = batch.flip(-1) if turn >= 4 else batch
    return torch.rot90(batch, -(turn % 4), (-2, -1))


def peak(heat: NDArray, reach: int = 5) -> NDArray:
    """(x, y) of the highest point, to a fraction of a pixel: centre of gravity of the squares within `reach` pixels."""
    top = np.array(np.unravel_index(heat.argmax(), heat.shape))
    low = np.maximum(top - reach, 0)
    patch = np.clip(heat[low[0] : top[0] + reach + 1, low[1] : top[1] + reach + 1], 0, None) ** 2
    if patch.sum() <= 0:
        return top.astype(float)
    return low + np.array([(np.indices(patch.shape)[a] * patch).sum() / patch.sum() for a in (0, 1)])


def two_peaks(heat: NDArray) -> tuple[NDArray, NDArray]:
    """The two highest points at least HINGE_GAP_MM apart."""
    first = peak(heat)
    x, y = np.indices(heat.shape)
    apart = np.hypot(x - first[0], y - first[1]) * PIXEL_MM > HINGE_GAP_MM
    return first, peak(np.where(apart, heat, 0))
