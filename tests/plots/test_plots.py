"""Figures: files are whole and repeatable, axes carry units, pictures show what is in the arrays."""

import base64
import io
import re
from inspect import signature

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cinema.data.study import View
from cinema.plots import (
    agreement,
    cine,
    classification,
    curves,
    diagrams,
    distributions,
    forest,
    images,
    style,
    survival,
)
from cinema.stats.estimates import Estimate
from cinema.terms import ALL_LINE_STYLES, LABELS, TISSUE_LABELS


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
    image, label = (np.tile(array[..., None, None], (1, 1, z, frames)) for array in (image, label))
    return View(image, np.diag([2.0, 2.0, 10.0, 1.0]), label, tuple(range(frames)))


E = Estimate(0.5, 0.4, 0.7, 12)
F = Estimate(0.3, 0.25, 0.6, 9)
ALONE = Estimate(0.5, np.nan, np.nan, 3)  # too few for an interval
TRUE, X = np.array([50.0, 55.0, 60.0, 65.0]), np.arange(1.0, 5)
DICE = pd.DataFrame({"study": list("aabb"), "structure": "LV", "slice": [0, 1, 0, 1], "dice": [0.8, 0.9, 0.7, 0.95]})
BINS = pd.DataFrame({"predicted": [0.1, 0.6], "observed": [0.2, 0.5], "lower": [0.1, 0.3], "upper": [0.4, 0.7], "n": 5})
GAPS = {"metric": ["dice", "ef"], "attribute": "sex", "group": "F", "against": "M", "n": 10, "n_against": 20}
GAPS |= {"gap": [-0.2, 0.1], "lower": [-0.3, 0], "upper": [-0.1, 0.2], "lower_all": [-0.4, 0], "upper_all": [0, 0.2]}
GAPS = pd.DataFrame(GAPS | {"detectable": [0.1, 0.2], "p_holm": [0.01, 0.5], "p_bh": [0.01, 0.04]})
LEDGER = pd.DataFrame({"claim": "C1", "quantity": "error", "who": ["published CineMA", "CineMA", "UNet"]})
LEDGER = LEDGER.assign(value=[0.9, 1.2, 1.1], lower=[np.nan, 1, 1], upper=[np.nan, 1.4, 1.3], n=[np.nan, 40, 40])
DECIDED = pd.DataFrame({"claim": ["C1", "C2"], "topic": "masks", "needs": ["above", "within"], "margin": [np.nan, 1]})
DECIDED = DECIDED.assign(value=[3.0, 0.0], lower=[1.0, -0.5], upper=[5.0, 0.5], n=40, unit="points")
LEARNT = {"75%": pd.DataFrame({"samples": [0, 10], "loss": [1, 0.5], "val_loss": [1, 0.6]})}
ALIVE = pd.DataFrame({"time": [0.0, 1], "survival": [1, 0.8], "lower": [1, 0.7], "upper": [1, 0.9], "at_risk": [9, 7]})
BY_GROUP = pd.DataFrame({"attribute": ["sex", "sex", "vendor"], "group": ["F", "M", "A"], "n": [4, 5, 9]})
BY_GROUP = BY_GROUP.assign(value=0.5, lower=0.4, upper=0.6)
SLICES = pd.DataFrame({"masks": "network", "distance_mm": [10, 20, 20], "LVEF": [50.0, 48.0, 55.0]})
SPLITS = pd.DataFrame({"dataset": ["ACDC", "private"], "train": [90, None], "val": [10, None], "test": [50, None]})
RELABELLED = {"UNet": {"a": E, "b": F}, "CineMA": {"b": E}}
SCORES = (DICE.assign(model="UNet"), {("LV", "UNet"): Estimate(0.84, 0.7, 0.9, 2)})
ONES = pd.Series([1.0, 1.0], index=["A", "B"])
VOLUMES = {"LV": [120, 50, 60, 110], "RV": [130, 60, 70, 120]}

# function, arguments, and what must be in the labels, titles, ticks, legend or texts of the axes
DRAWN = [
    (agreement.bland_altman, (TRUE, TRUE + [1, 2, 1, 0]), ["True LVEF (%)", "(points)", "n = 4;", "+1.0"]),
    (agreement.bland_altman, (TRUE, TRUE + [1, 2, 1, 0], "MAPSE", "mm"), ["True MAPSE (mm)", "MAPSE (mm)"]),
    (agreement.bland_altman_with_reference, (TRUE, TRUE), ["n = 4,\ntoo small for limits"]),
    (agreement.bland_altman_with_reference, (X.repeat(2), TRUE.repeat(2)), ["Reference LVEF (%)", "points; bias"]),
    (agreement.rescans, (TRUE, TRUE + 1), ["Mean of both, LVEF (%)", "(points)", "n = 4 pairs; 95 % within ±2.0"]),
    (agreement.scatter, (TRUE, TRUE + 1, "age", "years"), ["True age (years)", "n = 4, mean |error| 1.0"]),
    (agreement.offsets, (np.eye(2),), ["Along x (mm)", "Along y (mm)", "n = 2 points", "mean"]),
    (agreement.trade_off, ({"a": (E, F), "b": (F, E)}, [(3, 5), (0, 9)], "CV (%)", "MAE"), ["CV (%)", "MAE", "a", "b"]),
    (cine.against_truth, (X, VOLUMES, {"LV": X}, "Volume (ml)"), ["(ms)", "Volume (ml)", "LV", "LV, true", "RV"]),
    (cine.by_distance, (SLICES, "LVEF", "LVEF (%)", 51.0), ["(mm)", "LVEF (%)", "10", "20", "network", "true"]),
    (cine.volume_curves, (*VOLUMES.values(), 0, 1), ["frame", "volume (ml)", "LV", "RV", "ED", "ES"]),
    (forest.ceiling, (0.7, "ceiling"), ["ceiling"]),
    (classification.roc, ([0, 0, 1, 1], {"net": X}), ["specificity", "Sensitivity", "n = 2 yes, 2 no", "net: 1.00 ("]),
    (classification.calibration, ({"net": BINS},), ["Predicted probability", "Observed share", "n = 10;", "net"]),
    (classification.confusion, ("AAB", [0, 1, 1], "ABC"), ["True class", "n = 3;", "A (n = 2)", "0.50\n(1)"]),
    (curves.volumes, (X, VOLUMES), ["Time after the R wave (ms)", "Volume (ml)", "LV", "RV"]),
    (curves.lengths, (X, X, {"UNet": X}), ["Part of the cycle", "(mm)", "exact landmarks", "UNet"]),
    (curves.losses, (pd.DataFrame({"step": [0, 1], "loss": [1, None]}), {"loss": "training"}), ["Step", "training"]),
    (forest.learning, (LEARNT, {"mean image": 0.9}), ["Frames seen", "hidden patches", "75%", "mean image"]),
    (curves.dice, (DICE, "LV"), ["Slice (0 = base)", "Dice", "LV: median, quartiles (n = 2)"]),
    (curves.formula, (X, {"a": X, "b": X}, {"a": X}, "x", "y"), ["a, formula", "a, drawn", "b, formula"]),
    (forest.curves, (X, {"equal": X}, "People", "Gap", {"here": 2}), ["People", "Gap", "equal", "here"]),
    (distributions.scores, SCORES, ["Dice", "LV", "UNet (n = 2; mean, 95 % CI)"]),
    (distributions.scores, (SCORES[0], {("LV", "UNet"): ALONE}), ["UNet (n = 3; mean, no CI, n too small)"]),
    (distributions.pairs, (X, X + 1, ["before", "after"], "Dice"), ["before", "after", "Dice", "n = 4; black: mean"]),
    (distributions.reference, ({"women": X}, {"women": (2, 1)}, "EDV (ml)"), ["women\n(n = 4)", "published mean"]),
    (distributions.splits, (SPLITS,), ["Studies (log scale)", "ACDC", "private", "train", "not stated"]),
    (distributions.shuffled, ({"cross": [E, Estimate(0.7, 0.6, 0.8, 9)]},), ["AUC", "cross: 1 of 2 flagged"]),
    (distributions.power, (X, {("a", "-"): X, ("a", "--"): X}, {"here": 2}), ["Patients", "Power", "a", "here"]),
    (distributions.risks, ({"net": BINS}, "nested"), ["Predicted risk", "Observed share", "nested", "net (n = 10)"]),
    (forest.rows, ({"a": E, "b": F}, "AUC", 0.5, {"b": 0.4}, "planted"), ["AUC", "a", "b", "planted"]),
    (forest.rows, (RELABELLED, "HR", 1.0, None, "", True), ["HR", "a", "b", "0.5", "UNet", "CineMA"]),
    (forest.methods, (RELABELLED, "MAE", {"guess": 1}), ["MAE", "a", "b", "n = 9 or 12; 95 % CI", "UNet", "guess"]),
    (forest.rules, ({"steady": {"a": E, "b": E}}, "Bias (mm)"), ["Bias (mm)", "a", "b", "95 % CI, n = 12 people"]),
    (forest.spread, ({"steady": {"a": 1, "b": 2}}, "SD (mm)"), ["SD (mm)", "a", "b", "steady"]),
    (forest.knowledge, ({"random": E, "trained": F}, "Error", 0.6), ["Error", "random", "trained"]),
    (forest.several, (RELABELLED, "Change"), ["Change", "UNet", "CineMA", "a", "b", "n = 12", "n = 9"]),
    (forest.shares, ({"raw": E}, "Share"), ["Share", "raw\n(n = 12)"]),
    (forest.differences, ({"a − b": (E, E)}, "Dice"), ["Dice", "a − b", "n = 12 patients; thick: 95 % CI, thin: corr"]),
    (forest.differences, ({"a − b": (ALONE, ALONE)}, "Dice"), ["n = 3 patients; no CI, n too small"]),
    (forest.gaps, (GAPS, "Gap"), ["Gap", "F − M\n(n = 10, 20)"]),
    (forest.groups, (BY_GROUP, E, "Dice"), ["Dice", "sex: F (n = 4)", "vendor: A (n = 9)", "n = 12; 95 % CI"]),
    (forest.groups, (BY_GROUP, E, "Dice", False), ["4", "9"]),
    (forest.family, (GAPS, {"dice": "Dice", "ef": "EF"}, {"dice": 1, "ef": 0}), ["F − M (sex)", "−0.2**", "+0.1*"]),
    (forest.beside, (LEDGER, {"C1": "it"}), ["C1 it\nerror, n = 40", "published: CineMA", "ours, virtual: CNN", "¼"]),
    (
        forest.decisive,
        (DECIDED,),
        ["half its 95 % interval", "C1 masks (n = 40)", "C2 masks (n = 40)", "+3 (+1 to +5) points"],
    ),
    (forest.trends, ({"UNet": {4: E, 8: E}, "CineMA": {8: E}}, "x", "y"), ["4", "8", "mean, 95 % CI, n = 12"]),
    (forest.trends, ({"UNet": {4: E, 8: F}}, "Patients", "Dice", {"UNet": [(4, 0.4)]}), ["Patients", "Dice", "UNet"]),
    (forest.scatter, ({"UNet": (100, E), "MAE": (200, F)}, "MACs", "Dice"), ["MACs", "Dice", "UNet", "mean, 95 % CI"]),
    (survival.follow_up, (X, [1, 0, 0, 1]), ["(years)", "Patients", "alive when last seen (n = 2)", "dead (n = 2)"]),
    (survival.kaplan_meier, ({"all": ALIVE}, [0, 1]), ["Years", "Alive (share)", "all", "at risk", "9", "7"]),
    (survival.calibration, ({"cox": BINS}, 5), ["by 5 years (%)", "Observed risk (%", "cox (groups of 5)", "perfect"]),
    (survival.auc_over_time, ({"cox": {1.0: E, 3.0: F}},), ["Horizon (years", "AUC", "cox"]),
    (survival.lives, ([0, 1], ONES, [True, False], "Year", 2), ["Year", "dead", "last seen alive", "study ends", "B"]),
    (
        survival.deaths_needed,
        ([1.1, 2], [900, 20], {"EF": (0.8, 200)}),
        ["its inverse", "Deaths", "EF (0.8)", "1.5"],
    ),
    (survival.people_needed, ({"2 % die": {"EF": 9000}}, 500), ["People", "2 % die", "EF", "9,000", "(n = 500)"]),
    (style.mark_places, ({"ED": 0.2, "ES": 0.6},), ["ED", "ES"]),
]
HELPERS = {cine.search, classification.bins, curves.lines, forest.intervals}


@pytest.mark.parametrize(("draw", "arguments", "words"), DRAWN, ids=lambda part: getattr(part, "__name__", ""))
def test_plot_says_what_it_shows(draw, arguments, words):
    fig, ax = style.figure()
    assert draw(ax, *arguments) is None and plt.get_fignums() == [fig.number]
    fig.canvas.draw()
    legend = ax.get_legend_handles_labels()[1]
    assert len(legend) == len(set(legend))
    said = [ax.get_title("left"), ax.get_title(), *legend, *(text.get_text() for text in ax.texts)]
    for axis in (ax.xaxis, ax.yaxis):
        said += [axis.get_label_text(), *(tick.get_text() for tick in axis.get_ticklabels())]
    assert [word for word in words if not any(word in text for text in said)] == [], said


def test_every_plot_of_numbers_is_drawn_above():
    for module in (agreement, cine, classification, curves, distributions, forest, survival):
        own = [f for f in vars(module).values() if getattr(f, "__module__", "") == module.__name__]
        public = {f for f in own if "ax" in signature(f).parameters and not f.__name__.startswith("_")}
        assert public <= {draw for draw, *_ in DRAWN} | HELPERS


def test_a_network_is_drawn_with_the_boxes_and_arrows_it_has():
    ax = drawn(diagrams.u_shape, [("a", "skip", "b"), ("", "", "c")], "turn", ("turn",))
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["turn", "a", "b", "skip", "c"]
    arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None)]
    assert len(ax.patches) == 4 and len(arrows) == 4  # a to b, a to turn, turn to c, c to b


def drawn(draw, *arguments):
    _, ax = style.figure()
    draw(ax, *arguments)
    return ax


def test_dots_and_bars_stand_where_their_numbers_are():
    ax = drawn(forest.rows, RELABELLED, "AUC")
    (first, _, (bars,)), (second, *_) = ax.containers
    assert first.get_xdata().tolist() == [0.5, 0.3] and first.get_ydata().tolist() == [-0.16, 0.84]  # a above b
    assert second.get_ydata().tolist() == [1.16] and ax.get_ylim() == (1.6, -0.6)
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [[0.4, 0.7], [0.25, 0.6]]
    ax = drawn(forest.differences, {"a − b": (E, Estimate(0.5, 0.3, 0.8, 12))}, "Dice")
    assert [list(line.get_xdata()) for line in ax.lines[:2]] == [[0.3, 0.8], [0.4, 0.7]]  # the thin one below
    assert ax.get_ylim() == (0.5, -0.5)
    ax = drawn(forest.trends, {"a": {4: E, 8: E}, "b": {8: F}}, "Patients", "Dice", {"a": [(4, 0.45)]})
    assert ax.get_legend_handles_labels()[1] == ["a", "b"] and ax.containers[1][0].get_ydata().tolist() == [0.3]
    assert drawn(forest.scatter, {"a": (100, E)}, "MACs", "Dice").get_xlim()[0] == 0
    assert drawn(agreement.trade_off, {"a": (E, F)}, [(3, 5), (0, 9)], "x", "y").get_ylim()[0] == 0
    ax = drawn(classification.calibration, {"net": BINS})
    assert ax.containers[0][0].get_xdata().tolist() == [0.1, 0.6] and len(ax.lines) == 4  # identity, dots, caps
    ax = drawn(forest.decisive, DECIDED)
    assert [list(ax.lines[k].get_xdata()) for k in (1, 4)] == [[1.5], [-2, 2]]  # in halves of their intervals


def test_curves_have_the_structures_colours_and_their_truth():
    ax = drawn(cine.against_truth, range(3), {"LV": [3, 1, 2], "RV": [4, 2, 3]}, {"LV": [3, 1, 3]})
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["LV"].get_color() == lines["LV, true"].get_color() != lines["RV"].get_color()
    assert "RV, true" not in lines


def test_distances_show_every_protocol_and_its_range():
    ax = drawn(cine.by_distance, SLICES, "LVEF", "LVEF (%)", 51.0)
    assert ax.lines[0].get_ydata().tolist() == [50, 48, 55] and list(ax.get_xticks()) == [10, 20]
    (ranges,) = ax.collections
    assert [segment[:, 1].tolist() for segment in ranges.get_segments()] == [[50, 50], [48, 55]]


def test_verdicts_are_shaded_by_their_first_word():
    table = pd.DataFrame({"verdict": ["agrees, here", "agrees here"]})
    html = forest.shaded(table).to_html()
    assert html.count("#d9ecd9") == 1 and html == forest.shaded(table).to_html()


def test_save_writes_the_same_bytes_twice_and_nothing_else(tmp_path):
    for folder in ("a", "b"):
        style.save(drawn(curves.volumes, X, VOLUMES).figure, "01_line", tmp_path / folder, seed=3)
    for name in ("01_line.png", "01_line.pdf"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["01_line.pdf", "01_line.png"]
    with Image.open(tmp_path / "a" / "01_line.png") as picture:
        assert picture.info["Description"] == "notebook 01, seed 3, data: virtual"
    assert plt.gcf()._supxlabel.get_text() == "virtual cohort"


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
    with pytest.raises(ValueError, match="same number"):
        style.cine({"SAX": np.zeros((8, 8, 3)), "4C": np.zeros((8, 8, 4))})


def test_panels_show_x_to_the_right():
    ax = drawn(images.labelled, disc_view())
    assert ax.images[0].get_array().shape == (32, 32)
    assert ax.images[0].get_array()[16, 20] == 1.0  # row y = 16, column x = 20: the LV disc
    lv = ax.collections[-1].get_paths()[0].vertices
    assert lv.mean(axis=0) == pytest.approx([20, 16], abs=0.3)


def test_search_draws_the_window_about_the_centre():
    ax = drawn(cine.search, disc_view(), np.array([20.0, 14.0]), 16.0, (19.0, 14.0))
    square = ax.lines[1].get_xydata()
    assert square.min(axis=0).tolist() == [16, 10] and square.max(axis=0).tolist() == [24, 18]  # 16 mm are 8 pixels
    assert [line.get_label() for line in ax.lines[2:]] == ["found", "true"]


def test_slices_come_in_order_and_spare_axes_stay_empty():
    _, axes = style.figure(rows=2, cols=2)
    view, labels = disc_view(n=64), np.zeros((64, 64, 3))
    view.image[..., 2, :] *= 0.5
    labels[15:25, 20:30, 1:] = 3
    cine.slices(axes, view.image[..., 0], labels, view.spacing_mm, [2, 0, 1])
    for ax, z in zip(axes.flat, (2, 0, 1)):
        assert np.array_equal(ax.images[0].get_array().T, view.image[3:37, 8:42, z, 0])  # labels and 25 mm around
    assert not axes[1, 1].images and not axes[1, 1].axison
    assert cine.window(0 * labels, view.spacing_mm) == (slice(0, 64), slice(0, 64))


def test_cuts_follow_the_geometry():
    """A short-axis stack cuts a plane through its axis in parallel lines, one a slice, at the slice positions."""
    along = np.array([[2.0, 0, 0, 0], [0, 0, 2.0, 33.0], [0, 2.0, 0, -20.0], [0, 0, 0, 1]])  # x across, y along z
    plane = View(np.zeros((32, 40, 1, 1), np.float32), along)
    ax = drawn(images.cuts, plane, [(disc_view(z=3), "white", "-")], 0, "red")
    heights = [np.unique(np.round(line.get_ydata() * 2.0 - 20.0, 6)) for line in ax.lines]
    assert np.concatenate(heights).tolist() == [0.0, 10.0, 20.0]


def test_stack_and_landmarks_and_legend():
    fig, axes = style.figure(columns=2, cols=3)
    view, points = disc_view(), np.array([[1.0, 2], [3, 4], [5, 6]])
    images.stack(axes, view, 1, view.label_at(1))
    images.landmarks(axes[0], points)
    images.structure_legend(fig)
    images.name_rows(axes[:1], ["ED"])
    assert all(len(ax.images) == 1 and len(ax.collections) == 3 for ax in axes) and axes[0].get_ylabel() == "ED"
    ax = drawn(images.marked, view, 0, points, {"UNet": points + 1})
    assert [line.get_label() for line in ax.lines[1:]] == ["true", "UNet"] and ax.get_xlim() == (-13, 19)  # 28 mm


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


def test_every_structure_and_tissue_has_an_outline_and_a_line_of_its_own():
    label = np.zeros((40, 40), np.uint8)
    for value in (LABELS | TISSUE_LABELS).values():
        label[4 + 5 * value : 8 + 5 * value, 10:20] = value
    fig, ax = style.figure()
    images.outlines(ax, label)
    images.structure_legend(fig, list(ALL_LINE_STYLES))
    fig.canvas.draw()
    assert len(ax.collections) == len(ALL_LINE_STYLES) == len(set(ALL_LINE_STYLES.values())) == 6
    assert len(fig.legends[0].get_lines()) == 6
