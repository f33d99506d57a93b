"""Train a published model on a prepared data set, and score it: `python3 -m cinema finetune TASK NAME`.

Profile paper is the published recipe at full size (cinema.training.published); ci is a few steps of the small models,
to see that everything runs. --dry-run needs no data: it times a step on random images and says how long all would take.
"""

import json
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
from cinema.training import checkpoint, evaluate, published
from cinema.training.classification import class_numbers
from cinema.training.landmarks import LANDMARKS
from cinema.training.loop import fit, in_steps
from cinema.training.recipe import step_groups
from cinema.training.task import private_seeds, to_device

PROFILES = ("ci", "paper")
NEEDED = {"segmentation": "labels", "landmark_heatmap": "landmarks", "landmark_coordinate": "landmarks"}  # of a view
CI_STEPS = 4
N_PRETRAINING_SCORED = 8  # studies; nothing is held out in pretraining
STANDARD = "standard.safetensors"  # beside the weights of a small model: how its images are standardised


@dataclass(frozen=True)
class Plan:
    """What a run is: the table's row, the data it trains and is scored on, and how."""

    setting: published.Setting
    profile: str
    model: str
    like_release: bool
    seed: int
    tables: dict  # split -> rows of prepared.studies
    left_out: int
    z_score: tuple | None

    @property
    def task(self):
        return published.task_of(self.setting, self.z_score)

    def config(self, n_items):
        """TrainConfig; n_items: of the training set."""
        config = published.config(self.setting, self.model, self.like_release, self.seed)
        if self.profile == "paper":
            return config
        config = replace(config, batch_size=2, micro_batch_size=None, drop_remainder=True, patience=None)
        return in_steps(config, n_items, CI_STEPS, 1, CI_STEPS)

    def data(self, table, training=False):
        """StudyFrames of some rows; augmented for training."""
        setting, targets = self.setting, None
        if setting.column:
            values = table[setting.column].tolist()
            targets = class_numbers(values, setting.classes) if setting.classes else values
        augment = published.augmentation(setting, self.like_release) if training else None
        labels = late_enhancement.classes(setting.dataset) if setting.dataset in late_enhancement.ORDER else None
        return StudyFrames(table.path, setting.views, setting.frames, setting.grid, augment, targets, self.seed, labels)


def plan(
    task: str,
    name: str,
    profile: str = "paper",
    data_root: str | Path | None = None,
    model: str = "cinema",
    like_release: bool = False,
    seed: int = 0,
    proportion: float = 1.0,
    max_samples: int = 0,
) -> Plan:
    """The Plan of a run. Raises ValueError for what does not exist, FileNotFoundError if the data is not prepared."""
    setting = checked(task, name, profile, model)
    data_root = Path(data_root or data_folder())
    needed = None if setting.evaluation_only else NEEDED.get(setting.kind)
    studies = prepared.studies(setting.dataset, data_root)
    table, left_out = prepared.usable(studies, setting.views, needed, setting.column, setting.classes)
    tables = {split: rows for split, rows in table.groupby("split")}
    if "train" not in tables and not setting.evaluation_only:  # UK Biobank has no split: all of it is trained on
        tables = {"train": table}
    if "train" in tables:
        tables["train"] = prepared.share(tables["train"], proportion, seed)
    if max_samples:
        tables = {
            split: (prepared.for_training if split == "train" else prepared.for_evaluation)(rows, max_samples)
            for split, rows in tables.items()
        }
    if profile == "ci":
        folder = data_root / "work" / "ci" / "finetune" / f"{setting.dataset}_{'_'.join(setting.views)}"
        tables = {split: prepared.on_grid(rows, setting.grid, folder) for split, rows in tables.items()}
    z_score = setting.z_score if setting.kind == "regression" else None
    if setting.kind == "regression" and not like_release:
        values = tables["train"][setting.column]
        z_score = float(values.mean()), float(values.std())
    return Plan(setting, profile, model, like_release, seed, tables, left_out, z_score)


def checked(task: str, name: str, profile: str, model: str) -> published.Setting:
    """The Setting of a task and a name in a profile; ValueError for anything unknown."""
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    setting = published.setting(task, name)
    published.check_model(setting, model)
    return published.small(setting) if profile == "ci" else setting


def start(plan: Plan, source: str | Path | None = None, data_root: str | Path | None = None) -> Any:
    """The model before training; the seed draws its random weights.

    source: weights to start from, for model "cinema": file, folder or repository. None: the project's own small
    weights in ci; in paper what models.finetuned.source finds. FileNotFoundError naming the remedy if there are none.
    """
    with private_seeds("cpu"):
        torch.manual_seed(plan.seed)
        model = published.build(plan.setting, plan.model, plan.profile)
    if plan.model != "cinema" or plan.setting.kind == "pretraining":
        if source is not None:
            raise ValueError(
                f"--from {source} is for model cinema of a fine-tuning task; {plan.model} of "
                f"{plan.setting.task} starts from random weights"
            )
        return model
    if plan.profile == "ci" and source is None:
        small, standard = shipped_cinema()
        transfer(small.state_dict(), model)
        return standardising(model, standard)
    source = source or finetuned.source(data_root or data_folder())
    if source is None:
        raise FileNotFoundError(
            "no pretrained weights here; give --from FILE, FOLDER or mathpluscode/CineMA, or train with --model scratch"
        )
    transfer(weights.from_pretrained(source).state_dict(), model)
    return model


def run(
    plan: Plan,
    out: str | Path,
    source: str | Path | None = None,
    device: str = "cpu",
    data_root: str | Path | None = None,
) -> dict:
    """Train, score, and write the files of loop.fit, scores.csv and summary.json to `out`; returns the summary."""
    out = Path(out)
    if plan.setting.evaluation_only:
        model, history = finished(source, plan, data_root).to(device), pd.DataFrame()
        out.mkdir(parents=True, exist_ok=True)
    else:
        model, history = trained(plan, out, source, device, data_root)
    split = next((name for name in ("test", "val", "train") if name in plan.tables), next(iter(plan.tables)))
    scores, numbers = scored(plan, model, plan.tables[split], device)
    setting = plan.setting
    summary: dict[str, Any] = {"dataset": setting.dataset, "notice": prepared.notice(setting.dataset)}
    summary |= {"task": setting.task, "name": setting.name, "model": plan.model, "profile": plan.profile}
    summary |= {"like_release": plan.like_release, "seed": plan.seed, "split": split}
    summary |= {"n_studies": int(scores.study.nunique()), "epochs": len(history)}
    summary |= {"seconds_of_training": checkpoint.read_run(out).get("seconds", 0.0)}
    summary |= {"numbers": evaluate.finite(numbers)}
    if plan.like_release:
        summary["differs_from_release"] = list(published.UNREPRODUCED)
    checkpoint.write_text(out / "scores.csv", scores.to_csv(index=False))
    checkpoint.write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    return summary


def trained(plan: Plan, out: Path, source: str | Path | None, device: str, data_root: str | Path | None) -> tuple:
    """(model at its best evaluation, history)."""
    model = start(plan, source, data_root)
    if model._forward_pre_hooks:  # standardised images: whoever loads the weights needs the standard too
        save_standard(shipped_cinema()[1], out / STANDARD)
    train_set = plan.data(plan.tables["train"], training=True)
    val_set = plan.data(plan.tables["val"]) if "val" in plan.tables else None
    config = plan.config(len(train_set))
    if torch.device(device).type == "cuda":
        config = replace(config, num_workers=min(8, os.cpu_count() or 1))
    return model, fit(model, plan.task, train_set, val_set, config, out, device)


def finished(source: str | Path | None, plan: Plan, data_root: str | Path | None) -> Any:
    """A fine-tuned segmentation model to be evaluated: a file, or one of a folder or repository (seed: the plan's)."""
    source = source or finetuned.source(data_root or data_folder())
    if source is None:
        raise FileNotFoundError(
            f"{plan.setting.dataset} is for evaluation only; give --from with the weights of a "
            "segmentation model, such as OUT/best.safetensors of another finetune"
        )
    if not Path(source).is_file():
        return finetuned.load("segmentation", "acdc_sax", source, plan.seed).model
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


def estimate(
    task: str,
    name: str,
    profile: str = "paper",
    data_root: str | Path | None = None,
    model: str = "cinema",
    like_release: bool = False,
    seed: int = 0,
    device: str = "cpu",
) -> list[str]:
    """Lines of text: samples, parameters, steps, seconds of a step on this device, and of all of them.

    Samples are counted where the data set is prepared; elsewhere its card says how many studies there are. ValueError
    for a task, name, profile or model that does not exist.
    """
    setting = checked(task, name, profile, model)
    lines = [f"{setting.task} {setting.name}, model {model}, profile {profile}"]
    if setting.evaluation_only:
        return [*lines, "evaluation only: nothing is trained"]
    try:
        planned = plan(task, name, profile, data_root, model, like_release, seed)
        n_items, counted = len(planned.data(planned.tables["train"])), "of the prepared data"
    except FileNotFoundError:
        planned = Plan(setting, profile, model, like_release, seed, {}, 0, z_score=(0.0, 1.0))
        frames = 1 if setting.frames != "labelled" else 50 if setting.dataset == "rescan" else 2  # of a study
        n_items, counted = card(setting.dataset).counts.get("train", 0) * frames, "by its card; none is prepared"
    if not n_items:
        n_items, counted = planned.config(1).batch_size, "assumed, their number is unknown"
    config, on_cuda = planned.config(n_items), torch.device(device).type == "cuda"
    size, steps = min(config.batch_size, n_items), round(config.epochs * len(step_groups(range(n_items), config)))
    network = published.build(setting, model, profile)
    at_once = min(config.micro_batch_size or size, size) if on_cuda else 1
    seconds = step_seconds(network, planned, at_once, device) * size / at_once
    stopping = "; early stopping may end it sooner" if config.patience else ""
    memory = f"; {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of memory" if on_cuda else ""
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
    on_cuda, optimiser = torch.device(device).type == "cuda", torch.optim.AdamW(model.parameters())
    with private_seeds(device):
        torch.manual_seed(0)
        for _ in range(2):
            start = perf_counter()
            with torch.autocast("cuda", torch.bfloat16, enabled=on_cuda):
                loss, _ = task.loss(model, batch)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            if on_cuda:
                torch.cuda.synchronize()
            taken.append(perf_counter() - start)
    return min(taken)


def command(
    task, name, profile, data_root, like_release, source, model, seed, device, dry_run, out, proportion, max_samples
):
    """The command line. Exit code 0."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if dry_run:
        print("\n".join(estimate(task, name, profile, data_root, model, like_release, seed, device)))
        return 0
    planned = plan(task, name, profile, data_root, model, like_release, seed, proportion, max_samples)
    setting = planned.setting
    folder = data_folder() / "work" / "finetuned" / profile / setting.task / setting.name
    out = Path(out or folder / f"{model}_{seed}{'_like_release' if like_release else ''}")
    print(
        f"{setting.task} {setting.name}: "
        + ", ".join(f"{len(rows)} {split}" for split, rows in planned.tables.items())
        + f" studies; {planned.left_out} left out (no such view, mask, landmark, class or value)"
    )
    summary = run(planned, out, source, device, data_root)
    print("  ".join(f"{key} {value:.4g}" for key, value in summary["numbers"].items() if value is not None))
    print(f"written: {out} ({summary['n_studies']} {summary['split']} studies). {summary['notice']}")
    return 0
