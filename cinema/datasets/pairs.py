"""ED and ES with labels: what the readers of ACDC, M&Ms and M&Ms-2 share."""

import math

import SimpleITK as sitk

from cinema.datasets import letter
from cinema.terms import LABELS

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
    return {name: value for name, value in attributes.items()
            if value != "" and not (isinstance(value, float) and math.isnan(value))}


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
    images = {name: letter.translated(sitk.Cast(image, sitk.sitkUInt8), mapping) if name in labels else image
              for name, image in images.items()}
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
