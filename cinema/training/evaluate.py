"""Trained models on whole data sets and whole cines: tidy tables of masks, volumes and ejection fraction."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from cinema.data.study import load_study
from cinema.data.transforms import crop_to, min_max, pad_end
from cinema.stats.metrics import ef_band, published_ef_percent, volumes_ml
from cinema.terms import LABELS
from cinema.training import landmarks, segmentation
from cinema.training.checkpoint import write_text
from cinema.training.task import evaluated

MAX_FRAMES = 30  # of a cine in `cine_rows`, as published
table = evaluated  # by this name the notebooks know it


def _frames(image, size):
    """Frames of (x, y, z, t) one by one as (1, 1, x, y[, z]) tensors: each scaled to [0, 1], padded at the end."""
    for frame in np.moveaxis(image if len(size) == 3 else image[:, :, 0], -1, 0):
        yield torch.from_numpy(pad_end(min_max(np.asarray(frame, np.float32)), size))[None, None]


@torch.inference_mode()
def segment_volume(model: nn.Module, image: Any, view: str, size: Sequence[int], device: str = "cpu") -> np.ndarray:
    """Label maps of a cine: (x, y, z, t) on the model's spacing -> (x, y, z, t) uint8, terms.LABELS.

    size: extent the model was built for; larger images go through overlapping windows. Long-axis views have z = 1.
    """
    model.eval()
    labels = np.zeros(image.shape, np.uint8)
    for t, frame in enumerate(_frames(image, size)):
        logits = segmentation.predict(model, {view: frame.to(device)}, {view: size})[view]
        found = crop_to(logits[0].argmax(0).cpu().numpy(), image.shape[: len(size)])
        labels[..., t] = found if len(size) == 3 else found[..., None]
    return labels


@torch.inference_mode()
def locate_landmarks(model: nn.Module, image: Any, view: str, size: Sequence[int], device: str = "cpu") -> np.ndarray:
    """Landmarks of a long-axis cine by a heatmap model: (x, y, 1, t) -> (t, 3, 2) pixels; hinge, hinge, apex."""
    model.eval()
    found = [
        landmarks.soft_argmax(landmarks.predict_heatmaps(model, {view: frame.to(device)}, {view: size}))[0]
        for frame in _frames(image, size)
    ]
    return torch.stack(found).cpu().numpy().astype(float)


def cine_rows(model: nn.Module, row: Any, view: str, size: Sequence[int], device: str = "cpu") -> pd.DataFrame:
    """Volumes of every frame (at most MAX_FRAMES) of a study that has reference volumes and no masks.

    Columns study, frame, structure, volume_ml, true_volume_ml; the true one stands in the rows of the frames with the
    largest and the smallest predicted volume, and is missing in all others.
    """
    held = load_study(row.path, [view]).views[view]
    labels = segment_volume(model, held.image[..., :MAX_FRAMES], view, size, device)
    frames = range(labels.shape[3])
    volumes = np.array([volumes_ml(labels[..., t], held.spacing_mm)[LABELS["LV"]] for t in frames])
    order, true = volumes.argsort(kind="stable"), np.full(len(volumes), np.nan)
    true[order[-1]], true[order[0]] = row.lv_edv_ml, row.lv_esv_ml
    about = {"study": row.id, "frame": frames, "view": view, "structure": "LV"}
    return pd.DataFrame(about | {"volume_ml": volumes, "true_volume_ml": true})


def ef_table(rows: pd.DataFrame, structure: str = "LV") -> pd.DataFrame:
    """Ejection fraction per study from a segmentation table: volumes at ED and ES, predicted and true.

    rows: columns study, phase ("ED", "ES"), structure, volume_ml, true_volume_ml, of one view.
    Returns study, edv_ml, esv_ml, ef_percent, the same with prefix true_, and ef_error_percent (absolute).
    Undefined EF counts as 0 and EF is clipped to 0..100, as in the published tables.
    Raises ValueError if a study lacks a phase or has it twice.
    """
    rows = rows[(rows.structure == structure) & rows.phase.isin(["ED", "ES"])]
    counts = rows.groupby("study").phase.agg(lambda phases: "".join(sorted(phases)))
    if (counts != "EDES").any() or counts.empty:
        culprit = "no study" if counts.empty else f"study {counts[counts != 'EDES'].index[0]}"
        raise ValueError(f"{culprit} has exactly one ED and one ES row of {structure}; give one view, both phases")
    wide = rows.pivot(index="study", columns="phase", values=["volume_ml", "true_volume_ml"])
    return _with_ef(wide["volume_ml"].ED, wide["volume_ml"].ES, wide["true_volume_ml"].ED, wide["true_volume_ml"].ES)


def cine_ef_table(rows: pd.DataFrame, structure: str = "LV") -> pd.DataFrame:
    """The same from whole cines: EDV and ESV are the largest and smallest volume over frames."""
    groups = rows[rows.structure == structure].groupby("study")
    predicted, true = groups.volume_ml, groups.true_volume_ml
    return _with_ef(predicted.max(), predicted.min(), true.max(), true.min())


def _with_ef(edv, esv, true_edv, true_esv):
    volumes = pd.DataFrame({"edv_ml": edv, "esv_ml": esv, "true_edv_ml": true_edv, "true_esv_ml": true_esv})
    efs = {"ef_percent": published_ef_percent(edv, esv), "true_ef_percent": published_ef_percent(true_edv, true_esv)}
    error = np.abs(efs["ef_percent"] - efs["true_ef_percent"])
    return volumes.assign(**efs, ef_error_percent=error).reset_index()


def ef_summary(efs: pd.DataFrame) -> dict[str, float]:
    """Numbers of an EF table: MAE and its standard deviation (n - 1), RMSE of EF, EDV, ESV, agreement of EF bands."""
    from sklearn.metrics import accuracy_score, matthews_corrcoef

    names = {"ef_rmse": "ef_percent", "edv_rmse_ml": "edv_ml", "esv_rmse_ml": "esv_ml"}
    rmse = {key: np.sqrt(np.mean((efs[name] - efs[f"true_{name}"]) ** 2)) for key, name in names.items()}
    bands, true_bands = ef_band(efs.ef_percent), ef_band(efs.true_ef_percent)
    agreement = {"band_accuracy": accuracy_score(true_bands, bands), "band_mcc": matthews_corrcoef(true_bands, bands)}
    errors = {"ef_mae": efs.ef_error_percent.mean(), "ef_error_std": efs.ef_error_percent.std(ddof=1)}
    return {key: float(value) for key, value in (errors | rmse | agreement).items()}


def ejection_numbers(rows: pd.DataFrame, cine: bool = False, structures: Sequence[str] = ("LV", "RV")) -> dict:
    """`ef_summary` of each ventricle in one table: lv_ef_mae, rv_ef_mae .. cine: rows are of whole cines."""
    efs, numbers = cine_ef_table if cine else ef_table, {}
    for structure in structures:
        of_one = ef_summary(efs(rows, structure))
        numbers |= {f"{structure.lower()}_{key}": value for key, value in of_one.items()}
    return numbers


def save(folder: Path, rows: pd.DataFrame, summary: dict) -> dict:
    """Write scores.csv (the rows) and summary.json to a folder, and print the numbers; returns the summary.

    summary["numbers"]: {name: number}; what is undefined becomes None, as JSON can hold it.
    """
    numbers = {key: float(value) if np.isfinite(value) else None for key, value in summary["numbers"].items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "scores.csv", rows.to_csv(index=False))
    write_text(folder / "summary.json", json.dumps(summary | {"numbers": numbers}, indent=1) + "\n")
    print("  ".join(f"{key} {value:.4g}" for key, value in numbers.items() if value is not None))
    return summary | {"numbers": numbers}
