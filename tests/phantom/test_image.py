"""MR appearance: the signal equation against a Bloch simulation, partial volume, noise, planes."""

import numpy as np
import pytest

from cinema.phantom import image
from cinema.phantom.base import mitral_middle
from cinema.phantom.body import CODE
from cinema.phantom.heart import Heart
from cinema.phantom.image import QUIET_NOISE, SAMPLES, Acquisition, acquire, place
from cinema.phantom.shape import surfaces
from cinema.terms import LAX_VIEWS, SMALL_GRID

HEART = Heart(150, 62, 165, 75, 100, 94, 13)
STILL = Acquisition(plane_error_deg=0, breath_shift_mm=0)


def bloch(t1, t2, flip_deg, tr, te, pulses=3000):
    """Transverse magnetisation of a balanced sequence with alternating pulses, stepped until steady."""
    m = np.array([0.0, 0.0, 1.0])
    for n in range(pulses):
        a = np.deg2rad(flip_deg) * (1 if n % 2 else -1)
        m = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]]) @ m
        echo = abs(m[1]) * np.exp(-te / t2)
        m = np.array([m[0] * np.exp(-tr / t2), m[1] * np.exp(-tr / t2), 1 + (m[2] - 1) * np.exp(-tr / t1)])
    return echo


@pytest.mark.parametrize(("t1", "t2"), [(1441, 250), (1030, 44), (380, 90)])
def test_signal_equals_a_bloch_simulation(t1, t2):
    ours = image.steady_state_signal(1.0, t1, t2, 60.0, 3.0, 1.5)
    assert ours == pytest.approx(bloch(t1, t2, 60.0, 3.0, 1.5), rel=2e-3)


def test_blood_is_brighter_than_muscle_at_both_field_strengths():
    for field in (1.5, 3.0):
        signal = image.tissue_signals(Acquisition(field_t=field), np.random.default_rng(0))
        assert signal[CODE["lv_blood"]] == 1 and 0.1 < signal[CODE["myocardium"]] < 0.6
        assert signal[CODE["fat"]] < 0  # out of phase with water


def test_majority_label_counts_samples_and_ties_go_to_the_heart():
    name = {"B": "lv_blood", "W": "myocardium", "L": "lung"}
    column = np.array([[CODE[name[letter]] for letter in voxel] for voxel in ("BBBW", "WWLL", "LLLB", "BBWW")]).T
    np.testing.assert_array_equal(image.majority_label(column[:, :, None, None])[:, 0, 0], [3, 2, 0, 3])


def test_same_seed_same_bits_other_seed_other_noise():
    first, again = (acquire(HEART, Acquisition(seed=3), [0.0])["sax"] for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    assert not np.array_equal(first.image, acquire(HEART, Acquisition(seed=4), [0.0])["sax"].image)


def test_noise_is_rician_at_the_stated_ratio():
    """In air the magnitude of complex noise of deviation s (QUIET_NOISE of that in blood) has mean s sqrt(pi / 2)."""
    grid = {"sax": ((160, 160, 3), (3.0, 3.0, 12.0))}
    scan = acquire(HEART, Acquisition(snr=20, breath_shift_mm=0), [0.0], grid=grid, views=("sax",))["sax"]
    air = scan.image[:12, :12, 0, 0]
    assert air.mean() == pytest.approx(QUIET_NOISE * 0.6 / 20 * np.sqrt(np.pi / 2), rel=0.1)


def test_slices_run_from_base_to_apex_and_the_long_axes_hold_valve_and_apex():
    assert place(HEART, STILL, "sax").columns[2, 2] == pytest.approx(1.0)
    valve, apex = mitral_middle(HEART, surfaces(HEART, 0.0)), np.array([0, 0, HEART.lv_length_mm])
    for plane in (place(HEART, STILL, view) for view in LAX_VIEWS):
        off = np.array([valve, apex] - plane.first_mm) @ plane.columns[:, 2]
        assert np.abs(off).max() < 6 and abs(off[0] - off[1]) < 1e-6  # parallel to that line, and near it


def test_affine_sends_the_stack_centre_to_the_heart():
    size, spacing = SMALL_GRID["sax"]
    plane = place(HEART, STILL, "sax")
    world = plane.affine(HEART) @ [*((np.array(size[:2]) - 1) / 2), 0, 1]
    expected = np.linalg.norm(plane.first_mm - [0, 0, 0.45 * HEART.lv_length_mm])
    assert np.linalg.norm(world[:3]) == pytest.approx(expected, abs=1e-6)  # body origin = middle of the LV
    np.testing.assert_allclose(np.linalg.norm(plane.affine(HEART)[:3, :3], axis=0), spacing)


def test_samples_spread_evenly_over_the_voxel():
    np.testing.assert_allclose(SAMPLES.mean(axis=0), [0, 0, 0], atol=0.07)
    assert len(np.unique(SAMPLES[:, 2])) == len(SAMPLES)


def test_thin_slices_lose_less_to_partial_volume():
    """A voxel's samples differ at edges; thicker slices have more mixed voxels, so a softer image."""
    scans = [Acquisition(slice_thickness_mm=mm, breath_shift_mm=0, snr=1e6) for mm in (2.0, 16.0)]
    images = [acquire(HEART, scan, [0.0], views=("sax",))["sax"].image[..., 0] for scan in scans]
    thin, thick = (np.abs(np.diff(image, axis=0)).max(axis=(0, 1)).mean() for image in images)
    assert thin > thick


def test_unknown_view_is_refused():
    with pytest.raises(ValueError, match="unknown view"):
        acquire(HEART, STILL, [0.0], views=("lax_5c",))
