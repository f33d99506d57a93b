"""One training loop for every task.

Every random draw is seeded by (seed, epoch, step), not by what was drawn before it, so a run that is interrupted and
resumed ends with the same bits as one that was not (same machine, same number of threads, CPU).
"""

import copy
import math
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.nn import Module
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from cinema import files
from cinema.data.loaders import StudyFrames, batches, epoch_order
from cinema.models import weights
from cinema.training import checkpoint, recipe
from cinema.training.recipe import PAPER, TrainConfig, in_steps
from cinema.training.task import Task, draw_seed, evaluated, on_cuda, private_seeds, to_device

__all__ = ["PAPER", "TrainConfig", "fit", "in_steps"]
STEPS = 1 << 33  # tells the seeds of training steps from those of items
# What changes in a run: epochs and steps done, early stopping, and the sums and rows of the log. JSON can hold it.
START: dict[str, Any] = {"epoch": 0, "step": 0, "best": math.inf, "reference": math.inf, "waited": 0, "stopped": False}
START |= {"seconds": 0.0, "sums": {}, "history": []}
MAY_DIFFER = ("num_workers", "save_seconds")  # settings that change no number


def fit(
    model: Module, task: Task, train_set: Any, val_set: Any, config: TrainConfig, out: str | Path, device: str = "cpu"
) -> pd.DataFrame:
    """Train `model` for `task`; returns the history, one row per epoch, as in out/metrics.csv.

    train_set, val_set: loaders.StudyFrames (val_set may be None: no evaluation, no early stopping).
    out: folder for the files of training.checkpoint. If it holds the same run unfinished, that is resumed; finished,
         its result is returned at once; another run (initial weights, bytes of the data, code or settings differ) is
         a ValueError, one at work there a BlockingIOError. Ctrl-C saves first (a second one does not wait).
    The model is left with the weights of the best evaluation, or the last ones without val_set.
    Micro-batches with a NaN loss are skipped; ValueError if a whole epoch has nothing else.
    """
    weights.check_device(device)
    out = Path(out)
    what = _fingerprint(model, task, train_set, val_set, config)
    checkpoint.check_same_run(out, what)
    model.to(device)
    if not checkpoint.read_run(out).get("finished"):
        out.mkdir(parents=True, exist_ok=True)
        with files.alone(out):
            groups = recipe.parameter_groups(model, config.weight_decay, config.layer_decay, config.decay_everything)
            optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)
            run = _Run(model, task, train_set, val_set, config, out, device, optimiser)
            progress = checkpoint.load_state(out, model, optimiser) or copy.deepcopy(START)
            checkpoint.write_run(out, what, device, progress["seconds"], finished=False)
            with private_seeds(device), _deferred_interrupt() as interrupted:
                _train(run, progress, interrupted)
            checkpoint.write_metrics(out, progress["history"])
            weights.save(model, out / checkpoint.LAST, {"task": task.name})
            checkpoint.write_run(out, what, device, progress["seconds"], finished=True)
            (out / checkpoint.RESUME).unlink(missing_ok=True)
    weights.load(model, out / (checkpoint.BEST if val_set else checkpoint.LAST))
    return pd.read_csv(out / checkpoint.METRICS, float_precision="round_trip")


@dataclass(frozen=True)
class _Run:
    """What stays the same throughout a run."""

    model: Module
    task: Task
    train_set: StudyFrames
    val_set: StudyFrames | None
    config: TrainConfig
    out: Path
    device: str
    optimiser: torch.optim.Optimizer


def _fingerprint(model, task, train_set, val_set, config):
    """All that goes into a run: what is learnt, from which numbers, bytes and code, and how."""
    settings = {name: value for name, value in asdict(config).items() if name not in MAY_DIFFER}
    data = {"training_data": train_set.describe(), "validation_data": val_set and val_set.describe()}
    parts = [getattr(part, "keywords", {}) for part in (task.loss, task.evaluate, task.summary)]
    about = {"task": task.name, "task_settings": checkpoint.said(parts), "model": type(model).__name__}
    origin = {"initial_weights": checkpoint.digest(model), **data, "code": files.code()}
    return {**about, "parameters": sum(p.numel() for p in model.parameters()), **origin, **settings}


def _train(run, progress, interrupted):
    """Epochs until the end or until nothing improves. `progress` is updated in place and saved on the way."""
    config, n_items, micro_batches = run.config, len(run.train_set), []
    loader = batches(run.train_set, micro_batches, config.num_workers, pin_memory=on_cuda(run.device))
    per_epoch = len(recipe.step_groups(range(n_items), config))
    course = (config.learning_rate, config.min_learning_rate, config.warmup_epochs, config.epochs, config.schedule)
    total = max(1, round(config.epochs * per_epoch))
    save_if_due = _saver(run, progress, interrupted)
    done = progress["epoch"] * per_epoch + progress["step"]
    with tqdm(total=total, initial=done, desc=run.task.name, unit="step", disable=None) as bar:
        while progress["epoch"] * per_epoch < total and not progress["stopped"]:
            epoch = progress["epoch"]
            run.train_set.set_epoch(epoch)
            steps = recipe.step_groups(epoch_order(n_items, config.seed, epoch), config)
            todo = range(progress["step"], min(per_epoch, total - epoch * per_epoch))
            micro_batches[:] = [micro for step in todo for micro in steps[step]]
            stream = iter(loader)
            for step in todo:
                # by step, not by micro-batch as in the release, so that splitting a batch changes no number
                progress["learning_rate"] = recipe.learning_rate(epoch + step / per_epoch, *course)
                for group in run.optimiser.param_groups:
                    group["lr"] = progress["learning_rate"] * group["lr_scale"]
                torch.manual_seed(draw_seed(config.seed, epoch, STEPS + step))
                _update(run, stream, steps[step], progress["sums"])
                progress["step"] = step + 1
                bar.update()
                save_if_due()
            _close_epoch(run, progress, last=(epoch + 1) * per_epoch >= total)
            bar.set_postfix(loss=f"{progress['history'][-1]['loss']:.3g}")
            save_if_due()


def _saver(run, progress, interrupted):
    """A function to call between steps: keeps time, saves when it is due, and ends an interrupted run."""
    saved = tick = time.monotonic()

    def save_if_due():
        nonlocal saved, tick
        now = time.monotonic()
        progress["seconds"] += now - tick
        tick = now
        if interrupted or now - saved > run.config.save_seconds:
            checkpoint.write_metrics(run.out, progress["history"])
            checkpoint.save_state(run.out, run.model, run.optimiser, progress)
            saved = time.monotonic()
        if interrupted:
            raise KeyboardInterrupt(f"stopped; run the same again to go on from {run.out}")

    return save_if_due


def _update(run, stream, micro_batches, sums):
    """One optimiser step over some micro-batches, each weighted by its share of the items."""
    run.model.train()
    run.optimiser.zero_grad()
    n_items, used = sum(map(len, micro_batches)), False
    for indices in micro_batches:
        batch = to_device(next(stream), run.device)
        with torch.autocast("cuda", torch.bfloat16, enabled=run.config.bf16 and on_cuda(run.device)):
            loss, numbers = run.task.loss(run.model, batch)
        if not torch.isfinite(loss):
            _add(sums, {"skipped": 1.0}, 1)
            continue
        (loss * (len(indices) / n_items)).backward()
        _add(sums, {"loss": loss.item(), **numbers}, len(indices))
        used = True
    parameters = [p for group in run.optimiser.param_groups for p in group["params"]]
    norm = clip_grad_norm_(parameters, run.config.clip_norm)
    if used and torch.isfinite(norm):
        run.optimiser.step()


def _add(sums, numbers, weight):
    for name, value in numbers.items():
        total, count = sums.get(name, (0.0, 0))
        sums[name] = (total + value * weight, count + weight)


def _close_epoch(run, progress, last):
    """Turn an epoch's sums into a row of the history, with an evaluation where one is due."""
    sums, epoch = progress["sums"], progress["epoch"] + 1
    skipped, _ = sums.pop("skipped", (0.0, 0))
    if "loss" not in sums:
        raise ValueError(
            f"every loss of epoch {epoch} was NaN or infinite; lower learning_rate "
            f"({run.config.learning_rate}) or look at the images ({run.out})"
        )
    row = {"epoch": epoch, "learning_rate": progress["learning_rate"]}
    row |= {name: total / count for name, (total, count) in sums.items()} | {"skipped": int(skipped)}
    if run.val_set and (last or epoch % run.config.evaluate_every == 0):
        row |= _evaluate(run, progress)
    progress["history"].append(row)
    progress.update(epoch=epoch, step=0, sums={})


def _evaluate(run, progress):
    """Score the validation set, keep the weights if they are the best so far, and count toward early stopping."""
    config, task = run.config, run.task
    numbers = task.summary(evaluated(run.model, run.val_set, task, run.device, config.seed, config.num_workers))
    value = -numbers[task.monitor] if task.maximise else numbers[task.monitor]
    if value < progress["best"] or not (run.out / checkpoint.BEST).exists():
        weights.save(run.model, run.out / checkpoint.BEST, {"task": task.name, **numbers})
        progress["best"] = value if math.isfinite(value) else progress["best"]
    patience = recipe.patience_left(value, progress["reference"], progress["waited"], config.min_delta)
    progress["reference"], progress["waited"] = patience
    progress["stopped"] = config.patience is not None and progress["waited"] >= config.patience
    return {f"val_{name}": number for name, number in numbers.items()}


@contextmanager
def _deferred_interrupt():
    """Ctrl-C and SIGTERM are noted in the list this gives, for the loop to act on between steps; a second one acts."""
    asked = []

    def note(number, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's business
        yield asked
        return
    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
