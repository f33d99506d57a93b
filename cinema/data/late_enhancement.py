"""Scar and oedema: the classes EMIDEC and MyoPS are trained on, the merged masks they are scored by.

The store has one numbering of labels (terms.LABELS and TISSUE_LABELS), in which tissue that is ill replaces MYO.
A network's output channels follow the release's numbering, so that published layouts of weights fit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from cinema.data.labels import translated
from cinema.stats.metrics import EMIDEC_REGIONS, dice_counting_empty, hd95_mm, iou, volume_ml
from cinema.terms import LABELS, TISSUE_LABELS

STORE = LABELS | TISSUE_LABELS
# Class numbers of the release: position in the tuple. EMIDEC has 5 classes, MyoPS 6.
ORDER = {
    "emidec": ("background", "LV", "MYO", "scar", "no-reflow"),
    "myops": ("background", "RV", "LV", "MYO", "oedema", "scar"),
}
# Scored are masks merged over classes: region -> class numbers. Ill muscle is muscle, scar swells, no-reflow is scar.
REGIONS = {
    "emidec": dict(zip(("LV", "MYO", "scar", "no-reflow"), EMIDEC_REGIONS.values(), strict=True)),
    "myops": {"RV": (1,), "LV": (2,), "MYO": (3, 4, 5), "oedema": (4, 5), "scar": (5,)},
}


def classes(dataset: str) -> dict[int, int]:
    """{label of the store: class number} of a data set, "emidec" or "myops"; ValueError for another name."""
    if dataset not in ORDER:
        raise ValueError(f"late enhancement classes are of {', '.join(ORDER)}, not {dataset!r}")
    return {STORE[name]: number for number, name in enumerate(ORDER[dataset])}


def to_labels(numbers: ArrayLike, dataset: str) -> np.ndarray:
    """Class numbers -> labels of the store, uint8. ValueError for a number that the data set does not have."""
    return translated(np.asarray(numbers), {number: label for label, number in classes(dataset).items()}, dataset)


def region_rows(predicted: ArrayLike, true: ArrayLike, spacing_mm: Sequence[float], dataset: str) -> list[dict]:
    """One tidy row (dict) per merged region: structure, dice, iou, hd95_mm, volume_ml, true_volume_ml.

    predicted, true: class numbers on the same grid, (x, y) or (x, y, z). Dice counts empty references (both empty 1,
    prediction alone 0); IoU is undefined there, the distance where either is empty. Source: method, section 11.
    """
    predicted, true = np.asarray(predicted), np.asarray(true)
    rows = []
    for region, numbers in REGIONS[dataset].items():
        a, b = np.isin(predicted, numbers), np.isin(true, numbers)
        scores = {"dice": dice_counting_empty(a, b), "iou": iou(a, b), "hd95_mm": hd95_mm(a, b, spacing_mm)}
        volumes = {"volume_ml": volume_ml(a, spacing_mm), "true_volume_ml": volume_ml(b, spacing_mm)}
        rows.append({"structure": region, **scores, **volumes})
    return rows
