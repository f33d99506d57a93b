"""Statistics: agreement with known results and with other ways to compute them; test_validity has their coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as sp
from simulations import covered
from statsmodels.stats.multitest import multipletests

from cinema.stats import estimates


def pearson(x, y, axis=-1):
    x, y = x - x.mean(axis, keepdims=True), y - y.mean(axis, keepdims=True)
    return (x * y).sum(axis) / np.sqrt((x**2).sum(axis) * (y**2).sum(axis))


def test_bca_covers_the_mean_of_skewed_data_and_a_correlation():
    def skewed(rng):
        return estimates.bca(rng.exponential(2.0, 40), np.mean, rng, n_resamples=400)

    def correlation(rng):
        x = rng.normal(size=40)
        return estimates.bca((x, 0.6 * x + 0.8 * rng.normal(size=40)), pearson, rng, n_resamples=400)

    for interval, truth in ((skewed, 2.0), (correlation, 0.6)):
        assert 0.90 <= covered(interval, truth, 400)[0] <= 0.98  # nominal 0.95; skew and n = 40 cost a little


def test_same_generator_same_interval_and_none_of_constant_values():
    values = np.random.default_rng(3).normal(size=25)
    first, second = (estimates.bca(values, np.median, np.random.default_rng(7)) for _ in range(2))
    assert first == second
    assert estimates.bca(np.full(12, 3.0), np.mean, np.random.default_rng(0)) == (3.0, 3.0, 3.0, 12)


def test_an_estimate_in_words():
    assert estimates.Estimate(3.04, 2.51, 3.66, 40).text(1, " ml") == "3.0 ml (95 % CI 2.5 to 3.7, n = 40)"
    assert estimates.without_interval(3.04, 4).text(1, " ml") == "3.0 ml (n = 4, too small for an interval)"
    assert estimates.Estimate(-0.0004, -0.0021, 0.002, 9).text(2) == "-0.0004 (95 % CI -0.0021 to 0.0020, n = 9)"
    assert estimates.Estimate(0.0, -0.021, 0.02, 9).text(1) == "0.0 (95 % CI -0.0 to 0.0, n = 9)"
    assert estimates.without_interval(np.nan, 0).text() == "not known (n = 0, too small)"


def test_estimates_in_a_table():
    whole, few = estimates.Estimate(0.5, 0.4, 0.6, 20), estimates.without_interval(0.25, 2)
    table = estimates.table({"a": whole, ("b", "c"): few, "d": estimates.without_interval(np.nan, 0)}, 2)
    assert table.loc["a"].tolist() == ["0.50", "0.40 to 0.60", 20]
    assert table.iloc[1:, :2].to_numpy().tolist() == [["0.25", "n too small"], ["not known", "n too small"]]


def test_no_interval_below_five_patients_and_nothing_made_up():
    rng = np.random.default_rng(0)
    four, five = estimates.mean([1.0, 2.0, 3.0, np.nan, 4.0], rng), estimates.mean([1.0, 2.0, 3.0, 4.0, 5.0], rng)
    assert four.value == 2.5 and four.n == 4 and np.isnan(four.lower)
    assert five.lower < 3 < five.upper
    assert np.isnan(estimates.mean([], rng).value)
    refused = estimates.or_without_interval(lambda: estimates.proportion(9, 8), 0.5, 8)
    assert refused[0] == 0.5 and np.isnan(refused.lower)


def test_a_verdict_follows_the_whole_interval():
    ends = ((0.1, 0.3), (-0.3, -0.1), (-0.1, 0.3), (np.nan, np.nan))
    words = [estimates.verdict(estimates.Estimate(0.0, *both, 20)) for both in ends]
    assert words == ["better", "worse", "not shown to differ", "not compared, n too small"]
    assert estimates.verdict(estimates.Estimate(0.0, 0.6, 0.7, 20), 0.5, above="yes") == "yes"


def test_pairing_removes_what_the_patients_share():
    rng = np.random.default_rng(0)
    patient = 10 * rng.normal(size=50)
    first, second = patient + 1.0 + 0.3 * rng.normal(size=50), patient + 0.3 * rng.normal(size=50)
    difference = estimates.paired_difference(first, second, rng)
    alone = estimates.bca(first, np.mean, rng)
    assert 0.8 < difference.lower < difference.upper < 1.2
    assert alone.upper - alone.lower > 10 * (difference.upper - difference.lower)


def test_wilson_matches_the_closed_form():
    z, k, n = 1.959963985, 9, 40
    centre = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    assert estimates.proportion(k, n) == pytest.approx((k / n, centre - half, centre + half, n))
    assert estimates.proportion(0, 20).lower == 0.0 and estimates.proportion(0, 20).upper > 0.1


def test_bland_altman_by_hand():
    agreement = estimates.bland_altman([1.0, 4.0, 4.0, 7.0], [0.0, 2.0, 1.0, 3.0])  # differences 1 2 3 4
    limit = 1.959964 * 1.2909944
    assert [part.value for part in agreement] == pytest.approx([2.5, 2.5 - limit, 2.5 + limit], abs=1e-6)
    assert agreement.bias.upper == pytest.approx(2.5 + 3.182446 * 1.2909944 / 2, abs=1e-5)


def test_resamples_on_one_side_of_the_value_still_give_an_interval():
    """The largest value: no resample lies above it, where BCa is not defined."""
    estimate = estimates.bca(np.arange(20.0), np.max, np.random.default_rng(0))
    assert np.isfinite(estimate[:3]).all() and estimate.lower < estimate.value


def test_the_level_of_the_bootstrap_makes_up_for_few_patients():
    """For normal values the interval of the mean is Student's, within the noise of resampling."""
    for n in (10, 20, 80):
        values = np.random.default_rng(n).normal(size=n)
        estimate = estimates.bca(values, np.mean, np.random.default_rng(1), n_resamples=20000)
        half = sp.t.ppf(0.975, n - 1) * sp.sem(values)
        assert (estimate.upper - estimate.lower) / 2 == pytest.approx(half, rel=0.06)
    assert np.isfinite(estimates.bca(np.array([1.0, 2.0]), np.mean, np.random.default_rng(0))[:3]).all()


def test_welch_by_hand():
    first, second = [1.0, 2.0, 3.0, 4.0], [0.0, 4.0]  # variances of the means 5/12 and 4
    estimate = estimates.mean_difference(first, second)
    degrees = (5 / 12 + 4) ** 2 / ((5 / 12) ** 2 / 3 + 4**2 / 1)
    half = sp.t.ppf(0.975, degrees) * np.sqrt(5 / 12 + 4)
    assert estimate == pytest.approx((0.5, 0.5 - half, 0.5 + half, 6))
    assert estimates.mean_difference([2.0, 2.0], [1.0, 1.0]) == (1.0, 1.0, 1.0, 4)


def test_difference_of_independent_estimates():
    first, second = estimates.Estimate(0.8, 0.7, 0.9, 50), estimates.Estimate(0.6, 0.5, 0.7, 40)
    half = 0.1 * np.sqrt(2)
    assert estimates.independent_difference(first, second) == pytest.approx((0.2, 0.2 - half, 0.2 + half, 90))


def test_holm_and_benjamini_hochberg_by_hand():
    p = [0.01, 0.04, 0.03, 0.005]
    assert estimates.holm(p) == pytest.approx([3 * 0.01, 0.06, 2 * 0.03, 4 * 0.005])  # 0.04 may not fall below 0.06
    assert estimates.benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])  # 4/1 4/2 4/3 4/4, largest first
    assert estimates.holm([0.7, 0.9]) == pytest.approx([1.0, 1.0])
    assert estimates.corrected(0.95, 5) == pytest.approx(0.99)
    p = np.random.default_rng(0).random(30) ** 3
    assert estimates.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert estimates.benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])


def test_a_patients_mean_says_how_many_rows_had_no_value():
    rows = pd.DataFrame(
        {"arm": "one", "study": list("aabb"), "dice": [0.8, 0.6, 0.5, 0.0], "hd95_mm": [2, 4, 6, np.nan]}
    )
    found = estimates.per_patient(rows, ["dice", "hd95_mm"])
    assert found["hd95_mm"].tolist() == [3, 6] and found["hd95_mm_left_out"].tolist() == [0, 1]
    assert found["dice"].tolist() == [0.7, 0.25] and "dice_left_out" not in found
