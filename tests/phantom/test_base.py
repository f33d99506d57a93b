"""The base of a heart: where the mitral hinges are, that valves open and shut, that walls divide what they should."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cinema.phantom import base, image
from cinema.phantom.body import CODE, LABEL_OF
from cinema.phantom.heart import Heart
from cinema.phantom.image import Acquisition, landmarks, place
from cinema.phantom.shape import LEVELS, surfaces
from cinema.phantom.tissue import points, tissue_at
from cinema.terms import LABELS, LAX_VIEWS

NORMAL = Heart(150, 62, 165, 75, 100, 94, 13, detail_seed=5)
HEARTS = (NORMAL, replace(NORMAL, detail_seed=11), Heart(260, 190, 180, 110, 150, 104, 6, detail_seed=3))
TRUE_PLANE = Acquisition(plane_error_deg=0, breath_shift_mm=0)
PHASES = (0.0, 0.2, 0.35, 0.5, 0.9)


def in_heart(plane, marks):
    """(3, 3) heart mm of the landmarks (3, 2) of a frame."""
    steps = (marks - (np.asarray(plane.size[:2]) - 1) / 2) * plane.spacing_mm[:2]
    return plane.first_mm + steps @ plane.columns[:, :2].T


@pytest.mark.parametrize("heart", HEARTS)
def test_in_3c_the_anterior_leaflet_hangs_from_the_aortic_root(heart):
    plane = place(heart, TRUE_PLANE, "lax_3c")
    for phase, marks in zip(PHASES, landmarks(heart, plane, PHASES)):
        s = surfaces(heart, phase)
        anterior, posterior, _ = in_heart(plane, marks)
        root = base.root(heart)
        away = np.hypot(*(anterior[:2] - base.root_middle(heart, s, s.base_mm - anterior[2])))
        assert away == pytest.approx(root.radius_mm + base.ROOT_WALL_MM / 2, abs=0.5)
        towards = base.mitral_middle(heart, s)[:2] - base.root_middle(heart, s, 0.0)
        assert (anterior[:2] - base.root_middle(heart, s, 0.0)) @ towards > 0  # its back, not its septal side
        assert posterior[:2] @ root.out < -0.5 * s.endo[LEVELS.searchsorted(0.0)].mean()


@pytest.mark.parametrize("heart", HEARTS)
@pytest.mark.parametrize("view", LAX_VIEWS)
def test_hinges_lie_where_leaflets_insert(heart, view):
    """At every phase there is leaflet within 2 mm of a hinge, and none 5 mm further out."""
    plane = place(heart, TRUE_PLANE, view)
    for phase, marks in zip(PHASES, landmarks(heart, plane, PHASES)):
        s, rng = surfaces(heart, phase), np.random.default_rng(0)
        middle = base.mitral_middle(heart, s)
        for hinge in in_heart(plane, marks)[:2]:
            cloud = hinge[:, None] + rng.uniform(-2, 2, (3, 4000))
            assert base.mitral_leaflets(heart, s, cloud.astype(np.float32), phase).any()
            outward = (hinge - middle)[:2] / np.linalg.norm((hinge - middle)[:2])
            cloud = hinge[:, None] + (cloud - hinge[:, None]) / 2 + 5 * np.append(outward, 0)[:, None]
            assert not base.mitral_leaflets(heart, s, cloud.astype(np.float32), phase).any()


def test_away_from_the_root_the_ring_is_where_the_muscle_ends():
    s = surfaces(NORMAL, 0.0)
    ring = base.mitral_ring(NORMAL, s)
    lateral = ring[ring[:, :2] @ base.root(NORMAL).out < -5]
    radius, angle = np.hypot(lateral[:, 0], lateral[:, 1]), np.rad2deg(np.arctan2(lateral[:, 1], lateral[:, 0])) % 360
    index = np.rint(angle / 2).astype(int) % 180
    np.testing.assert_allclose(radius, s.endo[np.searchsorted(LEVELS, s.rim), np.arange(180)][index], rtol=1e-5)
    np.testing.assert_allclose(lateral[:, 2], s.base_mm + s.rim[index] * s.length_mm, atol=1e-4)


@pytest.mark.parametrize("heart", HEARTS)
def test_the_valve_is_shut_in_systole_and_open_in_early_diastole(heart):
    """In systole no way leads through the ring; open, blood lies in its middle half."""
    rng = np.random.default_rng(1)
    es = heart.es_fraction
    for phase, shut in ((0.2, True), (es + 0.12, False)):
        s = surfaces(heart, phase)
        middle, opening = base.mitral_middle(heart, s), base.mitral_opening(heart, phase)
        lines = middle[:2, None] + rng.uniform(-3, 3, (2, 50))
        depth = np.linspace(-3, 15, 200)
        cloud = np.concatenate([np.repeat(lines, len(depth), axis=1), middle[2] + np.tile(depth, 50)[None]])
        hit = base.mitral_leaflets(heart, s, cloud.astype(np.float32), phase).reshape(50, -1).any(axis=1)
        assert opening == (0 if shut else 1)
        assert hit.mean() > 0.9 if shut else hit.mean() < 0.1


def test_leaflets_and_papillary_muscles_take_nothing_from_the_cavity():
    """LV labels fill the same share of space with and without what hangs in the cavity."""
    rng = np.random.default_rng(2)
    cloud = rng.uniform((-40, -40, -10), (40, 40, 100), (60000, 3)).T
    for phase in (0.0, 0.35):
        codes = tissue_at(NORMAL, points(NORMAL, cloud), phase)
        volume_ml = np.mean(LABEL_OF[codes] == LABELS["LV"]) * 80 * 80 * 110 / 1000
        assert volume_ml == pytest.approx(150 if phase == 0 else 62, rel=0.04)
        assert (codes == CODE["papillary"]).any()


def test_a_wall_divides_the_atria():
    """On the way from the left atrium to the right, blood is never next to the other atrium's blood."""
    _, _, (tissues,) = image.tissue_samples(NORMAL, TRUE_PLANE, "lax_4c", [0.35], {"lax_4c": ((200, 200), (0.8, 0.8))})
    blood = (tissues == CODE["atrial_blood"]).all(axis=0)[..., 0]
    pieces, _ = ndimage.label(blood)
    sizes = np.sort(np.bincount(pieces.ravel())[1:])[::-1] * 0.64
    assert sizes[1] > 400  # mm^2: two large chambers, not one


@pytest.mark.parametrize("heart", HEARTS)
def test_hinges_of_three_views_span_the_mitral_plane(heart):
    """Where the plane through them meets the long axis, the cavity of the closed form ends (within 1.5 mm)."""
    planes = [place(heart, TRUE_PLANE, view) for view in LAX_VIEWS]
    for phase in (0.0, 0.35):
        hinges = np.concatenate([in_heart(plane, landmarks(heart, plane, [phase])[0])[:2] for plane in planes])
        z_at_axis = np.linalg.lstsq(np.c_[hinges[:, :2], np.ones(6)], hinges[:, 2], rcond=None)[0][2]
        assert z_at_axis == pytest.approx(surfaces(heart, phase).base_mm, abs=1.5)
