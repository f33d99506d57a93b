"""Measurements of images whose answers are known in closed form."""

import numpy as np
import pytest
from scipy import ndimage

from cinema.data.study import View
from cinema.phantom import realism
from cinema.terms import LABELS

SPACING = (1.0, 1.0, 10.0)
INNER_MM, OUTER_MM, RV_MM = 24.0, 34.0, 18.0
SIGNAL = {"LV": 1.0, "MYO": 0.4, "RV": 0.9, "background": 0.1}


def heart(n=200, n_slices=3):
    """Labels (n, n, z) of a disc in a ring, an RV disc 55 mm to the left, on 1 mm pixels; x and y of the LV centre."""
    x, y = np.indices((n, n)) - np.array([n / 2 + 20, n / 2])[:, None, None]
    labels = np.zeros((n, n, n_slices), np.uint8)
    labels[np.hypot(x + 55, y) < RV_MM] = LABELS["RV"]
    labels[np.hypot(x, y) < OUTER_MM] = LABELS["MYO"]
    labels[np.hypot(x, y) < INNER_MM] = LABELS["LV"]
    return labels


def painted(labels):
    return np.array([SIGNAL[name] for name in LABELS])[labels]


def view_of(labels, brightness=1.0):
    """A View of labels (x, y, z, t), all frames labelled."""
    return View(brightness * painted(labels), np.diag([*SPACING, 1.0]), labels, tuple(range(labels.shape[-1])))


def test_a_picture_of_known_signals_and_areas():
    found = realism.measurements(view_of(heart()[..., None], 200), 0)
    known = {"myocardium": 0.4, "RV blood": 0.9, "lateral, median": 0.1}
    known |= dict.fromkeys(("deviation in LV", "deviation in MYO", "noise in MYO", "noise in lateral"), 0.0)
    assert {name: found[name] for name in known} == pytest.approx(known, abs=1e-3)
    assert found["wall (mm)"] == pytest.approx(OUTER_MM - INNER_MM, abs=0.3)
    assert found["RV area / LV area"] == pytest.approx((RV_MM / INNER_MM) ** 2, rel=0.03)
    assert found["endocardial edge (mm)"] < 2.6 and found["lateral edge (mm)"] < 2.6  # no sharper than a pixel shows


@pytest.mark.parametrize("sigma_mm", [1.2, 2.0])
def test_width_of_a_blurred_edge(sigma_mm):
    labels = heart(n_slices=1)
    image = ndimage.gaussian_filter(painted(labels).astype(float), (sigma_mm, sigma_mm, 0))
    found = realism.edges(*realism.standard_slice(image, labels, SPACING))
    pixel_sigma = np.sqrt(sigma_mm**2 + (1.0 + 1.5**2) / 12 + 1.5**2 / 6)  # boxes of both pixels, and the reading tent
    for name in ("endocardial edge (mm)", "lateral edge (mm)"):
        assert 2.563 * sigma_mm - 0.2 < found[name] < 2.563 * pixel_sigma + 0.2, name


def test_fall_of_an_exact_profile_and_of_none():
    at = np.arange(0, 60, realism.STEP_MM)
    smooth = 1 - 0.6 * ndimage.gaussian_filter1d((at > 30).astype(float), 2.0 / realism.STEP_MM)
    sides = (6.0, 10.0), (6.0, 10.0)
    assert realism.fall_mm(smooth, 310, *sides) == pytest.approx(2.563 * 2.0, abs=0.2)  # labels 1 mm beside the edge
    for none in (np.ones_like(at), smooth[::-1], np.full_like(at, np.nan)):
        assert np.isnan(realism.fall_mm(none, 300, *sides))


def test_noise_of_known_deviation(sigma=0.05):
    labels = heart(112, 1)[..., 0]
    picture = painted(labels) + np.random.default_rng(0).normal(0, sigma, labels.shape)
    found = realism.noise(picture, labels)
    assert [found["noise in LV"], found["noise in lateral"]] == pytest.approx([sigma, sigma], rel=0.12)


def test_spectrum_of_white_noise_and_of_a_power_law():
    white = np.random.default_rng(1).normal(0, 1, (10, realism.SIZE, realism.SIZE))
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(realism.SIZE, realism.PIXEL_MM)] * 2))
    law = np.fft.ifft2(np.fft.fft2(white) * np.maximum(frequency, 1e-3) ** -1.5).real
    flat, steep = (np.mean([[*realism.spectrum(one).values()] for one in ten], axis=0) for ten in (white, law))
    assert abs(flat[0]) < 0.2 and flat[1] == pytest.approx((frequency > realism.FINE).mean(), abs=0.02)
    assert steep[0] == pytest.approx(-3.0, abs=0.2)
    white[0, 50, 50] = np.nan
    assert np.isnan(realism.spectrum(white[0])["spectral slope"])


def test_pixel_size_and_grey_scale_do_not_matter():
    fine = heart(200, 1)
    coarse = fine[::2, ::2]
    one = realism.standard_slice(painted(fine), fine, SPACING)
    other = realism.standard_slice(77 * painted(coarse), coarse, (2.0, 2.0, 10.0))
    assert realism.contrasts(*other) == pytest.approx(realism.contrasts(*one), abs=0.05)
    assert realism.shape(coarse[..., 0], (2.0, 2.0))["wall (mm)"] == pytest.approx(OUTER_MM - INNER_MM, abs=0.5)


def test_what_is_not_there_is_nan_and_a_frame_without_a_ventricle_is_refused():
    labels = heart(120, 1)
    labels[labels == LABELS["RV"]] = 0
    found = realism.measurements(view_of(labels[..., None]), 0)
    assert np.isnan([found[name] for name in ("RV blood", "lateral, median", "lateral edge (mm)")]).all()
    assert found["myocardium"] == pytest.approx(0.4, abs=1e-3)
    with pytest.raises(ValueError, match="no slice with LV and MYO"):
        realism.middle_slice(np.zeros((8, 8, 2), np.uint8))


def test_table_has_a_row_per_subject_and_phase():
    view = view_of(np.stack([heart(n_slices=1)] * 2, axis=-1))
    table = realism.table({"a": view, "b": view})
    assert list(table.index) == [("a", "ED"), ("a", "ES"), ("b", "ED"), ("b", "ES")]
    assert table["RV blood"].tolist() == pytest.approx([0.9] * 4, abs=1e-3)
