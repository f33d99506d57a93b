"""Scar and oedema: the classes EMIDEC and MyoPS are trained on, the merged masks they are scored by, tidying MyoPS.

The store has one numbering of labels (terms.LABELS and TISSUE_LABELS), in which tissue that is ill replaces MYO.
A network's output channels follow the release's numbering, so that published layouts of weights fit.
"""

import numpy as np
from scipy import ndimage

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
MYOPS_GREY = np.array([0, 600, 500, 200, 1220, 2221])  # class number -> value in MyoPS files


def classes(dataset):
    """{label of the store: class number} of a data set, "emidec" or "myops"; ValueError for another name."""
    if dataset not in ORDER:
        raise ValueError(f"late enhancement classes are of {', '.join(ORDER)}, not {dataset!r}")
    return {STORE[name]: number for number, name in enumerate(ORDER[dataset])}


def to_classes(labels, dataset):
    """Labels of the store -> class numbers, uint8. ValueError for a label that the data set does not have."""
    return translated(np.asarray(labels), classes(dataset), dataset)


def to_labels(numbers, dataset):
    """Class numbers -> labels of the store, uint8: undoes to_classes."""
    return translated(np.asarray(numbers), {number: label for label, number in classes(dataset).items()}, dataset)


def region_rows(predicted, true, spacing_mm, dataset):
    """One tidy row (dict) per merged region: structure, dice, iou, hd95_mm, volume_ml, true_volume_ml.

    predicted, true: class numbers on the same grid, (x, y) or (x, y, z). Dice counts empty references (both empty 1,
    prediction alone 0); IoU is undefined there, the distance where either is empty. Source: method, section 11.
    """
    predicted, true = np.asarray(predicted), np.asarray(true)
    rows = []
    for region, numbers in REGIONS[dataset].items():
        a, b = np.isin(predicted, numbers), np.isin(true, numbers)
        rows.append(
            {
                "structure": region,
                "dice": dice_counting_empty(a, b),
                "iou": iou(a, b),
                "hd95_mm": hd95_mm(a, b, spacing_mm),
                "volume_ml": volume_ml(a, spacing_mm),
                "true_volume_ml": volume_ml(b, spacing_mm),
            }
        )
    return rows


def tidied_myops(numbers, scar_pixels=60, oedema_pixels=200):
    """A MyoPS prediction without specks: class numbers (x, y, z) -> (x, y, z), slice by slice.

    Scar components (8-connected) of fewer than scar_pixels give way to the most frequent other class of their
    bounding box enlarged by one pixel; then components of oedema or scar of fewer than oedema_pixels give way to the
    most frequent class there that is neither. Of equally frequent ones the lower grey value of the files wins. The
    published thresholds count pixels of unresampled images. Source: method, sections 11 and 12 (the release's box
    starts at -1 where a component touches the border, and is empty; here it ends at the border).
    """
    grey = MYOPS_GREY[np.asarray(numbers)]
    oedema, scar = MYOPS_GREY[4], MYOPS_GREY[5]
    for z in range(grey.shape[2]):
        plane = grey[:, :, z]
        _remove(plane, plane == scar, scar_pixels, lambda values: values != scar)
        _remove(plane, plane >= oedema, oedema_pixels, lambda values: values < oedema)
    order = np.argsort(MYOPS_GREY)
    return order[np.searchsorted(MYOPS_GREY[order], grey)].astype(np.uint8)


def _remove(plane, mask, smallest, may_replace):
    """Replace components of `mask` with fewer than `smallest` pixels, in place."""
    components, n = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(components.ravel(), minlength=n + 1)
    for number, (x, y) in enumerate(ndimage.find_objects(components), start=1):
        if sizes[number] >= smallest:
            continue
        box = (slice(max(x.start - 1, 0), x.stop + 1), slice(max(y.start - 1, 0), y.stop + 1))
        around = plane[box]
        values, counts = np.unique(around[may_replace(around)], return_counts=True)
        if len(values):  # nothing else there: it stays
            around[components[box] == number] = values[counts.argmax()]
