"""Figures: files are whole and repeatable, axes carry units, pictures show what is in the arrays."""

import base64
import io
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cinema.data.study import View
from cinema.plots import agreement, curves, distributions, images, style
from cinema.stats.estimates import Estimate
from cinema.terms import LABELS, TISSUE_LABELS


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def disc_view(n=32, z=3, frames=2):
    """A bright LV disc in a ring of myocardium beside an RV, on every slice and frame."""
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    radius = np.hypot(x - 20, y - 16)
    label = np.zeros((n, n), np.uint8)
    label[np.hypot(x - 8, y - 16) < 5] = LABELS["RV"]
    label[radius < 8] = LABELS["MYO"]
    label[radius < 5] = LABELS["LV"]
    image = np.float32(label != LABELS["MYO"]) * (label > 0)
    tile = (1, 1, z, frames)
    return View(
        np.tile(image[..., None, None], tile),
        np.diag([2.0, 2.0, 10.0, 1.0]),
        np.tile(label[..., None, None], tile),
        tuple(range(frames)),
    )


def test_save_writes_the_same_bytes_twice_and_nothing_else(tmp_path):
    for folder in ("a", "b"):
        fig, ax = style.figure()
        ax.plot([0, 1], [0, 1])
        style.save(fig, "01_line", tmp_path / folder, seed=3)
    for name in ("01_line.png", "01_line.pdf"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["01_line.pdf", "01_line.png"]
    with Image.open(tmp_path / "a" / "01_line.png") as picture:
        assert picture.info["Description"] == "notebook 01, seed 3, data: virtual"
    assert any("virtual" in text.get_text() for text in [fig._supxlabel])


def test_figure_refuses_three_columns():
    with pytest.raises(ValueError, match="1 or 2 columns"):
        style.figure(columns=3)


def test_cine_is_one_image_that_moves_within_its_limit():
    rng = np.random.default_rng(0)
    film = np.stack([np.roll(rng.random((64, 64)), t, axis=0) for t in range(8)], axis=-1)
    label = np.zeros((64, 64, 8), np.uint8)
    label[20:40, 20:40] = LABELS["LV"]
    html = style.cine({"SAX": film, "4C": film}, labels={"SAX": label}, height=96)
    assert html.startswith("<img") and html.count("data:image/webp") == 1 and "SAX, 4C" in html
    data = base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.n_frames == 8 and picture.size == (192, 96)
    assert len(data) <= 130_000


def test_cine_refuses_views_of_different_length():
    with pytest.raises(ValueError, match="same number"):
        style.cine({"SAX": np.zeros((8, 8, 3)), "4C": np.zeros((8, 8, 4))})


def test_panels_show_x_to_the_right():
    _, ax = style.figure()
    view = disc_view()
    images.labelled(ax, view)
    assert ax.images[0].get_array().shape == (32, 32)
    assert ax.images[0].get_array()[16, 20] == 1.0  # row y = 16, column x = 20: the LV disc
    lv = ax.collections[-1].get_paths()[0].vertices
    assert lv.mean(axis=0) == pytest.approx([20, 16], abs=0.3)


def test_cuts_follow_the_geometry():
    """A short-axis stack cuts a plane through its axis in parallel lines, one a slice, at the slice positions."""
    stack = disc_view(z=3)
    along = np.array([[2.0, 0, 0, 0], [0, 0, 2.0, 33.0], [0, 2.0, 0, -20.0], [0, 0, 0, 1]])  # x across, y along z
    plane = View(np.zeros((32, 40, 1, 1), np.float32), along)
    _, ax = style.figure()
    images.cuts(ax, plane, [(stack, "white", "-")], frame_colour="red")
    heights = [np.unique(np.round(line.get_ydata() * 2.0 - 20.0, 6)) for line in ax.lines]
    assert np.concatenate(heights).tolist() == [0.0, 10.0, 20.0]


def test_stack_and_landmarks_and_legend():
    fig, axes = style.figure(columns=2, cols=3)
    view = disc_view()
    images.stack(axes, view, 1, view.label_at(1))
    images.landmarks(axes[0], np.array([[1.0, 2], [3, 4], [5, 6]]))
    images.structure_legend(fig)
    assert all(len(ax.images) == 1 and len(ax.collections) == 3 for ax in axes)


def test_masking_hides_what_is_hidden():
    _, axes = style.figure(rows=3)
    image, hidden = np.full((8, 8), 0.5), np.zeros((8, 8), bool)
    hidden[:4] = True
    images.reconstruction(axes, image, hidden, np.full((8, 8), 0.9))
    absent = np.ma.getmaskarray(axes[1].images[0].get_array())
    assert absent[:, :4].all() and not absent[:, 4:].any()
    assert np.unique(axes[2].images[0].get_array()).tolist() == [0.5, 0.9]
    images.game(axes, image, hidden)
    shown = [np.ma.getmaskarray(ax.images[-1].get_array()) for ax in axes]
    assert not shown[0].any() and np.array_equal(shown[1], ~shown[2])


def test_axes_name_quantity_and_unit():
    table = pd.DataFrame(
        {
            "study": list("aabb"),
            "structure": "LV",
            "slice": [0, 1, 0, 1],
            "dice": [0.8, 0.9, 0.7, 0.95],
            "model": "UNet",
        }
    )
    fig, axes = style.figure(columns=2, rows=2, cols=4)
    volumes, losses, slices, scores, ranges, limits, scatter, splits = axes.flat
    curves.volumes(volumes, np.arange(4.0), {"LV": [120, 50, 60, 110]})
    curves.losses(losses, pd.DataFrame({"step": [0, 1], "loss": [1, 0.5]}), {"loss": "training"})
    curves.dice(slices, table, "LV")
    distributions.scores(scores, table, {("LV", "UNet"): Estimate(0.84, 0.7, 0.9, 2)})
    distributions.reference(ranges, {"women": [110.0, 130.0]}, {"women": (124, 21)}, "LVEDV (ml)")
    distributions.splits(splits, pd.DataFrame({"dataset": ["ACDC"], "train": [90], "val": [10], "test": [50]}))
    truth = np.array([50.0, 55.0, 60.0, 65.0])
    agreement.bland_altman(limits, truth, truth + [1, 2, 1, 0])
    agreement.scatter(scatter, truth, truth + 1)
    fig.canvas.draw()
    assert volumes.get_ylabel() == "Volume (ml)" and "(ms)" in volumes.get_xlabel()
    assert limits.get_ylabel().endswith("(points)") and limits.get_xlabel().endswith("(%)")
    assert "n = 4" in limits.get_title(loc="left") and "n = 4" in scatter.get_title(loc="left")
    assert "n = 2" in scores.get_legend().get_texts()[0].get_text()
    assert "n = 2" in slices.get_legend().get_texts()[0].get_text()
    assert "n = 2" in ranges.get_xticklabels()[0].get_text()
    assert all(ax.get_ylabel() for ax in (losses, slices, scores, ranges, scatter))
    assert splits.get_xlabel().startswith("Studies")


def test_every_structure_and_tissue_has_an_outline_and_a_line_of_its_own():
    label = np.zeros((40, 40), np.uint8)
    for value in (LABELS | TISSUE_LABELS).values():
        label[4 + 5 * value : 8 + 5 * value, 10:20] = value
    fig, ax = style.figure()
    images.outlines(ax, label)
    images.structure_legend(fig, list(images.ALL_STYLES))
    fig.canvas.draw()
    assert len(ax.collections) == len(images.ALL_STYLES) == len(set(images.ALL_STYLES.values())) == 6
    assert len(fig.legends[0].get_lines()) == 6
