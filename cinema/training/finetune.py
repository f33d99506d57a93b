"""Train a published model on a prepared data set, and score it: `python3 -m cinema finetune TASK NAME`.

Profile paper is the published recipe at full size (cinema.training.published); ci is a few steps of the small models,
to see that everything runs. --dry-run needs no data: it times a step on random images and says how long all would take.
"""

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from torch import nn

from cinema.data import late_enhancement
from cinema.data.loaders import StudyFrames
from cinema.data.public import prepared
from cinema.data.public.cards import card
from cinema.files import data_folder
from cinema.models import finetuned, transfer, weights
from cinema.models.small import n_parameters, shipped_cinema
from cinema.models.standard import load_standard, save_standard, standardising
from cinema.terms import STRUCTURES
from cinema.training import checkpoint, evaluate, published, regression, segmentation
from cinema.training.classification import class_numbers
from cinema.training.landmarks import LANDMARKS
from cinema.training.loop import fit, in_steps
from cinema.training.recipe import step_groups
from cinema.training.task import on_cuda, private_seeds, to_device
from cinema.training.tasks import TASKS

NEEDED = {"labelled": "labels", "channels": "labels", "landmarks": "landmarks"}  # of a view, by what an item is
CI_STEPS = 4
N_PRETRAINING_SCORED = 8  # studies; nothing is held out in pretraining
STANDARD = "standard.safetensors"  # beside the weights of a small model: how its images are standardised


@dataclass(frozen=True)
class Plan:
    """A setting with the data it is trained and scored on.

    tables: split -> rows of prepared.studies; left_out: studies that lack something. z_score: of a regression's target.
    """

    setting: published.Setting
    data_root: Path
    tables: dict
    left_out: int
    z_score: tuple | None

    @property
    def task(self):
        if self.setting.dataset in late_enhancement.ORDER:
            return segmentation.late_enhancement_task(self.setting.dataset)
        return regression.task(*self.z_score) if self.setting.kind == "regression" else TASKS[self.setting.kind]

    def config(self, n_items):
        """TrainConfig; n_items: of the training set."""
        config = published.config(self.setting)
        if self.setting.profile == "paper":
            return config
        config = replace(config, batch_size=2, micro_batch_size=None, drop_remainder=True, patience=None)
        return in_steps(config, n_items, CI_STEPS, 1, CI_STEPS)

    def data(self, table, training=False):
        """StudyFrames of some rows; augmented for training."""
        of = self.setting
        targets = table[of.column].tolist() if of.column else None
        targets = class_numbers(targets, of.classes) if of.classes else targets
        augment = published.augmentation(of) if training else None
        labels = late_enhancement.classes(of.dataset) if of.dataset in late_enhancement.ORDER else None
        return StudyFrames(table.path, of.views, of.frames, of.grid, augment, targets, of.seed, labels)


def plan(
    setting: published.Setting, data_root: str | Path | None = None, proportion: float = 1.0, max_samples: int = 0
) -> Plan:
    """The Plan of a run. FileNotFoundError if the data is not prepared, ValueError if nothing of it can be used."""
    data_root, needed = Path(data_root or data_folder()), NEEDED.get(setting.frames)
    studies = prepared.studies(setting.dataset, data_root)
    table, left_out = prepared.usable(studies, setting.views, needed, setting.column, setting.classes)
    tables = {split: rows for split, rows in table.groupby("split")}
    if "train" not in tables and not setting.evaluation_only:  # UK Biobank has no split: all of it is trained on
        tables = {"train": table}
    if "train" in tables:
        tables["train"] = prepared.share(tables["train"], proportion, setting.seed)
    if max_samples:
        for split, rows in tables.items():
            fewer = prepared.for_training if split == "train" else prepared.for_evaluation
            tables[split] = fewer(rows, max_samples)
    if setting.profile == "ci":
        folder = data_root / "work" / "ci" / "finetune" / f"{setting.dataset}_{'_'.join(setting.views)}"
        tables = {split: prepared.on_grid(rows, setting.grid, folder) for split, rows in tables.items()}
    z_score = setting.z_score
    if setting.kind == "regression" and not setting.like_release:
        values = tables["train"][setting.column]
        z_score = float(values.mean()), float(values.std())
    return Plan(setting, data_root, tables, left_out, z_score)


def start(plan: Plan, source: str | Path | None = None) -> Any:
    """The model before training; the seed draws its random weights.

    source: weights to start from, for model "cinema": file, folder or repository. None: the project's own small
    weights in ci; in paper what models.finetuned.source finds. FileNotFoundError naming the remedy if there are none.
    """
    setting = plan.setting
    with private_seeds("cpu"):
        torch.manual_seed(setting.seed)
        model = published.build(setting)
    if setting.model != "cinema" or setting.kind == "pretraining":
        if source is not None:
            raise ValueError(
                f"--from {source} is for model cinema of a fine-tuning task; {setting.model} of "
                f"{setting.task} starts from random weights"
            )
        return model
    if setting.profile == "ci" and source is None:
        small, standard = shipped_cinema()
        transfer(small.state_dict(), model)
        return standardising(model, standard)
    remedy = (
        "no pretrained weights here; give --from FILE, FOLDER or mathpluscode/CineMA, or train with --model scratch"
    )
    transfer(weights.from_pretrained(_found(source, plan, remedy)).state_dict(), model)
    return model


def _found(source, plan, remedy):
    """`source`, else where weights are; FileNotFoundError if they are nowhere."""
    source = source or finetuned.source(plan.data_root)
    if source is None:
        raise FileNotFoundError(remedy)
    return source


def run(plan: Plan, out: str | Path, source: str | Path | None = None, device: str = "cpu") -> dict:
    """Train, score, and write the files of loop.fit, scores.csv and summary.json to `out`; returns the summary."""
    out, setting = Path(out), plan.setting
    if setting.evaluation_only:
        model, history = finished(plan, source).to(device), pd.DataFrame()
    else:
        model = start(plan, source)
        train_set = plan.data(plan.tables["train"], training=True)
        val_set = plan.data(plan.tables["val"]) if "val" in plan.tables else None
        config = plan.config(len(train_set))
        config = replace(config, num_workers=min(8, os.cpu_count() or 1)) if on_cuda(device) else config
        history = fit(model, plan.task, train_set, val_set, config, out, device)
        if hasattr(model, "standard"):  # whoever loads the weights needs it too
            save_standard(model.standard, out / STANDARD)
    split = next((name for name in ("test", "val", "train") if name in plan.tables), next(iter(plan.tables)))
    scores, numbers = scored(plan, model, plan.tables[split], device)
    summary: dict[str, Any] = {"dataset": setting.dataset, "notice": prepared.notice(setting.dataset)}
    summary |= {key: getattr(setting, key) for key in ("task", "name", "model", "profile", "like_release", "seed")}
    summary |= {"split": split, "n_studies": int(scores.study.nunique()), "epochs": len(history)}
    summary |= {"seconds_of_training": checkpoint.read_run(out).get("seconds", 0.0), "numbers": numbers}
    if setting.like_release:
        summary["differs_from_release"] = list(published.UNREPRODUCED)
    return evaluate.save(out, scores, summary)


def finished(plan: Plan, source: str | Path | None) -> Any:
    """A fine-tuned segmentation model to be evaluated: a file, or one of a folder or repository (seed: the plan's)."""
    remedy = (
        f"{plan.setting.dataset} is for evaluation only; give --from with the weights of a "
        "segmentation model, such as OUT/best.safetensors of another finetune"
    )
    source = _found(source, plan, remedy)
    if not Path(source).is_file():
        return finetuned.load("segmentation", "acdc_sax", source, plan.setting.seed).model
    model, standard = weights.from_file(source), Path(source).with_name(STANDARD)
    return standardising(model, load_standard(standard)) if standard.exists() else model


def scored(plan: Plan, model: nn.Module, table: pd.DataFrame, device: str) -> tuple:
    """(tidy rows, numbers) of some studies."""
    setting = plan.setting
    if setting.evaluation_only:
        ((view, (size, _)),) = setting.grid.items()
        size = getattr(model, "arguments", {}).get("image_size_dict", {}).get(view, size)
        cines = [evaluate.cine_rows(model, row, view, size, device) for _, row in table.iterrows()]
        rows = pd.concat(cines, ignore_index=True)
        return rows, evaluate.ejection_numbers(rows, cine=True, structures=("LV",))
    if setting.kind == "pretraining":
        table = table[:N_PRETRAINING_SCORED]
    rows = evaluate.table(model, plan.data(table), plan.task, device)
    numbers = plan.task.summary(rows)
    if setting.kind == "segmentation" and setting.views == ("sax",) and setting.outputs == len(STRUCTURES) + 1:
        numbers |= evaluate.ejection_numbers(rows, cine=setting.dataset == "rescan")
    if setting.classes:
        rows["true_class"] = [setting.classes[k] for k in rows.true]
        rows["predicted_class"] = [setting.classes[k] for k in rows.predicted]
    return rows, numbers


def estimate(setting: published.Setting, data_root: str | Path | None = None, device: str = "cpu") -> list[str]:
    """Lines of text: samples, parameters, steps, seconds of a step on this device, and of all of them.

    Samples are counted where the data set is prepared; elsewhere its card says how many studies there are.
    """
    lines = [f"{setting.task} {setting.name}, model {setting.model}, profile {setting.profile}"]
    if setting.evaluation_only:
        return [*lines, "evaluation only: nothing is trained"]
    try:
        planned = plan(setting, data_root)
        n_items, counted = len(planned.data(planned.tables["train"])), "of the prepared data"
    except FileNotFoundError:
        planned = Plan(setting, Path(), {}, 0, z_score=(0.0, 1.0))
        frames = 1 if setting.frames != "labelled" else 50 if setting.dataset == "rescan" else 2  # of a study
        n_items, counted = card(setting.dataset).counts.get("train", 0) * frames, "by its card; none is prepared"
    if not n_items:
        n_items, counted = planned.config(1).batch_size, "assumed, their number is unknown"
    config, network = planned.config(n_items), published.build(setting)
    size, steps = min(config.batch_size, n_items), round(config.epochs * len(step_groups(range(n_items), config)))
    at_once = min(config.micro_batch_size or size, size) if on_cuda(device) else 1
    seconds = step_seconds(network, planned, at_once, device) * size / at_once
    stopping = "; early stopping may end it sooner" if config.patience else ""
    memory = f"; {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of memory" if on_cuda(device) else ""
    return [
        *lines,
        f"samples: {n_items} an epoch ({counted})",
        f"parameters: {n_parameters(network) / 1e6:.1f} million to be trained",
        f"training: {config.epochs:g} epochs = {steps} steps of {size} samples{stopping}",
        f"time on {device}: {seconds:.3g} s a step (measured on {at_once} of its samples), "
        f"{timedelta(seconds=round(steps * seconds))} in all{memory}",
    ]


def step_seconds(model: nn.Module, plan: Plan, n: int, device: str) -> float:
    """Seconds of a training step on n random images, all targets zero, the faster of two; precision as in loop.fit."""
    shapes = {view: plan.setting.grid[view][0] for view in plan.setting.views}
    batch = {
        "image": {view: torch.rand(n, plan.setting.channels, *shape) for view, shape in shapes.items()},
        "label": {view: torch.zeros(n, *shape, dtype=torch.int64) for view, shape in shapes.items()},
        "points": {view: torch.zeros(n, len(LANDMARKS), 2) for view in shapes},
        "target": torch.zeros(n, dtype=torch.int64),
    }
    model, batch, task, taken = model.to(device).train(), to_device(batch, device), plan.task, []
    optimiser = torch.optim.AdamW(model.parameters())
    with private_seeds(device):
        torch.manual_seed(0)
        for _ in range(2):
            start = perf_counter()
            with torch.autocast("cuda", torch.bfloat16, enabled=on_cuda(device)):
                loss, _ = task.loss(model, batch)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            if on_cuda(device):
                torch.cuda.synchronize()
            taken.append(perf_counter() - start)
    return min(taken)


def command(
    task, name, profile, data_root, like_release, source, model, seed, device, dry_run, out, proportion, max_samples
):
    """The command line. Exit code 0."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    setting = published.setting(task, name, profile, model, like_release, seed)
    if dry_run:
        print("\n".join(estimate(setting, data_root, device)))
        return 0
    planned = plan(setting, data_root, proportion, max_samples)
    folder = data_folder() / "work" / "finetuned" / profile / setting.task / setting.name
    out = Path(out or folder / f"{model}_{seed}{'_like_release' if like_release else ''}")
    counts = ", ".join(f"{len(rows)} {split}" for split, rows in planned.tables.items())
    lacking = f"{planned.left_out} left out (no such view, mask, landmark, class or value)"
    print(f"{setting.task} {setting.name}: {counts} studies; {lacking}")
    summary = run(planned, out, source, device)
    print(f"written: {out} ({summary['n_studies']} {summary['split']} studies). {summary['notice']}")
    return 0
