"""Numbers that say how good a prediction is: masks, volumes, ejection fraction, classes, values, landmarks.

Everything takes NumPy arrays and returns plain numbers or arrays. Undefined is NaN, never a made-up 0 or 1,
except where the published tables do otherwise; those functions say so.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from cinema.stats import checks
from cinema.terms import EF_BANDS_PERCENT, LABELS, STRUCTURES

MM3_PER_ML = 1000.0
Numbers = float | np.ndarray

# EMIDEC is scored on merged masks: class number -> label values it takes together.
EMIDEC_REGIONS = {1: (1,), 2: (2, 3, 4), 3: (3, 4), 4: (4,)}


def volume_ml(mask: np.ndarray, spacing_mm: Sequence[float] | np.ndarray) -> float:
    """Volume enclosed by a binary mask, in millilitres.

    mask:       (x, y, z) boolean array; (x, y) gives the same product, which is then no volume.
    spacing_mm: voxel edge lengths in mm, slice gap included, one per axis.
    Raises ValueError if the two disagree on dimension. Source: disc summation, as in ACDC's evaluation.
    """
    mask = np.asarray(mask)
    if mask.ndim != len(spacing_mm):
        raise ValueError(f"mask has {mask.ndim} axes and spacing_mm {len(spacing_mm)} entries; give one per axis")
    return float(np.count_nonzero(mask) * np.prod(spacing_mm) / MM3_PER_ML)


def volumes_ml(labels: np.ndarray, spacing_mm: Sequence[float], n_classes: int = len(LABELS)) -> np.ndarray:
    """Volume of every label value 0 .. n_classes - 1 in a label map, in ml; shape (n_classes,)."""
    return np.array([volume_ml(np.asarray(labels) == k, spacing_mm) for k in range(n_classes)])


def ejection_fraction_percent(edv_ml: Numbers, esv_ml: Numbers) -> Numbers:
    """(EDV - ESV) / EDV * 100. Numbers or arrays; NaN where EDV is 0 or unknown, not clipped.
    Raises ValueError for a negative volume."""
    edv, esv = np.asarray(edv_ml, float), np.asarray(esv_ml, float)
    if np.any(edv < 0) or np.any(esv < 0):
        raise ValueError(f"EDV {edv_ml} ml, ESV {esv_ml} ml: volumes cannot be negative; check the masks and spacing")
    known = edv > 0
    ef = np.where(known, (edv - esv) / np.where(known, edv, 1.0) * 100.0, np.nan)
    return float(ef) if ef.ndim == 0 else ef


def published_ef_percent(edv_ml: Numbers, esv_ml: Numbers) -> Numbers:
    """Ejection fraction as the published tables count it: undefined becomes 0, clipped to 0..100."""
    ef = np.clip(np.nan_to_num(ejection_fraction_percent(edv_ml, esv_ml)), 0.0, 100.0)
    return float(ef) if np.ndim(ef) == 0 else ef


def ef_band(ef_percent: Numbers) -> int | np.ndarray:
    """0 reduced (<= 40 %), 1 mildly reduced (<= 55 %), 2 above. ValueError where one is not known."""
    band = np.digitize(checks.numbers(ef_percent, "ejection fractions"), EF_BANDS_PERCENT, right=True)
    return int(band) if band.ndim == 0 else band


def coefficient_of_variation_percent(first: np.ndarray, second: np.ndarray) -> float:
    """Within-subject coefficient of variation of paired measurements, in percent.
    100 * sqrt(mean(((x - y)^2 / 2) / ((x + y) / 2)^2)). Source: Bland, the root mean square method."""
    x, y = np.asarray(first, float), np.asarray(second, float)
    return float(100.0 * np.sqrt(np.mean(((x - y) ** 2 / 2) / ((x + y) / 2) ** 2)))


def dice(predicted: np.ndarray, true: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|) of two boolean masks; NaN if `true` is empty."""
    predicted, true = _same_shape(predicted, true)
    if not true.any():
        return float("nan")
    return float(2.0 * np.count_nonzero(predicted & true) / (np.count_nonzero(predicted) + np.count_nonzero(true)))


def dice_counting_empty(predicted: np.ndarray, true: np.ndarray) -> float:
    """Dice in which an empty reference counts: 1 if the prediction is empty too, else 0. Source: EMIDEC, MyoPS."""
    predicted, true = _same_shape(predicted, true)
    return dice(predicted, true) if true.any() else float(not predicted.any())


def iou(predicted: np.ndarray, true: np.ndarray) -> float:
    """|A and B| / |A or B| of two boolean masks; NaN if `true` is empty."""
    predicted, true = _same_shape(predicted, true)
    if not true.any():
        return float("nan")
    return float(np.count_nonzero(predicted & true) / np.count_nonzero(predicted | true))


def hd95_mm(predicted: np.ndarray, true: np.ndarray, spacing_mm: Sequence[float] | np.ndarray) -> float:
    """95th percentile Hausdorff distance in mm; NaN if either mask is empty.

    Surface voxels are those a cross-shaped erosion removes, outside the image counting as background.
    Per direction the 95th percentile (linear) of distances to the other surface; the larger of the two.
    """
    predicted, true = _same_shape(predicted, true)
    if not (predicted.any() and true.any()):
        return float("nan")
    box = ndimage.find_objects((predicted | true).astype(np.uint8))[0]  # nothing outside it matters
    surfaces = [mask[box] & ~ndimage.binary_erosion(mask[box]) for mask in (predicted, true)]
    to_surface = [ndimage.distance_transform_edt(~surface, sampling=spacing_mm) for surface in surfaces]
    return float(max(np.percentile(to_surface[1 - i][surfaces[i]], 95) for i in (0, 1)))


def segmentation_rows(
    predicted: np.ndarray, true: np.ndarray, spacing_mm: Sequence[float], structures: Sequence[str] = STRUCTURES
) -> list[dict]:
    """One tidy row (dict) per structure: dice, iou, hd95_mm, volume_ml, true_volume_ml.
    predicted, true: label maps of the same shape, with values of terms.LABELS."""
    predicted, true = np.asarray(predicted), np.asarray(true)
    rows = []
    for structure in structures:
        a, b = predicted == LABELS[structure], true == LABELS[structure]
        row = {"structure": structure, "dice": dice(a, b), "iou": iou(a, b), "hd95_mm": hd95_mm(a, b, spacing_mm)}
        rows.append(row | {"volume_ml": volume_ml(a, spacing_mm), "true_volume_ml": volume_ml(b, spacing_mm)})
    return rows


def classification_metrics(probabilities: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Accuracy, entropy, F1, MCC and ROC-AUC; for two classes specificity and sensitivity of class 1 as well.

    probabilities: (n, classes), rows summing to 1. true: (n,) class numbers.
    Two classes: F1 of class 1. More: micro F1 and macro one-vs-one AUC. MCC and AUC are 0 if `true` holds one
    class, as in the published tables.
    """
    from sklearn import metrics as sk  # two thirds of a second, for this function alone

    p, true = checks.numbers(probabilities, "probabilities"), np.asarray(true)
    checks.group_numbers(true, "classes")
    predicted, classes = p.argmax(1), np.arange(p.shape[1])
    entropy = -np.mean(np.sum(p * np.log(p + 1e-6), 1))
    result = {"accuracy": sk.accuracy_score(true, predicted), "entropy": entropy, "mcc": 0.0, "roc_auc": 0.0}
    if len(classes) == 2:
        result["specificity"] = sk.recall_score(true, predicted, pos_label=0, zero_division=np.nan)
        result["sensitivity"] = sk.recall_score(true, predicted, pos_label=1, zero_division=np.nan)
        result["f1"] = sk.f1_score(true, predicted, zero_division=np.nan)
    else:
        result["f1"] = sk.f1_score(true, predicted, average="micro")
    present = np.unique(true)
    if len(present) > 1:
        result["mcc"] = sk.matthews_corrcoef(true, predicted)
        if len(classes) == 2:
            result["roc_auc"] = sk.roc_auc_score(true, p[:, 1])
        else:
            pairs = [(true == a, true == b, p[:, a]) for a in present for b in present if a != b]
            result["roc_auc"] = np.mean([sk.roc_auc_score(a[a | b], score[a | b]) for a, b, score in pairs])
    return {name: float(value) for name, value in result.items()}


def regression_metrics(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """RMSE, MAE, largest and smallest absolute error, and the range of both; 1-D arrays in the same unit."""
    predicted, true = (np.ravel(checks.numbers(values, missing=True)) for values in (predicted, true))
    error = np.abs(predicted - true)
    ends = {"error": error, "label": true, "pred": predicted}
    result = {"rmse": np.sqrt(np.mean(error**2)), "mae": error.mean()}
    result |= {f"{end}_{name}": getattr(values, end)() for name, values in ends.items() for end in ("max", "min")}
    return {name: float(value) for name, value in result.items()}


def landmark_distances_mm(
    predicted: np.ndarray, true: np.ndarray, spacing_mm: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Euclidean distances of points (..., 2) in pixels, in mm; the last axis is consumed. spacing_mm may broadcast."""
    offset = np.asarray(predicted, float) - np.asarray(true, float)
    return np.linalg.norm(offset * np.asarray(spacing_mm)[..., :2], axis=-1)


def lv_lengths_mm(points: np.ndarray, spacing_mm: Sequence[float] | np.ndarray) -> np.ndarray:
    """Left ventricular length: middle of the two valve hinges to the apex.
    points: (..., 3, 2) pixels in the order hinge, hinge, apex."""
    points = np.asarray(points, float)
    return landmark_distances_mm(points[..., :2, :].mean(-2), points[..., 2, :], spacing_mm)


def shortening_percent(lengths_mm: np.ndarray) -> float:
    """Long-axis shortening over a cycle, (max - min) / max * 100: the paper's "GLS"."""
    return float((np.nanmax(lengths_mm) - np.nanmin(lengths_mm)) / np.nanmax(lengths_mm) * 100.0)


def mapse_mm(points: np.ndarray, spacing_mm: Sequence[float] | np.ndarray) -> float:
    """Mean displacement of the two hinges between the frames of largest and smallest length; points (t, 3, 2)."""
    points, lengths = np.asarray(points, float), lv_lengths_mm(points, spacing_mm)
    longest, shortest = np.nanargmax(lengths), np.nanargmin(lengths)
    return float(landmark_distances_mm(points[longest, :2], points[shortest, :2], spacing_mm).mean())


def _same_shape(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as booleans, or ValueError."""
    predicted, true = np.asarray(predicted, bool), np.asarray(true, bool)
    if predicted.shape != true.shape:
        raise ValueError(f"masks have shapes {predicted.shape} and {true.shape}; they must be on the same grid")
    return predicted, true
