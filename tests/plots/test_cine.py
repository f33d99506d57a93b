"""Pictures of one examination: what is drawn, and where."""

import numpy as np
import pandas as pd
import pytest

from cinema.data.study import View
from cinema.plots import cine, style


@pytest.fixture
def view():
    image = np.random.default_rng(0).random((40, 30, 3, 2))
    labels = np.zeros(image.shape, np.uint8)
    labels[15:25, 10:20, 1:] = 3
    return View(image, np.diag([2.0, 2.0, 10.0, 1.0]), labels, (0, 1))


def test_search_draws_the_window_about_the_centre(view):
    _, ax = style.figure()
    cine.search(ax, view, np.array([20.0, 14.0]), 16.0, true=(19.0, 14.0))
    square = ax.lines[1].get_xydata()
    assert square.min(axis=0).tolist() == [16, 10] and square.max(axis=0).tolist() == [24, 18]  # 16 mm are 8 pixels
    assert [line.get_label() for line in ax.lines[2:]] == ["found", "true"]


def test_slices_come_in_order_and_spare_axes_stay_empty(view):
    _, axes = style.figure(rows=2, cols=2)
    cine.slices(axes, view.image[..., 0], view.labels[..., 0], view.spacing_mm, [2, 0, 1])
    shown = [ax.images[0].get_array().T for ax in axes.flat[:3]]
    for pixels, z in zip(shown, (2, 0, 1)):
        assert np.array_equal(pixels, view.image[3:37, :, z, 0])  # the labels and 25 mm beyond them
    assert not axes[1, 1].images and not axes[1, 1].axison


def test_curves_have_the_structures_colours_and_their_truth(view):
    _, ax = style.figure()
    cine.against_truth(ax, range(3), {"LV": [3, 1, 2], "RV": [4, 2, 3]}, {"LV": [3, 1, 3]}, "Volume (ml)")
    cine.mark_frames(ax, {"ED": 0, "ES": 1})
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["LV"].get_color() == lines["LV, true"].get_color() != lines["RV"].get_color()
    assert "RV, true" not in lines and [text.get_text() for text in ax.texts] == ["ED", "ES"]


def test_distances_show_every_protocol_and_its_range():
    table = pd.DataFrame({"masks": "network", "distance_mm": [10, 20, 20], "LVEF": [50.0, 48.0, 55.0]})
    _, ax = style.figure()
    cine.by_distance(ax, table, "LVEF", "LVEF (%)", reference=51.0)
    assert ax.lines[0].get_ydata().tolist() == [50, 48, 55] and list(ax.get_xticks()) == [10, 20]
    (ranges,) = ax.collections
    assert [segment[:, 1].tolist() for segment in ranges.get_segments()] == [[50, 50], [48, 55]]
