"""Label maps in terms.LABELS: values translated at the door, and the volumes that masks enclose."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cinema.data.nifti import check_grid, volume
from cinema.stats.metrics import ejection_fraction_percent, volume_ml
from cinema.terms import LABELS, TISSUE_LABELS


def label_map(card: Any) -> dict[int, int]:
    """{value in the dataset's mask files: our value} of a card."""
    return {raw: (LABELS | TISSUE_LABELS)[name] for raw, name in card.labels.items()}


def read_labels(path: str | Path, mapping: dict, like: tuple) -> np.ndarray:
    """uint8 label map of a NIfTI file, its values translated by {value in the file: our value}; 0 stays 0.

    like: (array, affine) of the image it belongs to.
    Raises ValueError for a value that the mapping lacks, and for a mask that is not on the grid of `like`.
    """
    array, affine = volume(path)
    check_grid(array, affine, like, Path(path).name)
    return translated(array, mapping, Path(path).name)


def translated(array: np.ndarray, mapping: dict, name: str) -> np.ndarray:
    """uint8 array of our label values; ValueError if `array` holds a value that is neither 0 nor in `mapping`."""
    result, known = np.zeros(array.shape, np.uint8), array == 0
    for value, ours in mapping.items():
        here = array == value
        result[here] = ours
        known |= here
    if not known.all():
        allowed = ", ".join(str(value) for value in sorted({0, *mapping}))
        raise ValueError(f"{name} holds the label {array[~known][0]:g}; allowed are {allowed}")
    return result


def ventricle_volumes(labels_ed: np.ndarray, labels_es: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, float]:
    """Attributes lv_edv_ml, lv_esv_ml, lv_ef_percent and the same of the RV, from (x, y, z) label maps of terms.LABELS.

    A structure that does not occur at end diastole is left out.
    """
    found: dict[str, float] = {}
    for name in ("LV", "RV"):
        edv, esv = (volume_ml(each == LABELS[name], spacing_mm) for each in (labels_ed, labels_es))
        if edv > 0:
            values = {"edv_ml": edv, "esv_ml": esv, "ef_percent": float(ejection_fraction_percent(edv, esv))}
            found |= {f"{name.lower()}_{what}": value for what, value in values.items()}
    return found
