"""How readers draw: what is measured of a heart of known shape, and that the datasheet shows the record."""

import numpy as np
import pandas as pd
import pytest
from places import ROOT

from cinema.terms import LABELS
from experiments import conventions


def heart(first, rv_first, gap, apex_first):
    """(images, labels) (x, y, z, 2) of upright discs: LV from slice first[t] on in a wall that is bright over a share
    `gap` of the first slice's ring, RV beside it from slice rv_first[t] on."""
    x, y = np.indices((80, 80)) - 40.0
    r, turn = np.hypot(x, y), (np.arctan2(y, x) / (2 * np.pi)) % 1
    images, labels = np.zeros((80, 80, 8, 2)), np.zeros((80, 80, 8, 2), np.uint8)
    for t in (0, 1):
        for z in range(first[t], 8):
            lv, wall = r < 12 - z / 2, (r >= 12 - z / 2) & (r < 18)
            rv = (x > 0) & (r >= 18) & (r < 28) & (z >= rv_first[t])
            bright = lv | rv | (wall & (turn < gap) & (z == first[t]))
            images[..., z, t] = np.where(bright, 2.0, np.where(wall, 1.0, 0.0))
            for name, mask in (("RV", rv), ("MYO", wall), ("LV", lv)):
                labels[..., z, t][mask] = LABELS[name]
    return (images[:, :, ::-1], labels[:, :, ::-1]) if apex_first else (images, labels)


@pytest.mark.parametrize("apex_first", [False, True])
def test_a_heart_of_known_shape_is_measured_right(apex_first):
    row = conventions.measured(*heart((0, 1), (0, 2), 0.25, apex_first), (1.0, 1.0, 10.0))
    assert row["base from ED to ES (mm)"] == 10.0
    assert (row["ED RV missing in the first LV slice"], row["ES RV missing in the first LV slice"]) == (0.0, 1.0)
    for phase in ("ED", "ES"):
        assert row[f"{phase} ring of the first LV slice, share open"] == pytest.approx(0.25, abs=0.04)
        assert row[f"{phase} RV in a slice without LV"] == 0
        inside, outside = (row[f"{phase} septum, {away} mm from the endocardial contour"] for away in ("-2", "+2"))
        assert inside == pytest.approx(1, abs=0.05) and outside == pytest.approx(0, abs=0.05)


def test_the_datasheet_shows_the_record():
    table = pd.read_csv(ROOT / "data" / "experiments" / "conventions.csv")
    assert conventions.card(table) in (ROOT / "data" / "DATASHEET.md").read_text(encoding="utf-8")
