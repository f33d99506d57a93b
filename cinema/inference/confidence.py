"""How far the LVEF of one study may be off: an expected error in points, and what makes it large.

Signs that cost nothing at reading time are weighed as `experiment confidence` found it on virtual hearts whose truth is
known (CALIBRATION); no patient took part in that.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinema.files import WEIGHTS
from cinema.terms import LABELS

CALIBRATION = WEIGHTS / "confidence.csv"  # rows sign, points (of LVEF error for each unit of it), usual (its median)
REASONS = {
    "doubt": "the network is unsure which part is left ventricle",
    "moved": "pieces that look like a left ventricle were set aside",
    "jumps": "the cavity's size jumps from slice to slice",
    "leaning": "the network is unsure how far the ventricle contracts",
    "strokes": "the two ventricles' stroke volumes do not agree",
}
LEAST_ML = 5.0  # stroke volumes below are taken for this

Signs = dict[str, NDArray]  # sign -> one number a frame


def frame_signs(found: NDArray, tidied: NDArray, chance: NDArray) -> Signs:
    """Signs of each frame (t,), from (x, y, z, t) labels before and after the rules and the network's chance of LV.

    `likely` and `drawn` are the LV's voxels by chance and by label. As shares of the drawn ones: `doubt`, what chance
    and labels do not agree on; `moved`, what the rules took or gave. `jumps`: mean second difference of the area from
    slice to slice, as a share of it.
    """
    lv = tidied == LABELS["LV"]
    area = lv.sum(axis=(0, 1))
    total = np.maximum(area.sum(axis=0), 1)
    jumps = np.zeros(len(total))
    for t, of_slices in enumerate(area.T):
        there = np.flatnonzero(of_slices)
        if len(there) > 2:
            bends = np.abs(np.diff(of_slices[there[0] : there[-1] + 1], 2))
            jumps[t] = bends.mean() / of_slices[there].mean()
    summed = {"likely": chance, "doubt": np.abs(chance - lv), "moved": (found == LABELS["LV"]) ^ lv}
    voxels = {name: values.sum(axis=(0, 1, 2), dtype=float) for name, values in summed.items()}
    shares = {name: voxels[name] / total for name in ("doubt", "moved")}
    return shares | {"jumps": jumps, "likely": np.maximum(voxels["likely"], 1), "drawn": total}


def signs_of(frames: Signs, metrics: Mapping[str, Any]) -> dict[str, float] | None:
    """The signs of a study: the worse of ED and ES for doubt, moved and jumps; `leaning`, by how much EF would differ
    if voxels counted by chance, as a fraction; `strokes`, the absolute log ratio of the two stroke volumes.
    None where a phase or a volume is missing."""
    if not frames or any(metrics[name] is None for name in ("ed_frame", "es_frame", "LVEF", "RVEF")):
        return None
    ed, es = metrics["ed_frame"], metrics["es_frame"]
    likely, drawn = (frames[name][es] / frames[name][ed] for name in ("likely", "drawn"))
    lv, rv = (max(metrics[f"{side}EDV"] - metrics[f"{side}ESV"], LEAST_ML) for side in ("LV", "RV"))
    worse = {name: float(max(frames[name][ed], frames[name][es])) for name in ("doubt", "moved", "jumps")}
    return worse | {"leaning": float(abs(likely - drawn)), "strokes": float(abs(np.log(lv / rv)))}


def expected_error(signs: Mapping[str, float], calibration: Mapping[str, tuple[float, float]]) -> float:
    """Expected absolute error of LVEF in points: a weighted sum of the signs, from which each is as bad as it adds."""
    return calibration["none"][0] + sum(calibration[name][0] * value for name, value in signs.items())


def confidence(signs: Mapping[str, float] | None, path: Path = CALIBRATION) -> dict[str, Any] | None:
    """What metrics.json says under `confidence`: expected_LVEF_error (points), low (whether that is among the worst
    tenth of the virtual hearts), reason (the sign that exceeds its usual value by most points), signs. None where the
    study gives no signs or there is no calibration."""
    if signs is None or not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        calibration = {row["sign"]: (float(row["points"]), float(row["usual"])) for row in csv.DictReader(file)}
    error = expected_error(signs, calibration)
    excess = {name: calibration[name][0] * (value - calibration[name][1]) for name, value in signs.items()}
    reason = REASONS[max(excess, key=excess.__getitem__)]
    return {"expected_LVEF_error": error, "low": error > calibration["low"][0], "reason": reason, "signs": dict(signs)}


def sentence(found: Mapping[str, Any]) -> str:
    """The result of `confidence` in words."""
    points = f"LVEF may well be off by {found['expected_LVEF_error']:.0f} points"
    if not found["low"]:
        return f"{points}, as is usual for these readers in virtual hearts."
    return f"Low confidence: {points}, since {found['reason']}. Look at the outlines before using any number."
