"""One examination in memory and on disk.

A study is one HDF5 file: a group per view with the image in one chunk per frame (so that a single frame of a single
view is read without the others), attributes as HDF5 attributes.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from cinema.data import hdf5
from cinema.terms import LABELS, TISSUE_LABELS, VIEWS, check_view

SUFFIX = ".h5"
FORMAT = 1  # raised when the layout of the file changes


@dataclass(frozen=True)
class View:
    """One view of a study.

    image:          (x, y, z, t) array; z = 1 for long axis.
    affine:         (4, 4) voxel index -> patient position in mm, RAS+ as in NIfTI; slice gaps included.
    labels:         (x, y, z, k) uint8 with the values of terms.LABELS (late enhancement: TISSUE_LABELS too), or None.
    label_frames:   the frame index of each of the k label volumes.
    landmarks:      (t, 3, 2) pixels (x, y) of valve hinge, valve hinge, apex, NaN where a frame has none; or None.
    frame_times_ms: (t,) time after the R wave, or None.
    """

    image: np.ndarray
    affine: np.ndarray
    labels: np.ndarray | None = None
    label_frames: tuple = ()
    landmarks: np.ndarray | None = None
    frame_times_ms: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 4:
            raise ValueError(f"image has shape {self.image.shape}; it must be (x, y, z, t)")
        if np.shape(self.affine) != (4, 4) or not np.all(np.isfinite(self.affine)):
            raise ValueError(f"affine has shape {np.shape(self.affine)}; it must be a finite (4, 4) matrix")
        if min(self.spacing_mm) <= 0:
            raise ValueError(f"spacing is {self.spacing_mm} mm; every axis must be positive")
        if self.landmarks is not None and self.landmarks.shape != (self.n_frames, 3, 2):
            raise ValueError(f"landmarks have shape {self.landmarks.shape}; they must be ({self.n_frames}, 3, 2)")
        times = self.frame_times_ms
        if times is not None and len(times) != self.n_frames:
            raise ValueError(f"{len(times)} frame times for {self.n_frames} frames; the counts must agree")
        labels, expected = self.labels, (*self.image.shape[:3], len(self.label_frames))
        if labels is None:
            return
        if labels.shape != expected:
            raise ValueError(f"labels have shape {labels.shape}; image and label_frames ask for {expected}")
        if any(not 0 <= frame < self.n_frames for frame in self.label_frames):
            raise ValueError(f"label_frames {self.label_frames} lie outside the {self.n_frames} frames")
        top = int(labels.max(initial=0))
        allowed = sorted((LABELS | TISSUE_LABELS).values())
        if labels.dtype != np.uint8 or top > max(allowed):
            raise ValueError(f"label value {top} ({labels.dtype}); allowed are uint8 {allowed}")

    @property
    def n_frames(self) -> int:
        return self.image.shape[3]

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Three voxel edge lengths in mm, slice gap included."""
        return tuple(float(edge) for edge in np.linalg.norm(np.asarray(self.affine)[:3, :3], axis=0))

    def label_at(self, frame: int) -> np.ndarray:
        """The (x, y, z) label volume of a frame; KeyError if that frame has no labels."""
        if self.labels is None or frame not in self.label_frames:
            raise KeyError(f"frame {frame} has no labels; labelled are {tuple(self.label_frames)}")
        return self.labels[..., tuple(self.label_frames).index(frame)]


@dataclass(frozen=True)
class Study:
    """One examination.

    views:      name (terms.VIEWS) -> View.
    attributes: what is known of the person and the scan (age_years, sex, bmi_kg_m2, vendor, disease ..):
                str, int, float or bool. Never anything that identifies a patient.
    truth:      virtual studies only: exact numbers (str, float) and arrays.
    ed_frame, es_frame: frame indices of end diastole and end systole, None if unknown.
    """

    id: str
    cohort: str
    views: dict
    attributes: dict = field(default_factory=dict)
    truth: dict = field(default_factory=dict)
    ed_frame: int | None = None
    es_frame: int | None = None

    def __post_init__(self) -> None:
        if not self.id or any(mark in self.id for mark in "/\\"):
            raise ValueError(f"study id {self.id!r}; it must be a non-empty file name without slashes")
        for view in self.views:
            check_view(view)


def save_study(study: Study, folder: str | Path) -> Path:
    """Write `study` to folder/<id>.h5 and return the path. Nothing is left behind on failure."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / f"{study.id}{SUFFIX}"
    with hdf5.written(path) as file:
        file.attrs.update({"format": FORMAT, "id": study.id, "cohort": study.cohort})
        for name in ("ed_frame", "es_frame"):
            if getattr(study, name) is not None:
                file.attrs[name] = int(getattr(study, name))
        for name in ("attributes", "truth"):
            group = file.create_group(name)
            for key, value in getattr(study, name).items():
                if np.ndim(value):
                    group.create_dataset(key, data=np.asarray(value))
                elif value is not None:  # absent and unknown are the same thing on disk
                    group.attrs[key] = value
        for name, view in study.views.items():
            _write_view(view, file.create_group(f"views/{name}"))
    return path


def _write_view(view: View, group: h5py.Group) -> None:
    hdf5.frames(group, "image", view.image)
    group.create_dataset("affine", data=np.asarray(view.affine, np.float64))
    if view.labels is not None:
        hdf5.frames(group, "labels", view.labels)
        group.attrs["label_frames"] = np.asarray(view.label_frames, np.int64)
    for extra in ("landmarks", "frame_times_ms"):
        if getattr(view, extra) is not None:
            group.create_dataset(extra, data=np.asarray(getattr(view, extra), np.float32))


def _read_table(group: h5py.Group) -> dict:
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in group.attrs.items()}
    return {**plain, **{key: group[key][()] for key in group}}


def load_study(path: str | Path, views: Iterable[str] | None = None, frames: Sequence[int] | None = None) -> Study:
    """Read a study, whole or in part.

    views:  names to read; None reads all.
    frames: frame indices to read; None reads all. Frame numbers in the result count within `frames`,
            labels of other frames are left out, and ed_frame/es_frame become None if not among them.
    Raises FileNotFoundError, ValueError (not a study, unknown view, frame out of range).
    """
    asked = None if views is None else [check_view(view) for view in views]
    with open_study(path) as file:
        present = list(file["views"]) if "views" in file else []
        wanted = [name for name in VIEWS if name in present] if asked is None else asked
        missing = [name for name in wanted if name not in present]
        if missing:
            raise ValueError(f"{path} has no view {missing[0]}; it holds {', '.join(present)}")
        named = {name: int(file.attrs[name]) for name in ("ed_frame", "es_frame") if name in file.attrs}
        if frames is not None:
            named = {name: list(frames).index(frame) for name, frame in named.items() if frame in frames}
        found = {name: _read_view(file[f"views/{name}"], frames, path) for name in wanted}
        attributes, truth = _read_table(file["attributes"]), _read_table(file["truth"])
        return Study(file.attrs["id"], file.attrs["cohort"], found, attributes, truth, **named)


def _read_view(group: h5py.Group, frames: Sequence[int] | None, path: str | Path) -> View:
    n_frames = group["image"].shape[3]
    chosen = list(range(n_frames)) if frames is None else [int(frame) for frame in frames]
    if any(not 0 <= frame < n_frames for frame in chosen):
        raise ValueError(f"{path}: frames {chosen} asked for; the view has 0 to {n_frames - 1}")
    image = group["image"][()] if frames is None else np.stack([group["image"][..., f] for f in chosen], axis=-1)
    stored = group.attrs["label_frames"] if "labels" in group else []
    kept = [(chosen.index(f), i) for i, f in enumerate(stored) if f in chosen]
    labels = np.stack([group["labels"][..., i] for _, i in kept], axis=-1) if kept else None
    extras = {name: group[name][()][chosen] for name in ("landmarks", "frame_times_ms") if name in group}
    return View(image, group["affine"][()], labels, tuple(frame for frame, _ in kept), **extras)


@contextmanager
def open_study(path: str | Path) -> Iterator[h5py.File]:
    """A context that gives the HDF5 file of a study; FileNotFoundError or ValueError in one line, as hdf5.opened."""
    with hdf5.opened(path) as file:
        if file.attrs.get("format") != FORMAT:
            raise ValueError(f"{path} is not a study of format {FORMAT}; write it again with this version")
        yield file


def study_paths(folder: str | Path) -> list[Path]:
    """Paths of all studies in a folder, sorted by name; ValueError if there are none."""
    paths = sorted(Path(folder).glob(f"*{SUFFIX}"))
    if not paths:
        raise ValueError(f"{folder} holds no studies (*{SUFFIX}); make or prepare them first")
    return paths


def study_table(folder: str | Path) -> pd.DataFrame:
    """One row per study: id, cohort, path, frames, attributes and scalar truth (prefix true_)."""
    rows = []
    for path in study_paths(folder):
        with open_study(path) as file:
            row = {"id": file.attrs["id"], "cohort": file.attrs["cohort"], "path": str(path)}
            row |= {k: int(file.attrs[k]) for k in ("ed_frame", "es_frame") if k in file.attrs}
            row |= _read_table(file["attributes"])
            truth = _read_table(file["truth"])
            rows.append(row | {f"true_{k}": v for k, v in truth.items() if not np.ndim(v)})
    return pd.DataFrame(rows)
