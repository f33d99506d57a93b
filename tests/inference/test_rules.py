"""Planted faults of a network, and what the rules make of them."""

import numpy as np
import pytest

from cinema.inference import rules
from cinema.terms import LABELS

X, Y = np.mgrid[:72, :64]
BASE_TO_APEX = (10, 10, 9, 8, 6, 4)  # radius of the cavity, pixels


def heart(radii=BASE_TO_APEX, wall=5, right=13):
    """(x, y, z) labels: round cavities in a wall, and a round right ventricle at their side where there is a cavity."""
    planes = []
    for radius in radii:
        away = np.hypot(X - 48, Y - 32)
        plane = np.where((np.hypot(X - 22, Y - 32) < right) & (radius > 0), LABELS["RV"], 0)
        plane[away < max(radii) + wall] = LABELS["MYO"]
        plane[away < radius] = LABELS["LV"]
        planes.append(plane)
    return np.stack(planes, axis=-1).astype(np.uint8)


def test_a_false_cavity_in_the_rv_is_not_the_lv_though_it_is_larger():
    """As in a contracted heart with a large, thick right ventricle, which looks like a left one."""
    ed, es = heart(), heart((5, 5, 4, 4, 3, 2))
    fooled = es.copy()
    fooled[es == LABELS["RV"]] = LABELS["LV"]
    thick = (np.hypot(X - 22, Y - 32) < 18) & (X < 26)
    fooled[(fooled == 0) & thick[:, :, None]] = LABELS["MYO"]
    assert (fooled[:40] == LABELS["LV"]).sum() > 5 * (es == LABELS["LV"]).sum()
    for frames in ([ed, fooled], [ed, fooled, fooled, ed, ed]):
        tidied = rules.tidy(np.stack(frames, axis=-1))
        np.testing.assert_array_equal(tidied[..., 0], ed)
        for name in ("LV", "RV"):  # what was called LV is blood of the other side
            np.testing.assert_array_equal(tidied[..., 1] == LABELS[name], es == LABELS[name])


@pytest.mark.parametrize("frames", [1, 2])
def test_a_cavity_may_vanish_in_between_but_not_jump(frames):
    """Hypertrophy: no blood is left in the middle; a piece out of line is none of the cavity's."""
    ed, es = heart(), heart((7, 5, 0, 0, 3, 3))
    fooled = es.copy()
    fooled[60:66, 28:36, 3] = LABELS["LV"]
    tidied = rules.cavity(np.stack([ed, fooled][-frames:], axis=-1))[..., -1]
    np.testing.assert_array_equal(tidied, es == LABELS["LV"])


def test_an_rv_in_a_ring_of_muscle_is_not_filled_with_muscle():
    plane = heart((6,))
    plane[(plane == 0) & (np.hypot(X - 22, Y - 32) < 18)[:, :, None]] = LABELS["MYO"]
    np.testing.assert_array_equal(rules.tidy(plane), plane)


def test_a_frame_without_a_cavity_keeps_its_muscle():
    stack = np.stack([heart(), heart()], axis=-1)
    stack[..., 1][stack[..., 1] == LABELS["LV"]] = LABELS["MYO"]
    np.testing.assert_array_equal(rules.tidy(stack), stack)


def test_an_rv_away_from_the_heart_goes():
    stack = heart()
    stack[stack == LABELS["RV"]] = 0
    stack[:4, :30] = LABELS["RV"]
    assert not (rules.tidy(stack) == LABELS["RV"]).any()


def test_holes_and_specks_go():
    away = np.hypot(X - 40, Y - 32)
    clean = np.where(away < 8, LABELS["LV"], np.where(away < 14, LABELS["MYO"], 0)).astype(np.uint8)
    clean[16:24, 22:42] = LABELS["RV"]
    spoilt = clean.copy()
    spoilt[40, 32], spoilt[40, 33], spoilt[40, 43], spoilt[20, 32] = 0, LABELS["MYO"], 0, 0
    spoilt[2:4, 2:4], spoilt[70, 60] = LABELS["LV"], LABELS["RV"]
    np.testing.assert_array_equal(rules.tidy(spoilt), clean)
    np.testing.assert_array_equal(rules.tidy(spoilt[..., None])[..., 0], clean)
    assert not rules.tidy(np.zeros_like(clean)).any()


def test_a_long_axis_view_is_open_at_the_base():
    """The cavity ends at the valve without muscle; a piece beyond, in one frame, is none of it."""
    away = np.hypot((X - 20) / 1.8, Y - 32)
    view = np.where((away < 10) & (X > 20), LABELS["LV"], np.where((away < 15) & (X > 20), LABELS["MYO"], 0))
    false = view.copy()
    false[2:14, 24:40] = LABELS["LV"]
    tidied = rules.tidy(np.stack([view, false, view], axis=-1)[:, :, None].astype(np.uint8))
    np.testing.assert_array_equal(tidied[:, :, 0, 1] == LABELS["LV"], view == LABELS["LV"])
