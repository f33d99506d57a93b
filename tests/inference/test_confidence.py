"""The expected error of a study: signs of planted doubt, the reason named, and where it is said."""

import numpy as np
import pytest

from cinema.inference import confidence
from cinema.terms import LABELS

QUIET = {"doubt": 0.1, "moved": 0.0, "jumps": 0.1, "leaning": 0.01, "strokes": 0.1}


@pytest.fixture
def calibration(tmp_path):
    path = tmp_path / "confidence.csv"
    lines = ["none,1,0", "doubt,10,0.1", "moved,5,0", "jumps,2,0.1", "leaning,40,0.01", "strokes,2,0.1", "low,6,0"]
    path.write_text("\n".join(["sign,points,usual", *lines, ""]), encoding="utf-8")
    return path


def readings():
    """Labels (x, y, z, t) and chance of an LV that is read without doubt at ED and half seen at ES."""
    labels = np.zeros((30, 30, 5, 2), np.uint8)
    labels[5:25, 5:25] = LABELS["MYO"]
    labels[8:22, 8:22, :, 0] = LABELS["LV"]
    labels[10:20, 10:20, :, 1] = LABELS["LV"]
    chance = (labels == LABELS["LV"]).astype(np.float32)
    chance[10:20, 10:20, :, 1] = 0.75
    return labels, chance


def test_signs_of_planted_doubt():
    tidied, chance = readings()
    found = tidied.copy()
    found[0:2, 0:5, 0, 0] = LABELS["LV"]
    signs = confidence.frame_signs(found, tidied, chance)
    np.testing.assert_allclose(signs["doubt"], [0, 0.25])
    np.testing.assert_allclose(signs["moved"], [10 / (5 * 14**2), 0])
    np.testing.assert_allclose(signs["jumps"], 0)
    of_study = {"ed_frame": 0, "es_frame": 1, "LVEF": 50.0, "RVEF": 50.0}
    of_study |= {"LVEDV": 100.0, "LVESV": 50.0, "RVEDV": 120.0, "RVESV": 20.0}
    found = confidence.signs_of(signs, of_study)
    assert found["doubt"] == 0.25 and found["strokes"] == pytest.approx(np.log(2))
    assert found["leaning"] == pytest.approx(0.25 * 10**2 / 14**2)  # by chance a quarter of ES is not there
    assert confidence.signs_of(signs, of_study | {"RVEF": None}) is None and confidence.signs_of({}, of_study) is None
    tidied[:, :, 2] = np.where(tidied[:, :, 2] == LABELS["LV"], LABELS["MYO"], tidied[:, :, 2])
    assert (confidence.frame_signs(tidied, tidied, chance)["jumps"] > 0.5).all()  # a slice lost its LV
    empty = confidence.frame_signs(0 * tidied, 0 * tidied, 0 * chance)
    assert all(np.isfinite(values).all() for values in empty.values())


@pytest.mark.parametrize(
    "sign, value", [("doubt", 0.8), ("moved", 1.5), ("jumps", 4), ("leaning", 0.2), ("strokes", 3)]
)
def test_the_reason_is_the_sign_that_adds_most(sign, value, calibration):
    sure = confidence.confidence(QUIET, calibration)
    assert sure["expected_LVEF_error"] == pytest.approx(1 + 1 + 0.2 + 0.4 + 0.2) and not sure["low"]
    assert "as is usual" in confidence.sentence(sure)
    unsure = confidence.confidence(QUIET | {sign: value}, calibration)
    assert unsure["low"] and unsure["reason"] == confidence.REASONS[sign]
    assert confidence.REASONS[sign] in confidence.sentence(unsure)


def test_without_signs_or_calibration_nothing_is_said(tmp_path, calibration):
    assert confidence.confidence(None, calibration) is None
    assert confidence.confidence(QUIET, tmp_path / "absent.csv") is None
