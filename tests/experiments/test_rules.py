"""Rules taken away and added: that a gain has the right sign, and what the rejected rules did."""

import numpy as np
import pandas as pd
import pytest

from cinema.inference import rules as kept
from cinema.terms import LABELS
from experiments import rules as experiment

X, Y = np.indices((60, 60)) - 30


def disc(open_share):
    """A cavity in a ring of muscle that is missing over a share of the turn."""
    r, turn = np.hypot(X, Y), (np.arctan2(Y, X) / (2 * np.pi)) % 1
    label = np.where(r < 14, LABELS["LV"], 0)
    label[(r >= 14) & (r < 20) & (turn > open_share)] = LABELS["MYO"]
    return label.astype(np.uint8)


def test_a_gain_is_positive_where_the_rule_helps(monkeypatch):
    """With the rule, Dice is .1 higher and the error 2 points lower; a rejected rule does the opposite."""
    monkeypatch.setattr(experiment.rules, "RULES", (kept.filled,))
    rows, noise = [], np.random.default_rng(0).normal(0, 0.01, (8, 3))
    for patient in range(8):
        for arm, dice, error in (("all", 0.9, 3.0), ("filled", 0.8, 5.0), ("tapered", 0.85, 4.0)):
            dice = dice + noise[patient, 0]
            rows.append({"patient": patient, "arm": arm, "ES Dice LV": dice, "LVEF absolute error": error})
    table = experiment.summary(pd.DataFrame(rows), np.random.default_rng(0)).set_index(["rule", "measure"])
    assert table["in_use"].groupby("rule").first().to_dict() == {"filled": True, "tapered": False}
    gains = table["gain"].unstack("measure").loc[["filled", "tapered"]]
    np.testing.assert_allclose(gains, [[0.1, 2.0], [-0.05, -1.0]], atol=1e-9)
    np.testing.assert_allclose(table.loc["filled", "with_rule"], [0.9 + noise[:, 0].mean(), 3.0])


def test_each_arm_leaves_out_or_adds_one_rule():
    stack = np.stack([disc(0)] * 3, axis=-1)[..., None].repeat(2, axis=3)
    stack[30, 30], stack[2:4, 2:4] = 0, LABELS["LV"]
    arms = dict(experiment.arms(stack))
    assert list(arms) == ["all", *(rule.__name__ for rule in (*kept.RULES, *experiment.REJECTED))]
    hole, speck = ({name for name, labels in arms.items() if labels[at].all()} for at in ((30, 30), (2, 2)))
    assert hole == set(arms) - {"filled"} and speck == {"one_heart"}


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.7])
def test_an_open_slice_is_one_with_less_than_half_a_ring(missing):
    assert experiment.ring_share(disc(missing)) == pytest.approx(1 - missing, abs=0.03)
    stack = np.stack([disc(1)] + [disc(missing), disc(0), disc(0.8), disc(0)], axis=-1)[..., None]
    # a gap in the middle of the stack stays: only its ends are judged
    gone = ~experiment.without_open_slices(stack).any(axis=(0, 1))[:, 0]
    assert gone.tolist() == [True, missing > 0.5, False, False, False]


def test_no_rv_without_an_lv():
    stack = np.stack([disc(0)] * 2, axis=-1)[..., None]
    stack[:6, :6] = LABELS["RV"]
    stack[6:, :, 0] = 0
    np.testing.assert_array_equal(experiment.rv_beside_lv(stack)[:, :, 1], stack[:, :, 1])
    assert not experiment.rv_beside_lv(stack)[:, :, 0].any()


def test_the_rv_does_not_grow_again_toward_the_apex():
    """Base first and apex first; what lies behind the base stays."""
    sizes, rv = [0, 0, 9, 10, 9, 7, 5], [8, 100, 150, 150, 90, 30, 60]
    stack = np.zeros((60, 60, 7, 1), np.uint8)
    for z, (radius, right) in enumerate(zip(sizes, rv)):
        plane = np.where(X**2 + Y**2 < radius**2, LABELS["LV"], 0)
        plane[(plane == 0) & (X**2 + Y**2 < (radius + 4) ** 2) & (radius > 0)] = LABELS["MYO"]
        plane[:4].flat[:right] = LABELS["RV"]
        stack[:, :, z, 0] = plane
    for order in (slice(None), slice(None, None, -1)):
        kept_rv = (experiment.tapered(stack[:, :, order]) == LABELS["RV"]).sum(axis=(0, 1))[order, 0]
        assert kept_rv.tolist() == [8, 100, 150, 150, 90, 30, 0]
