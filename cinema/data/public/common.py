"""What every adapter of a public dataset gives: which examinations a raw folder holds, and each of them as a Study.

An adapter is one file, cinema/datasets/NAME.py, with three functions:

    subjects(raw) -> (list of Subject, list of Skipped)   from file names and tables alone, no pixels
    read(subject) -> study.Study                          on the scanner's own grid, labels as terms has them
    release(subject) -> Release                           the arrays and the table row that the authors' release writes

and, where the published grid of the dataset is not terms.PUBLISHED_GRID, GRID: view -> (size, spacing_mm).

`read` and `release` raise ValueError or OSError, in one line, for what is wrong with a subject; prepare then skips it
and says why. Nothing is ever written into the raw folder. What is known of a dataset beside its files (source, licence,
label map, classes, counts ..) is its card: cinema/shipped/cards/NAME.yaml, read by cinema.data.public.cards.
"""

import math
from dataclasses import dataclass, field

import SimpleITK as sitk

from cinema.data.public import letter
from cinema.terms import LABELS


@dataclass(frozen=True)
class Subject:
    """One examination of a raw folder, before anything of it is read.

    id:         name of the study; unique in the dataset, letters, digits, - and _ only.
    split:      "train", "val" or "test" by the published rule; "" where the dataset has no split.
    files:      every raw file that `read` opens, the images first. Their names, sizes and times tell whether the
                subject has to be read again.
    attributes: what the dataset's tables say of person and scan, by the names of the virtual cohort (age_years, sex
                "F" or "M", height_cm, weight_kg, bmi_kg_m2, vendor, scanner, site, field_t, disease ..).
    details:    whatever else `read` needs (frame numbers, members of an archive ..).
    """

    id: str
    split: str
    files: tuple
    attributes: dict = field(default_factory=dict)
    details: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """An examination that is left out, and why, in one line with the remedy where there is one."""

    id: str
    reason: str


@dataclass(frozen=True)
class Release:
    """What the authors' release writes for one subject (data.md).

    folder: below the output folder, such as "train/patient001".
    images: file name without ".nii.gz" -> SimpleITK image; a name ending in ".png" -> (rows, columns) uint8 array.
    row:    of the split's metadata table: column -> value.
    tables: table name without ".csv" -> row, where the release writes other tables than <split>_metadata; empty: `row`
            goes there.
    """

    folder: str
    images: dict
    row: dict
    tables: dict = field(default_factory=dict)


RELEASE_GRID = {"sax": (letter.SAX_SPACING, letter.SAX_SIZE), "lax_4c": (letter.LAX_SPACING, letter.LAX_SIZE)}


def absent(paths):
    """One line that names the first of `paths` that is no file; None if all are there."""
    missing = [path for path in paths if not path.is_file()]
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    if not missing:
        return None
    return f"{missing[0].name} is missing{more} in {missing[0].parent.name}; unpack the archive again"


def known(attributes):
    """Without what the tables leave open: NaN and empty text."""
    return {
        name: value
        for name, value in attributes.items()
        if value != "" and not (isinstance(value, float) and math.isnan(value))
    }


def check_heart(labels, name):
    """ValueError unless the (x, y, z) label volume holds a left ventricle."""
    if not (labels == LABELS["LV"]).any():
        raise ValueError(f"{name} has no LV; without it there is no volume and no centre. Is it the right frame?")


def release_view(view, images, mapping):
    """What the release makes of one view.

    images:  "ed", "es", "ed_gt", "es_gt" -> SimpleITK image; others, such as the cine "t", go the way of "ed".
    mapping: raw label value -> the release's.
    Resampled, cut around the LV at ED; labels uint8, images uint8 by their percentiles. Source: data.md sections 1-4.
    """
    spacing, size = RELEASE_GRID[view]
    labels = {name for name in images if name.endswith("_gt")}
    images = {
        name: letter.translated(sitk.Cast(image, sitk.sitkUInt8), mapping) if name in labels else image
        for name, image in images.items()
    }
    images = {name: letter.resampled(image, spacing, label=name in labels) for name, image in images.items()}
    lower, upper = letter.label_crop(images["ed_gt"], LABELS["LV"], size)
    images = {name: letter.cropped(image, lower, upper) for name, image in images.items()}
    return {name: image if name in labels else letter.to_uint8(image) for name, image in images.items()}


def spacing_columns(view, image, prefix="orig", axes="xyz"):
    """Columns orig_sax_spacing_x .. of an image as delivered."""
    return {f"{prefix}_{view}_spacing_{axis}": size for axis, size in zip(axes, image.GetSpacing(), strict=False)}


def volume_columns(images):
    """n_slices, lv_edv, lv_esv, lv_ef, rv_edv, rv_esv, rv_ef of what release_view gave for the short axis."""
    return {"n_slices": images["ed"].GetSize()[2], **letter.volumes(images["ed_gt"], images["es_gt"])}
