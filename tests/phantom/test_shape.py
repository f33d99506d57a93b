"""The virtual heart's geometry against independent numbers: rasterised volumes, conservation, closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from cinema.phantom.body import LABEL_OF
from cinema.phantom.heart import Heart, Infarct
from cinema.phantom.image import Acquisition, acquire
from cinema.phantom.shape import LEVELS, _integral, emptying, surfaces, truth, volumes_ml
from cinema.phantom.tissue import points, pose, tissue_at
from cinema.terms import LABELS, LAX_VIEWS, MYOCARDIUM_DENSITY_G_PER_ML

NORMAL = Heart(150, 62, 165, 75, 100, 94, 13)
THICK = Heart(110, 32, 130, 55, 210, 86, 9, septal_bulge=1.3)
DILATED = Heart(320, 250, 190, 110, 170, 115, 6, infarcts=(Infarct(90, 0.7, akinesia=0.9, thinning=0.4),))
HEARTS = {"normal": NORMAL, "thick": THICK, "dilated": DILATED}


@pytest.fixture(params=HEARTS, name="heart")
def _heart(request):
    return HEARTS[request.param]


def counted_ml(heart, phase, step_mm=1.5):
    """Volumes by counting points of a fine lattice, which knows nothing of the radial grid."""
    xy, z = np.arange(-90, 90, step_mm), np.arange(-60, 135, step_mm)
    lattice = np.stack(np.meshgrid(xy, xy, z, indexing="ij")).reshape(3, -1)
    labels = LABEL_OF[tissue_at(heart, points(heart, lattice), phase)]
    return [np.sum(labels == LABELS[s]) * step_mm**3 / 1000 for s in ("LV", "MYO", "RV")]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_volumes_equal_counted_points(heart, share):
    phase = share * heart.es_fraction
    # Truth's wall is integrated from the mitral plane; the lattice sees the same piece.
    np.testing.assert_allclose(counted_ml(heart, phase), volumes_ml(heart, phase), rtol=0.02)


def test_volumes_and_lengths_meet_the_request(heart):
    t = truth(heart, [0.0, heart.es_fraction])
    np.testing.assert_allclose(t["lv_volume_ml"], [heart.lv_edv_ml, heart.lv_esv_ml], rtol=1e-5)
    np.testing.assert_allclose(t["rv_volume_ml"], [heart.rv_edv_ml, heart.rv_esv_ml], rtol=1e-5)
    assert volumes_ml(heart, 0.0)[1] * MYOCARDIUM_DENSITY_G_PER_ML == pytest.approx(heart.lv_mass_g, rel=1e-5)
    # The apex rises by 0.12 of what the base descends.
    known = {"mapse_mm": heart.mapse_mm, "shortening_percent": 112 * heart.mapse_mm / heart.lv_length_mm}
    assert {name: t[name] for name in known} == pytest.approx(known)


def test_wall_volume_is_conserved(heart):
    walls = [volumes_ml(heart, phase)[1] for phase in np.linspace(0, 1, 9)]
    np.testing.assert_allclose(walls, walls[0], rtol=1e-4)


def test_wall_thickens_toward_end_systole(heart):
    ed, es = surfaces(heart, 0.0), surfaces(heart, heart.es_fraction)
    thicker = ((es.epi - es.endo) - (ed.epi - ed.endo))[(LEVELS > 0.05) & (LEVELS < 0.8)]
    assert thicker.mean() > 0 and (thicker.min() > 0 or heart is not NORMAL)


def test_infarct_moves_less_than_the_rest():
    healthy = replace(DILATED, infarcts=())
    inward = {h: surfaces(h, 0.0).endo - surfaces(h, h.es_fraction).endo for h in (healthy, DILATED)}
    centre = (125, 45)  # level 0.75, 90 degrees
    assert inward[DILATED][centre] < 0.5 * inward[healthy][centre]


def test_the_cycle_closes_and_is_emptiest_at_end_systole(heart):
    phases = np.linspace(0, 1, 201)
    empty = emptying(heart, phases)
    assert emptying(heart, 0.0) == 0 and emptying(heart, 1 - 1e-9) == pytest.approx(0, abs=1e-6)
    assert abs(phases[empty.argmax()] - heart.es_fraction) <= 0.005 and empty.min() >= -1e-9


def test_a_sphere_like_heart_meets_the_closed_form():
    """The disc sum of r = a sqrt(1 - zeta^2) is 2/3 pi a^2 L: checks the integral, not the anatomy."""
    zeta, a, length = LEVELS[:, None], 25.0, 90.0
    inside = (zeta >= 0) & (zeta <= 1)
    r2 = np.repeat(inside * a**2 * (1 - np.clip(zeta, 0, 1) ** 2), 180, axis=1)
    half_step = 0.5 * (LEVELS[1] - LEVELS[0]) * a**2 * 2 * np.pi  # the sum counts the base level in full
    assert length / 2 * (_integral(r2) - half_step) == pytest.approx(2 / 3 * np.pi * a**2 * length, rel=1e-4)


@pytest.mark.parametrize("view", LAX_VIEWS)
def test_landmarks_sit_on_the_labels(view):
    """Apex at the tip of the cavity, hinges at its basal corners within two pixels; at ES, when muscle has swollen
    inward past the ring, at those of the ventricle."""
    scan = acquire(NORMAL, Acquisition(plane_error_deg=0, breath_shift_mm=0), [0.0, 0.35], views=(view,))[view]
    for t, marks in enumerate(scan.landmarks):
        cavity = np.argwhere(scan.labels[:, :, 0, t] == LABELS["LV"])
        ventricle = np.argwhere(np.isin(scan.labels[:, :, 0, t], (LABELS["LV"], LABELS["MYO"])[: t + 1]))
        assert max(np.linalg.norm(ventricle - mark, axis=1).min() for mark in marks) < 2.0
        furthest = cavity[np.linalg.norm(cavity - marks[:2].mean(axis=0), axis=1).argmax()]
        assert np.linalg.norm(furthest - marks[2]) < 2.5


def test_views_agree_in_patient_space():
    """The same point of the body has the same label in the short-axis stack and in every long axis."""
    sax, *long_axes = acquire(NORMAL, Acquisition(breath_shift_mm=0), [0.0]).values()
    for lax in long_axes:
        i, j = np.indices(lax.image.shape[:2])
        world = lax.affine @ np.stack([i, j, 0 * i, 0 * i + 1]).reshape(4, -1)
        at = np.linalg.inv(sax.affine) @ world
        close = (np.abs(at[2] - np.rint(at[2])) < 0.1) & np.all((at[:2] > 0) & (at[:2] < 63), axis=0)
        close &= (np.rint(at[2]) >= 0) & (np.rint(at[2]) < sax.image.shape[2])
        index = tuple(np.rint(at[:3, close]).astype(int))
        same = sax.labels[..., 0][index] == lax.labels[:, :, 0, 0].ravel()[close]
        assert close.sum() > 100 and same.mean() > 0.93


def test_impossible_hearts_are_refused():
    for sizes, message in (
        ((100, 120, 150, 70, 100, 90, 12), "0 < ES < ED"),
        ((150, 60, 150, 70, 100, 90, 60), "MAPSE"),
        ((150, 60, 150, 70, 0, 90, 12), "must be positive"),
        ((150, 60, 150, 70, 3.0, 90, 12), "wall"),
    ):
        with pytest.raises(ValueError, match=message):
            surfaces(Heart(*sizes), 0.0)


def test_the_heart_is_not_mirrored_in_the_body():
    """Septal, anterior, apical axes form a left-handed set; the apex points left, forward and down, the RV right."""
    for seed in range(20):
        axes = pose(replace(NORMAL, detail_seed=seed))
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(axes) == pytest.approx(-1)
        assert axes[2, 0] < 0 < axes[2, 1] and axes[2, 2] < 0 < axes[0, 0] and axes[1, 2] > 0
