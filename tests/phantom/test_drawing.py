"""Labels as readers draw them: closed rings, a base by rule, no RV without LV, contours that reach into muscle."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cinema.phantom.body import CODE, LABEL_OF
from cinema.phantom.drawing import GENEROUS_MM, drawn
from cinema.phantom.heart import Heart
from cinema.phantom.image import SAMPLES, Acquisition, Plane, majority_label, sample_positions
from cinema.phantom.shape import surfaces
from cinema.phantom.tissue import points, tissue_at
from cinema.terms import LABELS

HEART = Heart(150, 62, 165, 75, 100, 94, 13, detail_seed=4, anatomy=2)
Z_MM = np.arange(-30.0, 96.0, 3.0)


def slices(heart, phase, pixel_mm=2.0):
    """(tissues, labels by tissue, labels as drawn), the latter two (x, y, z), of upright slices at Z_MM."""
    plane = Plane(np.array([0, 0, Z_MM[0]]), np.eye(3), (pixel_mm, pixel_mm, 3.0), (90, 90, len(Z_MM)))
    scan = Acquisition(breath_shift_mm=0.0, slice_thickness_mm=1.0)
    where = points(heart, sample_positions(plane, scan, np.random.default_rng(0)))
    tissues = tissue_at(heart, where, phase).reshape(len(SAMPLES), *plane.size)
    labels = drawn(heart, where, phase, tissues)
    return tissues, majority_label(tissues, LABEL_OF), majority_label(labels, np.arange(4, dtype=np.uint8))


@pytest.fixture(scope="module", params=["ED", "ES"], name="scanned")
def _scanned(request):
    return request.param, *slices(HEART, 0.0 if request.param == "ED" else HEART.es_fraction)


def area(labels, name):
    return (labels == LABELS[name]).sum(axis=(0, 1))


def test_every_drawn_ring_is_closed(scanned):
    phase, _, exact, labels = scanned
    open_in_truth = 0
    for z in np.flatnonzero(area(labels, "LV")):
        cavity, wall = labels[..., z] == LABELS["LV"], labels[..., z] == LABELS["MYO"]
        assert (ndimage.binary_fill_holes(wall) & ~wall)[cavity].all()
        muscle = exact[..., z] == LABELS["MYO"]
        open_in_truth += not (ndimage.binary_fill_holes(muscle) & ~muscle).any()
    assert phase == "ED" or open_in_truth > 0  # toward the outflow tract the tissue itself is no ring


def test_the_base_moves_less_than_the_valve():
    first = {}
    for phase in (0.0, HEART.es_fraction):
        labels = slices(HEART, phase)[2]
        first[phase] = Z_MM[np.flatnonzero(area(labels, "LV"))[0]]
    moved = first[HEART.es_fraction] - first[0.0]
    assert 0 <= moved < HEART.mapse_mm - 3


def test_no_rv_without_lv_and_none_above_the_tricuspid_plane(scanned):
    phase, tissues, _, labels = scanned
    lv, rv = area(labels, "LV"), area(labels, "RV")
    assert not rv[lv == 0].any()
    first = np.flatnonzero(lv)[0]
    if phase == "ES":
        assert rv[first] == 0 and (tissues[..., first] == CODE["atrial_blood"]).any()


def test_contours_reach_into_muscle_from_both_sides():
    """Against the surfaces: area of the drawn wall in the middle of the ventricle."""
    labels, s = slices(HEART, 0.0, pixel_mm=1.0)[2], surfaces(HEART, 0.0)
    z = int(np.argmin(np.abs(Z_MM - 0.4 * s.length_mm)))
    row = int(np.argmin(np.abs(np.linspace(-0.5, 1.3, 181) - Z_MM[z] / s.length_mm)))
    ring = lambda inner, outer: np.mean(outer**2 - inner**2) * np.pi
    whole = ring(s.endo[row], s.epi[row])
    thinner = ring(s.endo[row] + GENEROUS_MM, s.epi[row] - GENEROUS_MM)
    assert area(labels, "MYO")[z] == pytest.approx(thinner, rel=0.03)
    assert thinner < 0.95 * whole


def test_the_recorded_anatomy_has_no_vestibule():
    """Anatomy 2 moves the tricuspid plane further and lets the atrium follow; what the cohorts are made of stays."""
    old = replace(HEART, anatomy=1)
    beyond = [
        (slices(heart, HEART.es_fraction)[0][..., Z_MM > 14] == CODE["atrial_blood"]).sum() for heart in (old, HEART)
    ]
    assert beyond[0] == 0 < beyond[1]
