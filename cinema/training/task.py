"""What a task is, and how any task is run over a data set without training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from cinema.data.loaders import batches


@dataclass(frozen=True)
class Task:
    """A task as plain functions.

    loss(model, batch)                  -> (scalar tensor, {name: number}); numbers are for the log.
    evaluate(model, batch, window=None) -> tidy rows (dicts); window: view -> size a model sees at once.
    summary(table)                      -> {name: number} of the rows of a whole data set.
    monitor: the summary number early stopping watches; maximise says which way is better.
    """

    name: str
    loss: Callable
    evaluate: Callable
    summary: Callable
    monitor: str
    maximise: bool


def identity(batch: dict, i: int) -> dict:
    """What every row says of item i of a batch: study, frame, phase."""
    return {"study": batch["id"][i], "frame": int(batch["frame"][i]), "phase": batch["phase"][i]}


def to_device(batch: Any, device: str) -> Any:
    """The batch with every tensor in it on `device`."""
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    return batch.to(device, non_blocking=True) if isinstance(batch, torch.Tensor) else batch


def draw_seed(*numbers: int) -> int:
    """One seed for torch from several numbers, well mixed."""
    return int(np.random.default_rng(numbers).integers(2**63))


def on_cuda(device: str) -> bool:
    """Whether a device, such as "cuda:1", is one of CUDA's."""
    return torch.device(device).type == "cuda"


def private_seeds(device: str) -> Any:
    """A context in which torch's generators may be seeded: they are put back afterwards.

    Dropout, drop-path and masks draw from these generators and take no other.
    """
    return torch.random.fork_rng([device] if on_cuda(device) else [])


def has_bf16_units() -> bool:
    """Whether this processor has matrix units for bfloat16 (AMX), which halve a training step.

    Where it has not, bfloat16 costs time: a step of the readers takes 1.3 to 1.5 times as long as in float32 with
    AVX-512's instructions alone, 12 times without (29 against 2.2 s).
    """
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())  # private, and not in every version


@contextmanager
def one_thread() -> Iterator[None]:
    """A context in which torch computes on one thread, so that no digit depends on how work was shared out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def evaluated(
    model: nn.Module, dataset: Any, task: Task, device: str = "cpu", seed: int = 0, num_workers: int = 0
) -> pd.DataFrame:
    """Tidy rows of `task` for every item of `dataset` (loaders.StudyFrames without augmentation).

    Columns depend on the task: study, frame, phase, then for segmentation view, structure, dice, iou, hd95_mm,
    volume_ml, true_volume_ml. The model runs in evaluation mode and float32, one item at a time, and is left in the
    mode it had. seed: of what the task draws (masks in pretraining); torch's own generator is left as it was.
    """
    was_training, rows = model.training, []
    window = {view: size for view, (size, _) in dataset.grid.items()}
    model.eval()
    try:
        with torch.inference_mode(), private_seeds(device):
            for i, batch in enumerate(batches(dataset, [[i] for i in range(len(dataset))], num_workers)):
                torch.manual_seed(draw_seed(seed, i))
                rows += task.evaluate(model, to_device(batch, device), window)
    finally:
        model.train(was_training)
    return pd.DataFrame(rows)
