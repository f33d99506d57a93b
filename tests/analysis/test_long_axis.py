"""Long-axis function: the bias of extremes by formula and by simulation, and what its corrections leave of it."""

import numpy as np
import pandas as pd
import pytest

from cinema.analysis import long_axis
from cinema.data.study import Study, View, load_study, save_study
from cinema.stats import estimates, metrics
from cinema.stats.estimates import Estimate
from cinema.training.landmarks import LANDMARKS

FRAMES = 25


def beating_heart(travel_mm=13.0, length_mm=92.0, frames=FRAMES):
    """(t, 3, 2) exact points: the base moves toward a still apex and comes back."""
    points = np.full((frames, 3, 2), [[-15.0, 0.0], [15.0, 0.0], [0.0, length_mm]])
    points[:, :2, 1] = travel_mm * np.sin(np.pi * np.arange(frames)[:, None] / frames) ** 2
    return points


def test_expected_range_of_two_is_known_and_of_many_agrees_with_drawing():
    expected = {n: np.subtract(*long_axis.expected_extremes(np.zeros(n), 1.0)) for n in (2, 12, 25)}
    assert expected[2] == pytest.approx(2 / np.sqrt(np.pi), abs=1e-6)
    assert expected[25] == pytest.approx(3.931, abs=1e-3)  # tabulated (Tippett 1925)
    drawn = np.ptp(np.random.default_rng(0).standard_normal((20000, 12)), axis=1).mean()
    assert expected[12] == pytest.approx(drawn, abs=0.02)


@pytest.mark.parametrize("sd", [0.0, 0.7, 2.5])
def test_expected_extremes_of_a_moving_curve_agree_with_drawing(sd):
    curves = long_axis.lengths_mm(np.stack([beating_heart(), beating_heart(4.0)]))
    largest, smallest = long_axis.expected_extremes(curves, sd)
    drawn = curves + sd * np.random.default_rng(1).standard_normal((20000, 2, FRAMES))
    np.testing.assert_allclose(largest, drawn.max(-1).mean(0), atol=0.03)
    np.testing.assert_allclose(smallest, drawn.min(-1).mean(0), atol=0.03)


def test_published_rule_is_that_of_metrics_and_leading_axes_are_a_loop():
    noisy = beating_heart() + np.random.default_rng(2).normal(0, 2, (6, FRAMES, 3, 2))
    together = long_axis.extremes(noisy)
    for one, mapse, shortening in zip(noisy, *together, strict=True):
        assert mapse == pytest.approx(metrics.mapse_mm(one, (1, 1)))
        assert shortening == pytest.approx(metrics.shortening_percent(metrics.lv_lengths_mm(one, (1, 1))))


def test_noise_is_recovered_from_a_beating_heart():
    noisy = beating_heart() + np.random.default_rng(3).normal(0, 1.5, (400, FRAMES, 3, 2))
    assert np.sqrt(np.square(long_axis.noise_sd_mm(noisy)).mean()) == pytest.approx(1.5, rel=0.03)
    assert long_axis.noise_sd_mm(beating_heart()).max() < 0.1
    sharp = 13.0 / 2 * (2 * np.sin(np.pi / 12)) ** 4 / np.sqrt(2 * 70)  # a cosine's own fourth differences
    assert long_axis.noise_sd_mm(beating_heart(frames=12))[0, 1] == pytest.approx(sharp, rel=1e-6)


def published_bias(exact, sd):
    """(MAPSE, shortening) that the published rule adds to one cycle, to second order in the noise of a coordinate.

    The length has noise sd sqrt(3/2): the apex gives sd^2, the middle of the hinges sd^2 / 2, so a third of what the
    chosen frames owe to noise is the hinges'. How much that is follows from E max(c + s z) by s d/ds. What a hinge
    moves across the axis, 2 sd^2 in variance, lengthens its displacement of length m by sd^2 / m.
    """
    lengths, noise, step = long_axis.lengths_mm(exact), sd * np.sqrt(1.5), 1e-3
    largest, smallest = long_axis.expected_extremes(lengths, noise)
    lower, upper = (np.subtract(*long_axis.expected_extremes(lengths, noise + sign * step)) for sign in (-1, 1))
    chosen = noise * (upper - lower) / (2 * step)
    travel = largest - smallest - chosen * 2 / 3
    true = long_axis.extremes(exact)
    return travel + sd**2 / travel - true.mapse_mm, 100 * (1 - smallest / largest) - true.shortening_percent


@pytest.mark.parametrize("travel_mm", [6.0, 13.0])
def test_extremes_are_biased_and_the_corrections_are_not(travel_mm):
    exact, rng = beating_heart(travel_mm, frames=FRAMES - 1), np.random.default_rng(4)
    true = long_axis.at_frames(exact, 0, 12)
    noisy, other = (exact + rng.normal(0, 1.5, (1500, FRAMES - 1, 3, 2)) for _ in range(2))
    rules = {
        "extremes": long_axis.extremes(noisy),
        "corrected": long_axis.corrected(noisy, rng, 40),
        "crossed": long_axis.at_frames(noisy, *long_axis.extreme_frames(other)),
        "fixed": long_axis.along_axis(noisy, 0, 12),
    }
    bias = {name: [np.mean(found) - want for found, want in zip(values, true)] for name, values in rules.items()}
    assert bias["extremes"] == pytest.approx(published_bias(exact, 1.5), abs=0.15)
    assert (np.abs(bias["corrected"]) < 0.3 * np.array(bias["extremes"])).all()
    assert bias["crossed"][1] < 0.1  # chosen on other noise: never too long, if anything too short
    assert bias["fixed"][0] == pytest.approx(1.5**2 / (2 * 92), abs=0.1)  # 0.05 mm is the SD of the mean of draws
    assert abs(bias["fixed"][1]) < 0.15


def test_travel_along_the_axis_of_a_heart_that_stands_still_is_zero_and_its_length_is_not():
    noisy = beating_heart(0.0) + np.random.default_rng(5).normal(0, 2, (4000, FRAMES, 3, 2))
    assert abs(long_axis.along_axis(noisy, 0, 12).mapse_mm.mean()) < 0.1
    assert long_axis.at_frames(noisy, 0, 12).mapse_mm.mean() > 3.0


def test_order_of_hinges_matters_only_where_it_changes():
    exact = beating_heart()
    np.testing.assert_allclose(long_axis.extremes(long_axis.swapped(exact)), long_axis.extremes(exact))
    once = exact.copy()
    once[12] = long_axis.swapped(exact[12])
    assert long_axis.extremes(once).mapse_mm > 2 * long_axis.extremes(exact).mapse_mm
    assert long_axis.extremes(once).shortening_percent == pytest.approx(long_axis.extremes(exact).shortening_percent)


def test_hinges_are_put_in_the_nearer_order_for_the_whole_cycle():
    true = np.stack([beating_heart(), beating_heart(4.0)])
    found, other = long_axis.in_nearer_order(np.stack([true[0], long_axis.swapped(true[1])]) + 0.1, true)
    assert list(other) == [0, 1]
    np.testing.assert_allclose(found, true + 0.1)
    one, turned = long_axis.in_nearer_order(long_axis.swapped(true[0]), true[0])
    assert turned == 1 and np.array_equal(one, true[0])


def test_steadiness_tells_offset_from_jitter():
    rng = np.random.default_rng(6)
    error = np.array([3.0, 4.0]) + long_axis.noise_mm((200, 40, 3, 2), 1.2, 0.6, rng)
    offset, jitter, neighbours = long_axis.steadiness(error)
    assert offset == pytest.approx(5.0, abs=0.1) and jitter == pytest.approx(1.2, abs=0.1)
    assert neighbours == pytest.approx(0.6, abs=0.1)
    assert long_axis.steadiness(np.ones((2, 5, 3, 2)))[1:] == (0.0, 0.0)


def test_verdict_follows_the_interval():
    ends = ((-0.9, 0.9), (-1.1, 0.2), (1.1, 2), (-3, -1.2))
    words = [long_axis.verdict(Estimate(0.0, low, high, 9), 1.0) for low, high in ends]
    assert words == ["matched", "not settled", "worse by more than the margin", "better by more than the margin"]


def test_methods_that_differ_by_the_margin_are_rarely_called_matched():
    """Two one-sided tests at 5 %, with the interval the notebook uses, at its number of patients."""
    wrong = 0
    for simulation in range(400):
        rng = np.random.default_rng(simulation)
        errors = rng.gamma(4.0, 0.9, (2, 50)) + [[1.0], [0.0]]  # skewed, as distances are
        wrong += long_axis.verdict(estimates.paired_difference(*errors, rng, 400, 0.90), 1.0) == "matched"
    assert 0.01 <= wrong / 400 <= 0.075


def test_the_mean_position_of_pictures_of_which_few_have_a_patient_in_common(tmp_path):
    parts = {"train": [], "test": []}
    for i, (split, shift) in enumerate((("train", 0), ("train", 8), ("test", 4), ("test", 8))):
        points = np.array([[[10, 10], [20, 10], [15, 40]]], np.float32) + shift
        view = View(np.zeros((64, 64, 1, 1), np.uint8), np.diag([4.0, 4.0, 1.0, 1.0]), landmarks=points)
        parts[split].append(save_study(Study(f"p{i}_lax_2c", "test", {"lax_2c": view}), tmp_path))
    grid = long_axis.whole_picture("lax_2c")
    scores = long_axis.mean_position(parts, "lax_2c", grid["lax_2c"][1])
    assert grid == {"lax_2c": ((64, 64), (4.0, 4.0))} and list(scores["landmark"][:3]) == list(LANDMARKS)
    means = estimates.per_patient(scores, ["distance_mm"]).set_index("study")["distance_mm"]
    away = 4 * 4 * np.sqrt(2)  # 4 pixels along each axis, 4 published pixels each
    assert means.to_dict() == pytest.approx({"p2_lax_2c": 0.0, "p3_lax_2c": away})
    joined = estimates.per_patient(scores.assign(study="one"), ["distance_mm"])
    assert estimates.means(joined, "distance_mm", "arm", np.random.default_rng(0), 5)["mean position"].n == 1


def test_views_without_somebody_in_every_part_are_left_out(tmp_path):
    view = View(np.zeros((8, 8, 1, 1), np.uint8), np.eye(4), landmarks=np.ones((1, 3, 2), np.float32))
    rows = []
    for view_name, splits in (("lax_2c", ("train", "val", "test")), ("lax_4c", ("train", "test"))):
        for split in splits:
            path = save_study(Study(f"{split}_{view_name}", "test", {view_name: view}), tmp_path)
            rows.append({"id": path.stem, "path": str(path), "split": split})
    found = long_axis.whole_pictures(pd.DataFrame(rows), tmp_path / "copies")
    assert list(found) == ["lax_2c"] and list(found["lax_2c"]["split"]) == ["train", "val", "test"]
    assert load_study(found["lax_2c"]["path"].iloc[0]).views["lax_2c"].image.shape[:2] == (64, 64)
    assert long_axis.whole_pictures(pd.DataFrame(columns=["id", "path", "split"]), tmp_path) == {}


def test_least_validation_distance_of_each_arm_and_rate():
    rows = [("b", 1.0, 9.0), ("b", 1.0, 4.0), ("b", 2.0, 5.0), ("a", 1.0, 3.0), ("a", 2.0, 2.0)]
    history = pd.DataFrame(rows, columns=["arm", "learning_rate", "val_mean_distance_mm"])
    reached = long_axis.reached(history)
    assert reached.loc["b"].tolist() == [4.0, 5.0] and reached.idxmin(axis=1).to_dict() == {"b": 1.0, "a": 2.0}
