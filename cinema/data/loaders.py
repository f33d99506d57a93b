"""Studies on disk to items a model can be trained on.

Every random draw of an item comes from default_rng((seed, epoch, index)): workers and epochs differ, runs repeat,
and the number of workers changes nothing. (Where workers inherit a generator, all of them draw the same.)
"""

import hashlib
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.utils.data import DataLoader, Dataset

from cinema import files
from cinema.data.labels import translated
from cinema.data.study import load_study, open_study
from cinema.data.transforms import Augment, augmented, min_max, pad_end
from cinema.terms import PUBLISHED_GRID, check_view

FRAMES = ("labelled", "landmarks", "random", "ed_es", "channels", "all")
SPACING_TOLERANCE = 0.02  # relative, in-plane
ORDER = 1 << 32  # stands in for an index in the seed of an epoch's order; no data set is that long


class StudyFrames(Dataset):
    """Frames of studies as items.

    paths:   study files.
    views:   names; the order is the order of the image dictionary, which is the models' token order.
    frames:  "labelled"  one item per frame whose mask every view has; gives `label`.
             "landmarks" one item per frame with landmarks in every view; gives `points`.
             "random"    one item per study, the frame drawn anew each epoch.
             "ed_es"     one item per study, ED and ES as two channels.
             "channels"  one item per study with a mask, all frames as channels (the sequences of MyoPS); gives `label`.
             "all"       one item per frame.
    grid:    view -> (size, spacing_mm), as terms.PUBLISHED_GRID. Smaller images are padded at the end. Larger ones
             are cropped at random when augmented and left as they are otherwise (see training.windows).
    augment: {"sax": Augment, "lax": Augment} or None.
    targets: one number per study (a class or a value), or None; gives `target`.
    classes: {label of the store: class number}, as late_enhancement.classes; None leaves `label` as it is.
    seed:    of every random draw; call set_epoch before each pass.

    An item: id, frame (-1 for several), phase ("ED", "ES", "ED+ES" or ""), image {view: (c, x, y[, z]) float32 in
    [0, 1]}, size {view: extent before padding}, spacing_mm {view: (2 or 3,)}, and by kind label {view: (x, y[, z])
    int64}, points {view: (3, 2) pixels}, target. Long-axis views are planes (no z).
    Raises ValueError at construction for what a study lacks, FileNotFoundError for a missing file.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        views: Iterable[str],
        frames: str = "labelled",
        grid: dict | None = None,
        augment: dict[str, Augment] | None = None,
        targets: ArrayLike | None = None,
        seed: int = 0,
        classes: dict[int, int] | None = None,
    ) -> None:
        if frames not in FRAMES:
            raise ValueError(f"frames={frames!r}; choose one of {', '.join(FRAMES)}")
        self.paths, self.views = [str(path) for path in paths], tuple(check_view(view) for view in views)
        self.frames, self.augment, self.seed, self.classes = frames, augment, seed, classes
        self.grid = {view: (grid or PUBLISHED_GRID)[view] for view in self.views}
        self.targets = None if targets is None else np.asarray(targets).tolist()
        if self.targets is not None and len(self.targets) != len(self.paths):
            raise ValueError(f"{len(self.targets)} targets for {len(self.paths)} studies; give one per study, in order")
        self.items = [(i, frame) for i, path in enumerate(self.paths) for frame in _choices(path, self.views, frames)]
        if not self.items:
            raise ValueError(f"no {frames} frames of {', '.join(self.views)} in {len(self.paths)} studies")
        if frames == "channels" and len({len(frame) for _, frame in self.items}) > 1:
            raise ValueError(f"{len(self.paths)} studies with unequal numbers of frames; as channels they must agree")
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # workers that stay alive see it change

    def set_epoch(self, epoch: int) -> None:
        self._epoch[0] = epoch

    def describe(self) -> str:
        """One line that tells this data set from another: sizes, and a digest of files, targets and settings."""
        facts = [files.digest(self.paths), self.items, self.grid, self.augment, self.seed, self.targets]
        facts += [] if self.classes is None else [self.classes]
        digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
        return f"{len(self)} {self.frames} items of {', '.join(self.views)} in {len(self.paths)} studies ({digest})"

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        which, frame = self.items[index]
        rng = np.random.default_rng((self.seed, int(self._epoch[0]), index))
        if self.frames == "random":
            frame = (int(rng.integers(frame[0])),)
        study = load_study(self.paths[which], self.views, list(frame))
        phase = {study.es_frame: "ES", study.ed_frame: "ED"}.get(0, "") if self.frames != "ed_es" else "ED+ES"
        item: dict[str, Any] = {"id": study.id, "frame": -1 if len(frame) > 1 else frame[0], "phase": phase}
        for view in self.views:
            for key, value in self._view(study.views[view], view, rng).items():
                item.setdefault(key, {})[view] = value
        if self.targets is not None:
            item["target"] = self.targets[which]
        return item

    def _view(self, view: Any, name: str, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        size, wanted = self.grid[name]
        spacing = np.asarray(view.spacing_mm[: len(size)])
        if np.any(np.abs(spacing[:2] / wanted[:2] - 1) > SPACING_TOLERANCE):
            raise ValueError(
                f"{name} has pixels of {spacing[0]:.3g} x {spacing[1]:.3g} mm and the grid asks for "
                f"{wanted[0]:.3g} x {wanted[1]:.3g}; resample the study first (cinema.data.geometry)"
            )
        image = np.moveaxis(np.asarray(view.image, np.float32), -1, 0)
        labels = view.labels[..., 0].astype(np.int64) if self.frames in ("labelled", "channels") else None
        if labels is not None and self.classes is not None:
            labels = translated(labels, self.classes, name).astype(np.int64)
        points = view.landmarks[0] if self.frames == "landmarks" else None
        if len(size) == 2:
            image, labels = image[..., 0], None if labels is None else labels[..., 0]
        extent = image.shape[1:]
        if self.augment is None:
            image = pad_end(min_max(image), size)
            labels = None if labels is None else pad_end(labels, size)
        else:
            augment = self.augment["sax" if name == "sax" else "lax"]
            image, labels, points = augmented(image, labels, points, size, spacing, augment, rng)
        out = {
            "image": torch.from_numpy(np.ascontiguousarray(image)),
            "size": torch.tensor(extent),
            "spacing_mm": torch.from_numpy(spacing),
        }
        if labels is not None:
            out["label"] = torch.from_numpy(np.ascontiguousarray(labels))
        if points is not None:
            out["points"] = torch.from_numpy(np.asarray(points, np.float32))
        return out


def _choices(path: str, views: tuple[str, ...], frames: str) -> list[tuple]:
    """The frame tuples a study offers, read without its pixels. For "random": ((number of frames,),)."""
    study = load_study(path, views, frames=[0])  # a missing, damaged or incomplete file ends here, in one line
    with open_study(path) as file:
        groups = [file[f"views/{view}"] for view in views]
        n = min(group["image"].shape[3] for group in groups)  # views of unequal length: only frames all of them have
        if frames == "random":
            return [(n,)]
        if frames == "all":
            return [(frame,) for frame in range(n)]
        if frames == "ed_es":
            if not {"ed_frame", "es_frame"} <= set(file.attrs):
                raise ValueError(f"{path}: study {study.id} has no ED and ES frame; name them before using it in pairs")
            return [(int(file.attrs["ed_frame"]), int(file.attrs["es_frame"]))]
        if frames == "channels":
            counts = {len(group.attrs.get("label_frames", ())) for group in groups}
            lengths = sorted({group["image"].shape[3] for group in groups})
            if not counts <= {0, 1} or len(lengths) > 1:
                raise ValueError(
                    f"{path}: {max(counts)} masks, {lengths} frames; as channels a study needs one mask "
                    "and views of one length"
                )
            return [tuple(range(n))] if counts == {1} else []
        if frames == "labelled":
            held = [group.attrs.get("label_frames", ()) for group in groups]
        else:
            points = [group["landmarks"][()] if "landmarks" in group else np.empty((0, 3, 2)) for group in groups]
            held = [np.flatnonzero(np.isfinite(one).all((1, 2))) for one in points]
        return [(int(frame),) for frame in sorted(set.intersection(*map(set, held)))]


def epoch_order(n_items: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits n_items."""
    return np.random.default_rng((seed, epoch, ORDER)).permutation(n_items)


def batches(dataset: Dataset, groups: list[list[int]], num_workers: int = 0, pin_memory: bool = False) -> DataLoader:
    """DataLoader giving one batch per list of indices in `groups`.

    `groups` is read when an iteration starts: change it in place, and call dataset.set_epoch, between epochs.
    Workers stay alive over epochs, which matters where starting one means importing everything again.
    """
    return DataLoader(
        dataset,
        batch_sampler=groups,
        num_workers=num_workers,
        worker_init_fn=_quiet_worker,
        persistent_workers=num_workers > 0,
        pin_memory=pin_memory,
    )


def _quiet_worker(worker: int) -> None:
    """Leave Ctrl-C to the main process, and give each worker one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
