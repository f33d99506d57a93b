"""nnU-Net on a prepared data set, as the baseline of the journal version: `python3 -m cinema nnunet ACTION NAME`.

export      images and masks in nnU-Net's raw format, ED and ES as cases of their own, our split as its only fold
train       nnU-Net plans, preprocesses and trains, by its own commands
predict     its masks of the test cases
scores      those masks in the rows of cinema.training.evaluate: scores.csv and summary.json
all         one after the other

Only train and predict need nnU-Net (the extra `nnunet`). Everything lies in one folder: raw, preprocessed, results,
predictions. Source of the format: nnU-Net's documentation, dataset_format.md, version 2.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import torch

from cinema.data import late_enhancement
from cinema.data.labels import translated
from cinema.data.nifti import write_nifti
from cinema.data.public import prepared
from cinema.data.study import load_study
from cinema.files import ROOT, data_folder, digest
from cinema.stats.metrics import segmentation_rows
from cinema.terms import LABELS, SMALL_GRID
from cinema.training import evaluate, segmentation
from cinema.training.checkpoint import write_text
from cinema.training.segmentation import late_enhancement_task

NUMBERS = {"acdc": 501, "mnms": 502, "mnms2": 503, "rescan": 504, "emidec": 505, "myops": 506}
LAX_NUMBER = 10  # added for a long-axis view
CHANNELS = {"emidec": ("LGE",), "myops": ("bSSFP", "LGE", "T2")}  # elsewhere one, cine
CHECKPOINT = "fold_0/checkpoint_final.pth"  # of a trained model
MADE_FROM = "made_from.txt"  # hash of what a trained model or predictions were made from
CASES = "cases.csv"  # case, study, frame, phase, split, path: what a case of nnU-Net is of ours
TRAINERS = Path(__file__).parent / "nnunet_trainers"
TOY = "nnUNetTrainer_toy"
PROFILES = {"ci": TOY, "paper": "nnUNetTrainer"}  # trainers: two epochs of ten steps, a thousand of 250
SUFFIX = ".nii.gz"


def dataset_name(name: str, view: str = "sax") -> str:
    """nnU-Net's name of a data set, such as Dataset501_acdc; ValueError if it has no masks."""
    if name not in NUMBERS:
        raise ValueError(f"{name} has no masks to train nnU-Net on; choose one of {', '.join(NUMBERS)}")
    return f"Dataset{NUMBERS[name]}_{name}" if view == "sax" else f"Dataset{NUMBERS[name] + LAX_NUMBER}_{name}_{view}"


def export(name: str, out: str | Path, table: pd.DataFrame, view: str = "sax") -> Path:
    """Write out/raw/<dataset>: imagesTr, labelsTr, imagesTs, labelsTs, dataset.json, splits_final.json, cases.csv.

    table: rows of prepared.studies with masks in `view`. Validation cases are among nnU-Net's training cases, and
    splits_final.json tells which; without any, training cases validate. Returns the folder of the data set.
    """
    folder = Path(out) / "raw" / dataset_name(name, view)
    if folder.exists():
        shutil.rmtree(folder)
    for part in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (folder / part).mkdir(parents=True)
    cases = [case for row in table.itertuples() for case in _write_cases(folder, row, name, view)]
    ids = {split: [case["case"] for case in cases if case["split"] == split] for split in ("train", "val")}
    if not ids["train"]:
        raise ValueError(f"{name} has no training studies with masks in {view}; nnU-Net has nothing to learn from")
    labels = {label: number for number, label in enumerate(late_enhancement.ORDER.get(name, LABELS))}
    channels = {str(k): channel for k, channel in enumerate(CHANNELS.get(name, ("cine",)))}
    description = {"channel_names": channels, "labels": labels}
    description |= {"numTraining": len(ids["train"] + ids["val"]), "file_ending": SUFFIX}
    description |= {"name": name, "description": prepared.notice(name)}
    write_text(folder / "dataset.json", json.dumps(description, indent=1))
    split = {"train": ids["train"], "val": ids["val"] or ids["train"]}
    write_text(folder / "splits_final.json", json.dumps([split], indent=1))
    write_text(folder / CASES, pd.DataFrame(cases).to_csv(index=False))
    return folder


def _write_cases(folder, row, name, view):
    """The cases of one study, written: one per labelled frame, or one of all sequences."""
    study = load_study(row.path, [view])
    held, part = study.views[view], "Ts" if row.split == "test" else "Tr"
    # nnU-Net wants class numbers without gaps
    late = name in late_enhancement.ORDER
    classes = late_enhancement.classes(name) if late else {number: number for number in LABELS.values()}
    for frame in held.label_frames:
        case = f"{study.id}_{frame:02d}"
        channels = range(held.n_frames) if len(CHANNELS.get(name, "1")) > 1 else [frame]
        for k, t in enumerate(channels):
            path = folder / f"images{part}" / f"{case}_{k:04d}{SUFFIX}"
            write_nifti(np.asarray(held.image[..., t]), held.affine, path)
        numbers = translated(held.label_at(frame), classes, study.id)
        write_nifti(numbers, held.affine, folder / f"labels{part}" / f"{case}{SUFFIX}")
        phase = "ED" if frame == study.ed_frame else "ES" if frame == study.es_frame else ""
        about = {"case": case, "study": study.id, "frame": frame, "phase": phase}
        yield about | {"split": row.split or "train", "path": str(row.path)}


def environment(out: str | Path) -> dict[str, str]:
    """Environment for nnU-Net's commands: its folders are ours, its extra processes few."""
    folders = {f"nnUNet_{name}": Path(out).resolve() / name for name in ("raw", "preprocessed", "results")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    result = os.environ | {key: str(folder) for key, folder in folders.items()}
    result |= {"nnUNet_extTrainer": str(TRAINERS), "PYTHONPATH": paths}
    if not torch.cuda.is_available():
        result |= {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1", "nnUNet_compile": "f"}
    return result


def train(
    name: str, out: str | Path, view: str = "sax", configuration: str = "2d", trainer: str = TOY, device: str = "cpu"
) -> Path:
    """Plan, preprocess and train an exported data set; returns nnU-Net's folder of the trained model."""
    dataset, folder = _exported(name, out, view)
    number = dataset[7:10]
    preprocessed = Path(out) / "preprocessed" / dataset
    alone = "-np 1 -npfp 1 --verify_dataset_integrity --clean".split()
    _call(out, "nnUNetv2_plan_and_preprocess", "-d", number, "-c", configuration, *alone)
    shutil.copy(folder / "splits_final.json", preprocessed / "splits_final.json")
    model = Path(out) / "results" / dataset / f"{trainer}__nnUNetPlans__{configuration}"
    (model / MADE_FROM).unlink(missing_ok=True)
    _call(out, "nnUNetv2_train", number, configuration, "0", "-tr", trainer, "-device", device)
    write_text(model / MADE_FROM, _content(folder))
    return model


def predict(
    name: str, out: str | Path, view: str = "sax", configuration: str = "2d", trainer: str = TOY, device: str = "cpu"
) -> Path:
    """Masks of the test cases in out/predictions; returns that folder."""
    dataset, folder = _exported(name, out, view)
    model = Path(out) / "results" / dataset / f"{trainer}__nnUNetPlans__{configuration}"
    if not all((model / path).is_file() for path in (MADE_FROM, CHECKPOINT)):
        raise FileNotFoundError(f"{model} holds no finished training; python3 -m cinema nnunet train {name} first")
    if (model / MADE_FROM).read_text(encoding="utf-8") != _content(folder):
        raise ValueError(f"{model} was trained on another export; python3 -m cinema nnunet train {name} again")
    target = Path(out) / "predictions" / dataset
    shutil.rmtree(target, ignore_errors=True)
    places = ("-i", folder / "imagesTs", "-o", target, "-d", dataset[7:10], "-c", configuration, "-f", "0")
    alone = "-npp 1 -nps 1 --disable_progress_bar".split()
    _call(out, "nnUNetv2_predict", *places, "-tr", trainer, "-device", device, *alone)
    write_text(target / MADE_FROM, _origin(folder, model / CHECKPOINT))
    return target


def scores(name: str, out: str | Path, view: str = "sax") -> tuple[pd.DataFrame, dict]:
    """(rows as evaluate.table, numbers) of the predicted test cases.

    FileNotFoundError if one is missing, ValueError if one is on another grid or there are none.
    """
    dataset, folder = _exported(name, out, view)
    predictions, rows, late = Path(out) / "predictions" / dataset, [], name in late_enhancement.ORDER
    scored: Any = partial(late_enhancement.region_rows, dataset=name) if late else segmentation_rows
    cases, mark = pd.read_csv(folder / CASES, keep_default_na=False), predictions / MADE_FROM
    if predictions.is_dir():
        origin = mark.read_text(encoding="utf-8") if mark.is_file() else ""
        model = Path(out) / origin.split("\n")[0]
        if not model.is_file() or origin != _origin(folder, model):
            again = f"python3 -m cinema nnunet predict {name} again"
            raise ValueError(f"{predictions} were predicted from another export or training; {again}")
    for case in cases[cases.split == "test"].itertuples():
        path = predictions / f"{case.case}{SUFFIX}"
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; python3 -m cinema nnunet predict {name} first")
        masks: Any = [nib.load(file) for file in (path, folder / "labelsTs" / path.name)]
        predicted, true = (np.asarray(mask.dataobj).astype(np.uint8) for mask in masks)
        if predicted.shape != true.shape:
            raise ValueError(f"{path} has shape {predicted.shape}, its reference {true.shape}; predict again")
        spacing = np.asarray(masks[0].header.get_zooms()[:3], float)
        if view != "sax":  # a plane
            predicted, true, spacing = predicted[..., 0], true[..., 0], spacing[:2]
        about = {"study": case.study, "frame": case.frame, "phase": case.phase, "view": view}
        rows += [about | part for part in scored(predicted, true, spacing)]
    if not rows:
        raise ValueError(f"{name} has no test studies with masks; nothing can be scored")
    rows = pd.DataFrame(rows)
    numbers = (late_enhancement_task(name) if late else segmentation.TASK).summary(rows)
    if view == "sax" and not late:
        numbers |= evaluate.ejection_numbers(rows, name == "rescan")
    return rows, numbers


def _exported(name, out, view):
    dataset = dataset_name(name, view)
    folder = Path(out) / "raw" / dataset
    if not (folder / "dataset.json").is_file():
        raise FileNotFoundError(f"{folder} is not there; python3 -m cinema nnunet export {name} first")
    return dataset, folder


def _content(folder):
    """Hash of an exported data set."""
    return digest(path for path in sorted(folder.rglob("*")) if path.is_file())


def _origin(folder, checkpoint):
    """What predictions are made from: the trained model, relative to the folder of all, its hash and the export's."""
    return f"{checkpoint.relative_to(folder.parents[1])}\n{digest([checkpoint])}\n{_content(folder)}\n"


def is_installed() -> bool:
    return importlib.util.find_spec("nnunetv2") is not None


def _call(out, program, *arguments):
    """Run one of nnU-Net's commands; its output goes to out/nnunet.log. OSError with the last line if it fails."""
    if not is_installed():
        raise ModuleNotFoundError('no nnU-Net: pip install -c constraints.txt -e ".[nnunet]"')
    command = [sys.executable, "-m", "cinema.training.launch", str(os.getpid()), program, *map(str, arguments)]
    log = Path(out) / "nnunet.log"
    with open(log, "a", encoding="utf-8") as stream:
        print(f"\n{program} {' '.join(map(str, arguments))}", file=stream, flush=True)
        code = subprocess.call(command, env=environment(out), stdout=stream, stderr=stream)
    if code:
        last = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()][-1]
        raise OSError(f"{program} ended with code {code}: {last.strip()}; see {log}")


def command(action, name, profile, data_root, view, configuration, device, out):
    """The command line. Exit code 0."""
    actions = ("export", "train", "predict", "scores")
    if action not in (*actions, "all"):
        raise ValueError(f"unknown action {action!r}; choose one of {', '.join(actions)}, all")
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    data_root = Path(data_root or data_folder())
    out = Path(out or data_folder() / "work" / "nnunet" / profile)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    how = {"view": view, "configuration": configuration, "trainer": PROFILES[profile], "device": device}
    for step in actions if action == "all" else (action,):
        if step == "export":
            table, _ = prepared.usable(prepared.studies(name, data_root), (view,), "labels")
            if profile == "ci":
                work = data_root / "work" / "ci" / f"nnunet_{name}_{view}"
                table = prepared.on_grid(table, {view: SMALL_GRID[view]}, work)
            print(f"written: {export(name, out, table, view)}")
        elif step in ("train", "predict"):
            print(f"written: {(train if step == 'train' else predict)(name, out, **how)}")
        else:
            write_scores(name, out, view)
    return 0


def write_scores(name: str, out: str | Path, view: str = "sax") -> None:
    """`scores` to out/scores/<dataset>: scores.csv and summary.json."""
    rows, numbers = scores(name, out, view)
    folder = Path(out) / "scores" / dataset_name(name, view)
    about = {"dataset": name, "notice": prepared.notice(name), "task": "segmentation", "model": "nnunet"}
    counts = {"view": view, "split": "test", "n_studies": int(rows.study.nunique())}
    evaluate.save(folder, rows, {**about, **counts, "numbers": numbers})
    print(f"written: {folder}. {about['notice']}")
