"""Labelled patients read by the project's readers: what is counted, and that a group's line says what its rows do."""

import numpy as np
import pandas as pd
import pytest
from places import ROOT
from rawtrees import acdc as raw_acdc

import experiments
from experiments import real_reader

BACKGROUND, RV, MYO, LV = range(4)


def stack(sizes):
    """(12, 12, z) labels: a square LV of so many pixels a side in each slice, in a wall two pixels thick."""
    labels = np.zeros((12, 12, len(sizes)), np.uint8)
    for z, size in enumerate(sizes):
        if size:
            labels[1 : size + 5, 1 : size + 5, z] = MYO
            labels[3 : size + 3, 3 : size + 3, z] = LV
    return labels


@pytest.mark.parametrize("upward", [False, True], ids=["base first", "apex first"])
def test_slices_and_areas_are_counted_from_the_base(upward):
    found, true = stack([0, 5, 4, 4, 2]), stack([6, 6, 4, 2, 0])
    if upward:
        found, true = found[..., ::-1], true[..., ::-1]
    row = real_reader.compared(found, true)
    assert [row[f"slices {what} at {end}"] for end in ("base", "apex") for what in ("missed", "invented")] == [
        1,
        0,
        0,
        1,
    ]
    areas = {
        name: [(labels[..., 1:4] == value).sum() for labels in (found, true)]
        for name, value in (("LV", LV), ("MYO", MYO))
    }
    for name, (one, other) in areas.items():
        assert row[f"{name} area, percent too large"] == pytest.approx(100 * (one - other) / other)
    same = real_reader.compared(true, true)
    assert same["Dice LV"] == same["Dice MYO"] == 1 and same["LV area, percent too large"] == 0


def test_lines_hold_what_their_patients_do():
    rng = np.random.default_rng(0)
    n = 12
    rows = pd.DataFrame(
        {"set": "test", "class": ["A"] * 8 + ["B"] * 4}
        | {f"{phase} Dice LV": rng.uniform(0.6, 1, n) for phase in ("ED", "ES")}
    )
    rows["ES slices missed at base"] = [1, 2] + [0] * 10
    rows.loc[0, "ES Dice LV"] = 0.4
    for name in real_reader.VOLUMES:
        rows[f"true {name}"] = np.linspace(20, 64, n)
        rows[name] = rows[f"true {name}"] + np.tile([2.0, 6.0], n // 2)
    table = real_reader.summary(rows, rng).set_index(["group", "measure"])
    assert set(table.index.unique("group")) == {"all", "A", "B", *real_reader.BANDS}
    bias = table.loc[("all", "LVEF bias")]
    off = rows["LVEF"] - rows["true LVEF"]
    assert bias["value"] == pytest.approx(4) and bias["lower"] < 4 < bias["upper"] and bias["n"] == n
    assert bias["high_limit"] == pytest.approx(4 + 1.959964 * off.std())
    assert table.loc[("all", "LVEF within 4 points, share of patients"), "value"] == 0.5
    assert table.loc[("all", "ES slices missed at base, share of patients"), "value"] == pytest.approx(2 / n)
    assert table.loc[("all", "ES LV lost, share of patients"), "value"] == pytest.approx(1 / n)
    few = table.loc[("B", "LVEF bias")]
    assert few["value"] == pytest.approx(4) and np.isnan(few["lower"]) and np.isnan(few["high_limit"])
    assert table.loc[("EF below 30", "LVEF bias"), "n"] == (rows["true LVEF"] < 30).sum()


def test_patients_are_read_from_the_raw_folder(tmp_path):
    raw_acdc.build(tmp_path / "raw", n=3)
    path = experiments.run("real_reader", "ci", raw=tmp_path / "raw", out=tmp_path / "out", work=tmp_path / "work")
    table = pd.read_csv(path).set_index(["set", "group", "measure"])["value"]
    assert table[:, "all", "ED Dice LV"].between(0.8, 1).all() and set(table.index.unique("set")) <= {
        "training",
        "test",
    }
    assert not list((tmp_path / "work").rglob("*.h5"))


@pytest.mark.parametrize(("name", "raw"), [("real_reader", None), ("labels", "somewhere")])
def test_the_raw_folder_goes_with_patients(name, raw):
    with pytest.raises(ValueError, match="raw folder of ACDC|leave somewhere out"):
        experiments.run(name, "ci", raw=raw)


def test_the_model_card_says_what_the_record_does():
    table = pd.read_csv(ROOT / "data" / "experiments" / "real_reader.csv")
    assert real_reader.card(table) in (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")
