"""Weights of the signs of doubt: found again where they are planted, and judged on hearts that are left out."""

import numpy as np
import pandas as pd
import pytest

from cinema.inference.confidence import REASONS
from experiments import confidence


@pytest.fixture
def rows():
    """Readings whose error grows with doubt, 10 points a unit, and with nothing else."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.gamma(2, 0.2, 200) for name in REASONS})
    return table.assign(error=2 + 10 * table["doubt"] + rng.normal(0, 0.5, 200))


def test_planted_weights_are_found_and_none_is_negative(rows):
    weights = confidence.fitted(rows).set_index("sign")
    assert weights.loc["none", "points"] == pytest.approx(2, abs=0.4)
    assert weights.loc["doubt", "points"] == pytest.approx(10, abs=0.5)
    assert (weights["points"] >= 0).all() and (weights["points"].drop(["none", "doubt", "low"]) < 0.6).all()
    assert weights.loc["doubt", "usual"] == rows["doubt"].median()
    shares = (2 + 10 * rows["doubt"] > weights.loc["low", "points"]).mean()
    assert shares == pytest.approx(0.1, abs=0.03)


def test_the_check_finds_the_worst_and_does_not_where_there_is_nothing_to_find(rows):
    found = {row["measure"]: row["value"] for row in confidence.checked("virtual", confidence.left_out(rows))}
    assert found["rank correlation"] > 0.95 and found["worst tenth among the least confident tenth"] >= 0.8
    assert found["AUC for an error above 10 points"] > 0.97
    shuffled = rows.assign(error=np.random.default_rng(1).permutation(rows["error"]))
    blind = {row["measure"]: row["value"] for row in confidence.checked("virtual", confidence.left_out(shuffled))}
    assert abs(blind["rank correlation"]) < 0.3 and blind["AUC for an error above 10 points"] < 0.75


@pytest.mark.slow
def test_a_difficult_heart_is_read_and_is_the_same_again():
    one, again = confidence.difficult(3), confidence.difficult(3)
    assert one == again and one[0].anatomy == 2 and confidence.difficult(2)[0] != one[0]
    row = confidence.virtual_row(3)
    assert set(row) == {"study", "error", *REASONS} and all(np.isfinite(list(row.values())[1:]))
