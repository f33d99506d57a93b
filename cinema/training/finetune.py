"""Train a published model on a prepared data set, and score it: `python3 -m cinema finetune TASK NAME`.

Profile paper is the published recipe at full size (cinema.training.published); ci is a few steps of the small models, to see that
everything runs. --dry-run says how long a run would take, and needs no data.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cinema.data import late_enhancement
from cinema.data.loaders import StudyFrames
from cinema.data.public import prepared
from cinema.files import data_folder
from cinema.models import finetuned, transfer, weights
from cinema.models.small import shipped_cinema
from cinema.models.standard import load_standard, save_standard, standardising
from cinema.terms import STRUCTURES
from cinema.training import checkpoint, evaluate, published
from cinema.training.classification import class_numbers
from cinema.training.loop import fit, in_steps
from cinema.training.task import private_seeds

PROFILES = ("ci", "paper")
CI_STEPS = 4
MAX_FRAMES = 30  # of a cine, in evaluation, as published
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
    task,
    name,
    profile="paper",
    data_root=None,
    model="cinema",
    like_release=False,
    seed=0,
    proportion=1.0,
    max_samples=0,
):
    """The Plan of a run. Raises ValueError for what does not exist, FileNotFoundError if the data is not prepared."""
    setting = checked(task, name, profile, model)
    data_root = Path(data_root or data_folder())
    table, left_out = prepared.usable(
        prepared.studies(setting.dataset, data_root), setting.views, needed(setting), setting.column, setting.classes
    )
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
    return Plan(setting, profile, model, like_release, seed, tables, left_out, z_score(setting, tables, like_release))


def checked(task, name, profile, model):
    """The Setting of a task and a name in a profile; ValueError for anything unknown."""
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    setting = published.setting(task, name)
    published.check_model(setting, model)
    return published.small(setting) if profile == "ci" else setting


def needed(setting):
    """What a view of a study must hold beside its image: "labels", "landmarks" or nothing."""
    if setting.evaluation_only or setting.kind not in ("segmentation", "landmark_heatmap", "landmark_coordinate"):
        return None
    return "labels" if setting.kind == "segmentation" else "landmarks"


def z_score(setting, tables, like_release):
    """Mean and standard deviation of a regression's target: of the training studies, or the published constants."""
    if setting.kind != "regression":
        return None
    if like_release:
        return setting.z_score
    values = tables["train"][setting.column]
    return float(values.mean()), float(values.std())


def start(plan, source=None, data_root=None):
    """The model before training; the seed draws its random weights.

    source: weights to start from, for model "cinema": file, folder or repository. None: the project's own small
    weights in ci; in paper what tasks.published.source finds. FileNotFoundError naming the remedy if there are none.
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


def run(plan, out, source=None, device="cpu", data_root=None):
    """Train, score, and write the files of train.fit, scores.csv and summary.json to `out`; returns the summary."""
    out = Path(out)
    if plan.setting.evaluation_only:
        model, history = finished(source, plan, data_root).to(device), pd.DataFrame()
        out.mkdir(parents=True, exist_ok=True)
    else:
        model, history = trained(plan, out, source, device, data_root)
    split = next((name for name in ("test", "val", "train") if name in plan.tables), next(iter(plan.tables)))
    scores, numbers = scored(plan, model, plan.tables[split], device)
    summary = {
        "dataset": plan.setting.dataset,
        "notice": prepared.notice(plan.setting.dataset),
        "task": plan.setting.task,
        "name": plan.setting.name,
        "model": plan.model,
        "profile": plan.profile,
        "like_release": plan.like_release,
        "seed": plan.seed,
        "split": split,
        "n_studies": int(scores.study.nunique()),
        "epochs": len(history),
        "seconds_of_training": checkpoint.read_run(out).get("seconds", 0.0),
        "numbers": evaluate.finite(numbers),
    }
    if plan.like_release:
        summary["differs_from_release"] = list(published.UNREPRODUCED)
    checkpoint.write_text(out / "scores.csv", scores.to_csv(index=False))
    checkpoint.write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    return summary


def trained(plan, out, source, device, data_root):
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


def finished(source, plan, data_root):
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


def scored(plan, model, table, device):
    """(tidy rows, numbers) of some studies."""
    setting = plan.setting
    if setting.evaluation_only:
        rows = pd.concat([cine_rows(model, row, setting, device) for _, row in table.iterrows()], ignore_index=True)
        return rows, evaluate.ejection_numbers(rows, cine=True, structures=("LV",))
    if setting.kind == "pretraining":
        table = table[:N_PRETRAINING_SCORED]
    rows = evaluate.table(model, plan.data(table), plan.task, device)
    numbers = plan.task.summary(rows)
    if setting.kind == "segmentation":
        numbers |= ejection_numbers(rows, setting)
    if setting.classes:
        rows["true_class"] = [setting.classes[k] for k in rows.true]
        rows["predicted_class"] = [setting.classes[k] for k in rows.predicted]
    return rows, numbers


def ejection_numbers(rows, setting):
    """Ejection fraction of both ventricles where ED and ES, or whole cines, of the short axis were segmented."""
    if setting.views != ("sax",) or setting.outputs != len(STRUCTURES) + 1:
        return {}
    return evaluate.ejection_numbers(rows, cine=setting.dataset == "rescan")


def cine_rows(model, row, setting, device):
    """Volumes of every frame (at most MAX_FRAMES) of a study that has reference volumes and no masks.

    Columns study, frame, structure, volume_ml, true_volume_ml; the true one stands in the rows of the frames with the
    largest and the smallest predicted volume, and is missing in all others.
    """
    from cinema.data.study import load_study
    from cinema.stats.metrics import volumes_ml

    (view,) = setting.views
    held = load_study(row.path, [view]).views[view]
    size = getattr(model, "arguments", {}).get("image_size_dict", {}).get(view, setting.grid[view][0])
    labels = evaluate.segment_volume(model, held.image[..., :MAX_FRAMES], view, size, device)
    volumes = np.array(
        [volumes_ml(labels[..., t], held.spacing_mm)[STRUCTURES.index("LV") + 1] for t in range(labels.shape[3])]
    )
    order, true = volumes.argsort(kind="stable"), np.full(len(volumes), np.nan)
    true[order[-1]], true[order[0]] = row.lv_edv_ml, row.lv_esv_ml
    return pd.DataFrame(
        {
            "study": row.id,
            "frame": range(len(volumes)),
            "view": view,
            "structure": "LV",
            "volume_ml": volumes,
            "true_volume_ml": true,
        }
    )


def command(
    task, name, profile, data_root, like_release, source, model, seed, device, dry_run, out, proportion, max_samples
):
    """The command line. Exit code 0."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if dry_run:
        from cinema.training.dry_run import estimate

        print("\n".join(estimate(task, name, profile, data_root, model, like_release, seed, device)))
        return 0
    planned = plan(task, name, profile, data_root, model, like_release, seed, proportion, max_samples)
    setting = planned.setting
    letter = "_like_release" if like_release else ""
    out = Path(
        out or data_folder() / "work" / "finetuned" / profile / setting.task / setting.name / f"{model}_{seed}{letter}"
    )
    print(
        f"{setting.task} {setting.name}: "
        + ", ".join(f"{len(rows)} {split}" for split, rows in planned.tables.items())
        + f" studies; {planned.left_out} left out (no such view, mask, landmark, class or value)"
    )
    summary = run(planned, out, source, device, data_root)
    print("  ".join(f"{key} {value:.4g}" for key, value in summary["numbers"].items() if value is not None))
    print(f"written: {out} ({summary['n_studies']} {summary['split']} studies). {summary['notice']}")
    return 0
