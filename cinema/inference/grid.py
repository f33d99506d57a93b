"""Reading a cine with models that want a fixed grid: the published ones, and own ones of the same kind.

The image is brought to the model's spacing, cut around the heart (found by its motion, since there is no label
to cut around), scaled by its percentiles, read frame by frame, and the labels are brought back.
Source: data.md section 1 (resampling, intensity); the release cuts around labels or where views cross.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinema.data.geometry import labels_from_grid, moving_centre, points_from_grid, resample_axis, to_grid
from cinema.models.finetuned import opened
from cinema.models.published import ONE_MODEL, finetuned_file, finetuned_path
from cinema.terms import LABELS
from cinema.training.evaluate import locate_landmarks, segment_volume

PUBLISHED_FILES = {  # view -> (task, name) of its segmenter, of its landmark model
    "sax": (("segmentation", "acdc_sax"), None),
    "lax_2c": (None, ("landmark_heatmap", "lax_2c")),
    "lax_4c": (("segmentation", "mnms2_lax_4c"), ("landmark_heatmap", "lax_4c")),
}
LOW_PERCENT, HIGH_PERCENT = 0.95, 99.5


@dataclass
class GridReader:
    """One view's models. segmenter and marker: either may be None; size, spacing: their grid; files: theirs."""

    view: str
    segmenter: Any
    marker: Any
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    device: str = "cpu"
    files: tuple[Path, ...] = ()

    def predict_sax(self, image: NDArray, spacing_mm: Sequence[float]) -> NDArray:
        """(x, y, z, t) image -> (x, y, z, t) uint8 labels on the same grid."""
        step, count = self.spacing[2] / spacing_mm[2], image.shape[2]
        n_slices = max(1, int(np.round(count / step)))
        places = 0.5 * (step - 1) + np.arange(n_slices) * step  # the stack's ends stay where they are
        window, centre = self._window(resample_axis(image, 2, np.clip(places, 0, count - 1)), spacing_mm)
        labels = segment_volume(self.segmenter, window, "sax", self.size, self.device)
        nearest = np.clip(np.round((np.arange(count) - places[0]) / step), 0, n_slices - 1).astype(int)
        return labels_from_grid(labels[:, :, nearest], image.shape[:2], spacing_mm, centre, self.spacing[0])

    def predict_lax(self, image: NDArray, spacing_mm: Sequence[float]) -> tuple[NDArray | None, NDArray | None]:
        """(x, y, 1, t) image -> labels of the same shape or None, (t, 3, 2) landmarks in its pixels or None."""
        window, centre = self._window(image, spacing_mm)
        labels = marks = None
        if self.segmenter is not None:
            labels = segment_volume(self.segmenter, window, self.view, self.size, self.device)
            labels = labels_from_grid(labels, image.shape[:2], spacing_mm, centre, self.spacing[0])
        if self.marker is not None:
            marks = locate_landmarks(self.marker, window, self.view, self.size, self.device)
            marks = points_from_grid(marks, spacing_mm, centre, self.spacing[0], self.size[0])
        return labels, marks

    def _window(self, image: NDArray, spacing_mm: Sequence[float]) -> tuple[NDArray, NDArray]:
        centre = moving_centre(image, spacing_mm)
        window = to_grid(image, spacing_mm, centre, self.spacing[0], self.size[0])
        for t in range(window.shape[-1]):
            low, high = np.percentile(window[..., t], (LOW_PERCENT, HIGH_PERCENT))
            window[..., t] = np.clip(window[..., t], low, high)
        return window, centre


def readers_from_file(path: str | Path, device: str = "cpu") -> dict[str, GridReader]:
    """view -> GridReader of one weights file: of its segmenter or landmark model, for the views it was made for."""
    model, grid, _ = opened(path, device)
    outputs = model.arguments.get("out_chans")
    if outputs not in (len(LABELS), 3) or type(model).__name__ not in ("ConvUNetR", "UNet"):
        needed = f"a segmentation ({len(LABELS)}) or landmark heatmap (3) model"
        raise ValueError(f"{path} holds a {type(model).__name__} of {outputs} outputs; segmenting needs {needed}")
    channels = {model.arguments.get("in_chans", 1), *model.arguments.get("in_chans_dict", {}).values()}
    if max(channels) > 1:
        raise ValueError(f"{path} reads {max(channels)} images at once; segmenting needs a model of one cine frame")
    segmenter, marker = (model, None) if outputs == len(LABELS) else (None, model)
    files = (Path(path),)
    return {view: GridReader(view, segmenter, marker, *grid[view], device, files) for view in grid}


def readers_from_repository(source: str | Path, device: str = "cpu") -> dict[str, GridReader]:
    """view -> GridReader of the published models in a folder or repository; a folder may hold some of them only.

    source: may name one of its models, as in FOLDER:segmentation/acdc_sax, of seed 0 unless :1 or :2 follows.
    """
    one = ONE_MODEL.fullmatch(str(source))
    if one and not Path(source).exists():
        source, task, name, seed = one.groups(default="0")
        if task not in ("segmentation", "landmark_heatmap"):
            needed = "segmentation/NAME or landmark_heatmap/NAME"
            raise ValueError(f"--weights names a model for {task}; segmenting needs {needed}")
        return readers_from_file(finetuned_path(source, task, name, int(seed)), device)
    readers: dict[str, GridReader] = {}
    errors = {}
    for view, parts in PUBLISHED_FILES.items():
        for part in filter(None, parts):
            try:
                path = finetuned_path(source, *part)
            except FileNotFoundError as error:
                errors[finetuned_file(*part)] = error
                continue
            found = readers_from_file(path, device)
            if view not in found:
                raise ValueError(f"{path} reads {', '.join(found)}; put a model of {view} there, or take it away")
            if view in readers:  # the segmenter came first, and its grid is taken
                readers[view].marker = found[view].marker
                readers[view].files += found[view].files
            else:
                readers[view] = found[view]
    if not readers:
        others = ", ".join(list(errors)[1:])
        raise FileNotFoundError(
            f"{next(iter(errors.values()))}; likewise, where wanted, {others}, each with its config"
        )
    return readers
