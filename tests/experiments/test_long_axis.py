"""Long axes: errors of a reader that is off by a known distance are found, and the card shows the record."""

import pandas as pd
import pytest
from places import ROOT

from experiments import long_axis


class Shifted:
    """Gives the exact landmarks of the views it is shown, moved by (x, y) mm, the hinges in the other order."""

    def __init__(self, x, y):
        self.away_mm = x, y

    def predict_lax(self, image, spacing_mm):
        (marks,) = (view.landmarks for view in self.views.values() if view.image is image)
        return None, marks[:, [1, 0, 2]] + [a / s for a, s in zip(self.away_mm, spacing_mm)]


@pytest.fixture
def acquire(monkeypatch):
    """Lets a Shifted reader see what is acquired."""
    own = long_axis.image.acquire

    def keeping(*args):
        Shifted.views = own(*args)
        return Shifted.views

    monkeypatch.setattr(long_axis.image, "acquire", keeping)
    monkeypatch.setattr(long_axis.measures, "smooth_marks", lambda marks: marks)


def test_a_known_shift_is_found(acquire):
    rows = pd.DataFrame(long_axis.person_rows(0, Shifted(6.0, 8.0)))
    assert list(rows["view"]) == ["2C", "3C", "4C"]
    for part in ("hinges, mm off", "apex, mm off"):
        assert rows[part].to_numpy() == pytest.approx(10.0, abs=1e-3)
    assert rows["MAPSE minus that of the exact landmarks, mm"].to_numpy() == pytest.approx(0.0, abs=1e-3)
    assert rows["MAPSE minus that of the heart, mm"].abs().max() < 4


def test_the_card_shows_the_record():
    table = pd.read_csv(ROOT / "data" / "experiments" / "long_axis.csv")
    assert long_axis.card(table) in (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")
