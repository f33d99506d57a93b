"""Labels as readers draw them: closed rings, a base by rule, no RV without LV, contours that reach into muscle."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cinema.phantom import drawing, shape
from cinema.phantom.body import CODE, LABEL_OF
from cinema.phantom.drawing import GENEROUS_MM, SEPTAL_MM, drawn
from cinema.phantom.heart import Heart
from cinema.phantom.image import SAMPLES, Acquisition, Plane, majority_label, sample_positions
from cinema.phantom.shape import LEVELS, surfaces
from cinema.phantom.tissue import points, tissue_at
from cinema.terms import LABELS

HEART = Heart(150, 62, 165, 75, 100, 94, 13, detail_seed=4)
Z_MM = np.arange(-30.0, 96.0, 3.0)


def slices(heart, phase, pixel_mm=2.0, z_mm=Z_MM):
    """(tissues, labels by tissue, labels as drawn), the latter two (x, y, z), of upright slices."""
    spacing = pixel_mm, pixel_mm, z_mm[1] - z_mm[0]
    plane = Plane(np.array([0, 0, z_mm[0]]), np.eye(3), spacing, (90, 90, len(z_mm)))
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


def test_contours_lie_on_the_dark_side_of_the_border():
    """Against the surfaces, mid-ventricle: the cavity takes muscle all round, the ring some of the RV at the septum."""
    labels, s, pen = slices(HEART, 0.0, pixel_mm=1.0)[2], surfaces(HEART, 0.0), drawing.contours(HEART, 0.0)
    z = int(np.argmin(np.abs(Z_MM - 0.4 * s.length_mm)))
    row = int(np.argmin(np.abs(LEVELS - Z_MM[z] / s.length_mm)))
    disc = lambda radius: np.mean(radius**2) * np.pi
    assert area(labels, "LV")[z] == pytest.approx(disc(s.endo[row] + GENEROUS_MM), rel=0.03)
    beside = pen.beside[row]
    edge = np.where(beside, s.epi[row] + SEPTAL_MM, s.epi[row] - GENEROUS_MM)
    assert (area(labels, "LV") + area(labels, "MYO"))[z] == pytest.approx(disc(edge), rel=0.03)
    assert 0.15 < beside.mean() < 0.6


@pytest.mark.parametrize("heart", [HEART, replace(HEART, detail_seed=9), replace(HEART, mapse_mm=3, lv_esv_ml=110)])
def test_volumes_as_drawn_are_those_of_the_labels_on_thin_slices(heart):
    """The closed form against summed labels; the RV's first slice is a matter of a few ml."""
    for phase in (0.0, heart.es_fraction):
        labels = slices(heart, phase, z_mm=np.arange(-25.0, 96.0))[2]
        lv, wall, rv = drawing.volumes_ml(heart, phase)
        counted = [area(labels, name).sum() * 2 * 2 / 1000 for name in ("LV", "MYO", "RV")]
        assert counted[0] == pytest.approx(lv, rel=0.03)
        assert counted[1] == pytest.approx(wall, rel=0.04)
        assert counted[2] == pytest.approx(rv, rel=0.05)


def test_a_reader_leaves_out_what_lines_a_contracted_right_ventricle():
    """Of the tissue, trabeculae are part of the cavity at both phases; drawn, they are so by IN_RV of their depth."""
    kept = [drawing.volumes_ml(HEART, phase)[2] / shape.volumes_ml(HEART, phase)[2] for phase in (0.0, 0.35)]
    assert kept[1] < kept[0] < 1.02
