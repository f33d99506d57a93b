"""How a model is trained, as settings and closed formulas: batches, learning rate, parameter groups, when to stop.

Source: method, section 10.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

SCHEDULES = ("cosine", "late_linear")
BLOCK = r"encoder\.blocks\.(\d+)\."  # of the transformer, in parameters' names
LATE = 0.75  # of the epochs, before "late_linear" begins to fall


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. A preset is a `replace`; PAPER holds the published ones.

    epochs, warmup_epochs: may be fractions; see `in_steps`.
    learning_rate:    peak, after warm-up; falls to min_learning_rate as `schedule` says.
    schedule:         "cosine", half a cosine, as published; "late_linear", constant, then straight down over the last
                      quarter.
    layer_decay:      factor per layer below the top, for models that start from pretraining; None for one rate.
    decay_everything: decay biases and norms too. The release does so, at 0.01, for everything trained from scratch.
    batch_size:       items per optimiser step, micro_batch_size: of these at a time in memory (None: all).
    drop_remainder:   skip the last, smaller batch of an epoch, as the release does (ACDC: 52 of 180 frames).
                      If all items are fewer than a batch, it is halved until it fits.
    evaluate_every:   in epochs; also after the last. patience: evaluations without a gain of min_delta; None: no end.
    bf16:             mixed precision in training, on CUDA only. Evaluation is always float32.
    save_seconds:     at most this much work is lost if the process is killed; nothing is lost to Ctrl-C.
    """

    epochs: float = 20
    warmup_epochs: float = 2
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-5
    weight_decay: float = 0.05
    layer_decay: float | None = None
    decay_everything: bool = False
    betas: tuple = (0.9, 0.95)
    clip_norm: float = 5.0
    batch_size: int = 16
    micro_batch_size: int | None = None
    drop_remainder: bool = False
    evaluate_every: int = 1
    patience: int | None = None
    min_delta: float = 1e-4
    seed: int = 0
    num_workers: int = 0
    bf16: bool = True
    save_seconds: float = 60.0
    schedule: str = "cosine"

    def __post_init__(self):
        for name in ("epochs", "learning_rate", "batch_size", "evaluate_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(f"warmup_epochs is {self.warmup_epochs}; it must be less than epochs, {self.epochs}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule is {self.schedule!r}; choose one of {', '.join(SCHEDULES)}")


_FINE_TUNING = TrainConfig(layer_decay=0.75, batch_size=64, micro_batch_size=4, patience=5, drop_remainder=True)
_OF_STUDY = replace(_FINE_TUNING, epochs=800, warmup_epochs=10, evaluate_every=20)
# Method, section 10, table. For baselines from scratch: replace(.., layer_decay=None, weight_decay=0.01,
# decay_everything=True).
PAPER = {
    "pretraining": TrainConfig(800, 10, min_learning_rate=1e-6, batch_size=64, micro_batch_size=16),
    "segmentation": replace(_FINE_TUNING, epochs=4000, warmup_epochs=50, evaluate_every=100),
    "segmentation_rescan": replace(_FINE_TUNING, epochs=320, warmup_epochs=50, evaluate_every=8),
    **dict.fromkeys(("classification", "regression"), _OF_STUDY),
    **dict.fromkeys(("landmark_heatmap", "landmark_coordinate"), replace(_OF_STUDY, epochs=400, micro_batch_size=32)),
}


def in_steps(
    config: TrainConfig, n_items: int, steps: int, warmup_steps: int = 0, evaluate_every_steps: int | None = None
) -> TrainConfig:
    """`config` with its length given in optimiser steps, whatever the number of items: for fair comparisons."""
    per_epoch = len(step_groups(range(n_items), config))
    every = config.evaluate_every if evaluate_every_steps is None else max(1, round(evaluate_every_steps / per_epoch))
    return replace(config, epochs=steps / per_epoch, warmup_epochs=warmup_steps / per_epoch, evaluate_every=every)


def step_groups(order: Sequence, config: TrainConfig) -> list[list[list[int]]]:
    """An epoch's items, in `order`, as a list of optimiser steps, each a list of micro-batches of indices."""
    size = config.batch_size
    while config.drop_remainder and size > len(order):
        size //= 2
    end = len(order) // size * size if config.drop_remainder else len(order)
    micro = min(config.micro_batch_size or size, size)
    steps = [order[i : min(i + size, end)] for i in range(0, end, size)]
    return [[list(map(int, step[j : j + micro])) for j in range(0, len(step), micro)] for step in steps]


def learning_rate(
    epoch: float, peak: float, minimum: float, warmup: float, total: float, schedule: str = "cosine"
) -> float:
    """Learning rate at a fractional epoch: linear from 0 to `peak`, then down to `minimum` as `schedule` says.

    warmup, total: in epochs; schedule: see TrainConfig.
    """
    if epoch < warmup:
        return peak * epoch / warmup
    if schedule == "late_linear":
        start = max(warmup, LATE * total)
        return peak - (peak - minimum) * max(0.0, epoch - start) / (total - start)
    return minimum + (peak - minimum) / 2 * (1 + math.cos(math.pi * (epoch - warmup) / (total - warmup)))


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    layer_decay: float | None = None,
    decay_everything: bool = False,
    undecayed: Sequence[str] = (),
) -> list[dict]:
    """Trainable parameters in groups for an optimiser: [{params, weight_decay, lr_scale}].

    layer_decay:      learning rate is scaled by layer_decay per layer below the top; None for 1 everywhere.
    decay_everything: decay 1-D parameters and biases as well, as the release does from scratch.
    undecayed:        names of parameters that are spared whatever their shape (the release's no_weight_decay_list);
                      names that the model has not, or not trainable, change nothing.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError("the model has no trainable parameter; was everything frozen?")
    blocks = (re.match(BLOCK, name) for name, _ in model.named_parameters())
    top = max((int(block[1]) + 1 for block in blocks if block), default=0) + 1
    groups: dict[tuple, dict] = {}
    for name, p in named:
        scale = 1.0 if layer_decay is None else layer_decay ** (top - _layer(name, top))
        spared = name in undecayed or not (decay_everything or (p.ndim > 1 and not name.endswith(".bias")))
        decay = 0.0 if spared else weight_decay
        groups.setdefault((scale, decay), {"params": [], "lr_scale": scale, "weight_decay": decay})["params"].append(p)
    return list(groups.values())


def _layer(name, top):
    """0 for what stands before the transformer, 1 + i for its block i, `top` for everything after it."""
    if name.startswith("enc_") or any(part in name for part in ("cls_token", "pos_embed", "patch_embed", "view_embed")):
        return 0
    block = re.match(BLOCK, name)
    return int(block[1]) + 1 if block else top


def patience_left(value: float, reference: float, waited: int, min_delta: float) -> tuple[float, int]:
    """Early stopping on a minimised value: (new reference, evaluations waited).

    A gain of min_delta moves the reference and starts the count again; anything less, or NaN, adds one.
    """
    return (value, 0) if reference - value >= min_delta else (reference, waited + 1)
