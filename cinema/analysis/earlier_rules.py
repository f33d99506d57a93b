"""The rules behind the recorded numbers of virtual cohorts: what followed the network before inference.rules.

Pages 04 and 08 to 10 measure virtual people against the exact truth of their tissue, with a network that labels it
(reader.BY_TISSUE) and these rules. They leave when the cohorts get the anatomy and the labels that readers learn now.
"""

import numpy as np
from scipy import ndimage

from cinema.data.geometry import largest_component
from cinema.inference.measures import without_atrium
from cinema.terms import LABELS, STRUCTURES

MIN_RING_SHARE = 0.5  # of the border of a basal cavity that must be muscle
GROWTH = 1.5  # of the RV from one slice to the next toward the apex, at its end


def largest_pieces(labels):
    """Labels (x, y, z, t) with the largest piece of each structure in each frame, and no holes."""
    return np.stack([_one_frame(tapered(labels)[..., t]) for t in range(labels.shape[3])], axis=-1)


def _one_frame(labels):
    tidy = np.zeros_like(labels)
    for structure in STRUCTURES:
        tidy[largest_component(labels == LABELS[structure])] = LABELS[structure]
    for plane in np.moveaxis(tidy, 2, 0):  # views: writing them writes `tidy`
        for enclosing, filler in ((("LV",), "LV"), (("MYO", "LV"), "MYO"), (("RV",), "RV")):
            members = np.isin(plane, [LABELS[name] for name in enclosing])
            plane[ndimage.binary_fill_holes(members) & ~members] = LABELS[filler]
    return tidy


def tapered(labels):
    """(x, y, z, t) labels without RV in slices at the apical end where it would grow again: fat taken for RV.

    The apical end is the one at which the left ventricle is smaller.
    """
    labels, n = labels.copy(), labels.shape[2]
    for t in range(labels.shape[3]):
        planes = np.moveaxis(labels[..., t], 2, 0)  # a view: writing it writes `labels`
        rv = np.sum(planes == LABELS["RV"], axis=(1, 2))
        lv = np.sum(np.isin(planes, [LABELS["MYO"], LABELS["LV"]]), axis=(1, 2))
        halves = np.array_split(lv[lv > 0], 2)
        apex_first = len(halves[1]) > 0 and halves[0].mean() < halves[1].mean()
        for z in range(n - 1) if apex_first else range(n - 1, 0, -1):
            if 0 < rv[z] <= GROWTH * rv[z + 1 if apex_first else z - 1]:
                break
            planes[z][planes[z] == LABELS["RV"]] = LABELS["background"]
    return labels


def without_open_slices(labels):
    """(x, y, z, t) labels without LV and wall of slices at either end whose cavity has less than MIN_RING_SHARE of its
    border in muscle. It looks inward from both ends until a slice counts."""
    is_open = np.zeros(labels.shape[2:], bool)
    for t in range(labels.shape[3]):
        for slices in (range(labels.shape[2]), reversed(range(labels.shape[2]))):
            for z in slices:
                plane = labels[:, :, z, t]
                has_lv = (plane == LABELS["LV"]).any()
                if has_lv and ring_share(plane) >= MIN_RING_SHARE:
                    break
                is_open[z, t] = has_lv
    return without_atrium(labels, is_open)


def ring_share(label):
    """Share of the LV's border, in one (x, y) slice of labels, that is myocardium."""
    cavity = label == LABELS["LV"]
    border = ndimage.binary_dilation(cavity) & ~cavity
    return float(np.mean(label[border] == LABELS["MYO"]))
