"""What a heart cannot look like: rules that follow the network, each a function from labels to labels.

Labels are (x, y, z, t) uint8; a long-axis view has one slice. `experiment rules` records what each of them gains.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinema.terms import LABELS

NEAR = 5  # pixels; the right ventricle is no further from the muscle
DIAGONAL = np.ones((3, 3, 3), bool)  # neighbours of a pixel, in its slice and in the next ones
IN_PLANE = np.zeros((3, 3, 3), bool)
IN_PLANE[:, 1, 1] = IN_PLANE[1, :, 1] = True


def tidy(labels: NDArray) -> NDArray:
    """Labels (x, y), (x, y, z) or (x, y, z, t) as anatomy has them: all rules of this file."""
    whole = labels.reshape(*labels.shape, *(1,) * (4 - labels.ndim)).copy()
    there = np.argwhere(whole.max(axis=(2, 3)) > 0)
    if len(there):  # the rest of the image is background, and large
        box = tuple(slice(max(low - 1, 0), high + 2) for low, high in zip(there.min(axis=0), there.max(axis=0)))
        tidied = whole[box]
        for rule in RULES:
            tidied = rule(tidied)
        whole[box] = tidied
    return whole.reshape(labels.shape)


def one_heart(labels: NDArray) -> NDArray:
    """Labels of one heart: a cavity (`cavity`), the muscle that touches it, the right ventricle that touches either."""
    tidied, lv = np.zeros_like(labels), cavity(labels)
    for t in range(labels.shape[3]):
        left, heart = lv[..., t], lv[..., t] | (labels[..., t] == LABELS["MYO"])
        heart = touching(heart, left) if left.any() else heart
        blood = np.isin(labels[..., t], (LABELS["RV"], LABELS["LV"])) & ~left  # what is no LV after all is mostly RV
        right = touching(blood, ndimage.binary_dilation(heart, IN_PLANE, NEAR))
        pieces, n = ndimage.label(right, DIAGONAL)
        if n > 1:
            right = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
        for structure, mask in (("RV", right), ("MYO", heart), ("LV", left)):
            tidied[mask, t] = LABELS[structure]
    return tidied


def touching(mask: NDArray, seed: NDArray) -> NDArray:
    """The connected pieces of `mask` that share a pixel with `seed`."""
    pieces, n = ndimage.label(mask, DIAGONAL)
    kept = np.zeros(n + 1, bool)
    kept[pieces[seed]] = True
    return kept[pieces] & mask


class Pieces(NamedTuple):
    """Connected pieces of the cavity of one frame: number at each voxel (0: none), and of each its voxels and how much
    it is like a left ventricle, 0 to 1 in the best: diameter x share of its border that is muscle."""

    of: NDArray
    sizes: NDArray
    score: NDArray


def cavity(labels: NDArray) -> NDArray:
    """The left ventricle among the pieces that are called so: (x, y, z, t) booleans.

    The largest piece of a frame may be a false one, a right ventricle taken for the left. The piece counts that is
    wide, bordered by muscle, and where such pieces are in the other frames: a heart does not jump. Others stay in
    slices that it does not reach, where they lie in line with it, seen along the slices: a cavity may vanish between.
    """
    frames = [pieces_of(labels[..., t]) for t in range(labels.shape[3])]
    chosen = np.zeros(labels.shape, bool)
    for t, one in enumerate(frames):
        if len(one.sizes):
            others = [agreement(one, other) for s, other in enumerate(frames) if s != t and len(other.sizes)]
            likeness = one.score * np.mean(others, axis=0) ** 2 if others and len(one.sizes) > 1 else one.score
            chosen[..., t] = one.of == 1 + np.argmax(likeness)
    shadow = np.any(chosen, axis=(2, 3), keepdims=True)[..., 0]
    for t, one in enumerate(frames):
        further = shadow & ~np.any(chosen[..., t], axis=(0, 1), keepdims=True)
        inside = np.bincount(one.of[further], minlength=len(one.sizes) + 1)[1:]
        chosen[..., t] |= np.isin(one.of, 1 + np.flatnonzero(inside > 0.5 * one.sizes))
    return chosen


def pieces_of(labels: NDArray) -> Pieces:
    """Pieces of the LV of (x, y, z) labels."""
    of, n = ndimage.label(labels == LABELS["LV"], DIAGONAL)
    sizes = np.bincount(of.ravel())[1:]
    if n < 2:  # nothing to choose
        return Pieces(of, sizes, np.ones(n))
    border, muscle = np.zeros(n + 1), np.zeros(n + 1)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        beside = np.roll(labels, step, axis)
        border += np.bincount(of[beside != LABELS["LV"]], minlength=n + 1)
        muscle += np.bincount(of[beside == LABELS["MYO"]], minlength=n + 1)
    score = np.cbrt(sizes) * (muscle / np.maximum(border, 1))[1:]
    return Pieces(of, sizes, score / max(score.max(initial=0), 1e-6))


def agreement(one: Pieces, other: Pieces) -> NDArray:
    """Of each piece of a frame the best Dice with a piece of another frame, times the score of that."""
    pairs = one.of[one.of > 0] * (len(other.sizes) + 1) + other.of[one.of > 0]
    shape = len(one.sizes) + 1, len(other.sizes) + 1
    both = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)[1:, 1:]
    return np.max(2 * both / (one.sizes[:, None] + other.sizes) * other.score, axis=1)


def filled(labels: NDArray) -> NDArray:
    """Labels without holes, slice by slice: what the ventricle encloses becomes LV inside the cavity and MYO inside
    the wall; what the RV encloses becomes RV. An RV inside a ring of muscle stays."""
    whole = labels.copy()
    for z, t in np.ndindex(labels.shape[2:]):
        plane = whole[:, :, z, t]  # a view: writing it writes `whole`
        for enclosing, filler in ((("LV",), "LV"), (("MYO", "LV"), "MYO"), (("RV",), "RV")):
            members = np.isin(plane, [LABELS[name] for name in enclosing])
            holes = ndimage.binary_fill_holes(members) & ~members
            plane[holes & (plane != LABELS["RV"])] = LABELS[filler]
    return whole


RULES = (one_heart, filled)
