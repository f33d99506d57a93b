"""Weights of the signs of doubt: found again where they are planted, and judged on hearts that are left out."""

from types import SimpleNamespace

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


def test_only_the_laptop_profile_writes_the_weights(rows, monkeypatch, tmp_path):
    """And neither patients for testing nor readings without signs count."""
    monkeypatch.setattr(confidence.confidence, "CALIBRATION", tmp_path / "confidence.csv")
    subjects = [SimpleNamespace(split=split) for split in ("train", "test", "val", "train")]
    monkeypatch.setattr(confidence.acdc, "subjects", lambda raw: (subjects, []))
    monkeypatch.setattr(confidence, "virtual_row", lambda index: dict(rows.iloc[index]))
    monkeypatch.setattr(confidence, "patient_row", lambda subject: dict(rows.iloc[7]))
    monkeypatch.setitem(confidence.N_VIRTUAL, "laptop", 40)
    rows.loc[2, "doubt"] = np.nan
    for profile, n in (("ci", 5), ("laptop", 39)):
        table = confidence.run(profile, 1, 0, tmp_path, tmp_path)["confidence"]
        counted = table[table["measure"] == "expected error"].set_index("set")["n"]
        assert counted.to_dict() == {"virtual": n, "ACDC": 3}
        assert (tmp_path / "confidence.csv").exists() == (profile == "laptop")
    quiet = dict.fromkeys(REASONS, 0.0) | {"doubt": 0.3}
    found = confidence.confidence.confidence(quiet, tmp_path / "confidence.csv")
    assert found["expected_LVEF_error"] == pytest.approx(5, abs=0.7)


@pytest.mark.slow
def test_a_difficult_heart_is_read_and_is_the_same_again():
    one, again = confidence.difficult(3), confidence.difficult(3)
    assert one == again and confidence.difficult(2)[0] != one[0]
    row = confidence.virtual_row(3)
    assert set(row) == {"study", "error", *REASONS} and all(np.isfinite(list(row.values())[1:]))
