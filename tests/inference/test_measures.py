"""MAPSE and long-axis shortening against the closed form of virtual hearts, with noise planted on their landmarks."""

from dataclasses import replace

import numpy as np
import pytest

from cinema.inference.measures import lax_metrics, long_axis_motion, smooth_marks
from cinema.phantom import cohort, image, shape
from cinema.stats.metrics import mapse_mm
from cinema.terms import LAX_VIEWS

N_FRAMES = 25
SPACING = (1.5, 1.5)
GRID = {view: ((150, 150), SPACING) for view in LAX_VIEWS}


def marks_of(person, view):
    """(heart, true landmarks of a cycle) of a person."""
    heart = person.heart
    plane = image.place(heart, replace(person.acquisition, pixel_mm=None), view, GRID)
    return heart, image.landmarks(heart, plane, np.arange(N_FRAMES) / N_FRAMES)


def errors(noise_mm, n_hearts=24, repeats=4):
    """(measurements, 3) error of MAPSE, of the published MAPSE (mm) and of shortening (percent) under planted noise."""
    rng, rows = np.random.default_rng(0), []
    for index in range(n_hearts):
        heart, exact = marks_of(cohort.person("training", index, 3), LAX_VIEWS[index % 3])
        truth, es = shape.truth(heart, [0.0]), round(heart.es_fraction * N_FRAMES)
        for _ in range(repeats):
            found = exact + rng.normal(0, noise_mm / SPACING[0], exact.shape)
            mapse, shortening = long_axis_motion(smooth_marks(found), SPACING, 0, es)
            published = mapse_mm(found, SPACING) - truth["mapse_mm"]
            rows.append((mapse - truth["mapse_mm"], published, shortening - truth["shortening_percent"]))
    return np.array(rows)


def test_exact_landmarks_give_the_closed_form():
    mapse, _, shortening = errors(0.0, repeats=1).T
    assert -0.6 < mapse.mean() < 0 and np.abs(mapse).max() < 1.2  # mm
    assert -0.7 < shortening.mean() < 0.1 and np.abs(shortening).max() < 1.5  # points


def test_noise_adds_nothing_to_the_mean():
    quiet, noisy = errors(0.0, repeats=1).mean(axis=0), errors(2.5)
    away = noisy.mean(axis=0) - quiet
    assert abs(away[0]) < 0.4 and abs(away[2]) < 0.8
    assert away[1] > 0.5  # the largest total displacement grows
    assert noisy[:, 0].std() < 2.2


def test_only_motion_along_the_axis_counts():
    marks = np.tile([[10.0, 0], [30, 0], [20, 60]], (N_FRAMES, 1, 1))
    marks[9, :2] += [4, 7]  # 7 toward the apex, 4 across
    mapse, shortening = long_axis_motion(marks, (2.0, 2.0), 0, 9)
    assert mapse == pytest.approx(14)
    assert shortening == pytest.approx(100 * (120 - 2 * np.hypot(4, 53)) / 120)
    marks[9, :2] -= [4, 14]  # away from it
    assert long_axis_motion(marks, (2.0, 2.0), 0, 9)[0] == pytest.approx(-14)


def test_smoothing_keeps_a_parabola_and_short_series():
    path = np.linspace(0, 1, 12)[:, None, None] ** 2 * np.ones((12, 3, 2))
    np.testing.assert_allclose(smooth_marks(path)[3:-3], path[3:-3], atol=1e-12)
    np.testing.assert_array_equal(smooth_marks(path[:5]), path[:5])


def test_frames_are_found_by_their_share_of_the_cycle():
    marks = np.tile([[10.0, 0], [30, 0], [20, 60]], (20, 1, 1))
    marks[8, :2, 1] = 5
    marks[12, :2, 1] = 9
    views = {"lax_4c": marks, "lax_2c": marks[:1]}
    spacings = dict.fromkeys(views, (1.0, 1.0))
    assert lax_metrics(views, spacings, 0.0, 0.4)["MAPSE"] == {"lax_4c": pytest.approx(5)}
    assert lax_metrics(views, spacings, None, None)["MAPSE"] == {"lax_4c": pytest.approx(9)}  # where it is shortest
    assert set(lax_metrics(views, spacings, 0.0, 0.4)["landmarks"]) == set(views)
