"""Statistics: agreement with known results, and coverage of every interval against a known truth."""

import numpy as np
import pandas as pd
import pytest

from cinema import stats


def coverage(interval_of, truth, n_simulations=400):
    """Share of simulated studies whose interval holds the truth."""
    hits = 0
    for simulation in range(n_simulations):
        estimate = interval_of(np.random.default_rng(simulation))
        hits += estimate.lower <= truth <= estimate.upper
    return hits / n_simulations


def test_bca_covers_the_mean_of_skewed_data():
    share = coverage(lambda rng: stats.bca(rng.exponential(2.0, 40), np.mean, rng, n_resamples=400), truth=2.0)
    assert 0.90 <= share <= 0.98  # nominal 0.95; skew and n = 40 cost a little


def test_bca_covers_a_correlation():
    def interval(rng):
        x = rng.normal(size=40)
        y = 0.6 * x + 0.8 * rng.normal(size=40)
        return stats.bca((x, y), pearson, rng, n_resamples=400)

    def pearson(x, y, axis=-1):
        x, y = x - x.mean(axis, keepdims=True), y - y.mean(axis, keepdims=True)
        return (x * y).sum(axis) / np.sqrt((x**2).sum(axis) * (y**2).sum(axis))

    assert 0.90 <= coverage(interval, truth=0.6) <= 0.98


def test_resampling_rows_instead_of_patients_is_too_narrow():
    """Ten slices a patient share the patient's level: only the patient-wise interval covers the mean."""

    def study(rng):
        levels = np.repeat(rng.normal(size=15), 10)
        return pd.DataFrame({"study": np.repeat(np.arange(15), 10), "dice": levels + 0.1 * rng.normal(size=150)})

    def patients(rng):
        table = study(rng)
        return stats.by_patient(table, lambda t: t["dice"].to_numpy().mean(), rng, n_resamples=100)

    def rows(rng):
        return stats.bca(study(rng)["dice"], np.mean, rng, n_resamples=100)

    assert coverage(patients, truth=0.0, n_simulations=100) >= 0.84
    assert coverage(rows, truth=0.0, n_simulations=100) <= 0.60


def test_by_patient_equals_bca_where_each_patient_has_one_row():
    values = np.random.default_rng(0).normal(size=30)
    table = pd.DataFrame({"study": np.arange(30), "dice": values})
    ours = stats.by_patient(table, lambda t: t["dice"].mean(), np.random.default_rng(1), n_resamples=300)
    plain = stats.bca(values, np.mean, np.random.default_rng(1), n_resamples=300)
    assert ours == pytest.approx(plain, abs=1e-12)


def test_same_generator_same_interval():
    values = np.random.default_rng(3).normal(size=25)
    first, second = (stats.bca(values, np.median, np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_constant_values_have_an_interval_without_width():
    assert stats.bca(np.full(12, 3.0), np.mean, np.random.default_rng(0)) == (3.0, 3.0, 3.0, 12)


def test_an_estimate_in_words():
    assert stats.Estimate(3.04, 2.51, 3.66, 40).text(1, " ml") == "3.0 ml (95 % CI 2.5 to 3.7, n = 40)"


def test_pairing_removes_what_the_patients_share():
    rng = np.random.default_rng(0)
    patient = 10 * rng.normal(size=50)
    first, second = patient + 1.0 + 0.3 * rng.normal(size=50), patient + 0.3 * rng.normal(size=50)
    difference = stats.paired_difference(first, second, rng)
    alone = stats.bca(first, np.mean, rng)
    assert 0.8 < difference.lower < difference.upper < 1.2
    assert alone.upper - alone.lower > 10 * (difference.upper - difference.lower)


def test_wilson_matches_the_closed_form():
    z, k, n = 1.959963985, 9, 40
    centre = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    assert stats.proportion(k, n) == pytest.approx((k / n, centre - half, centre + half, n))
    assert stats.proportion(0, 20).lower == 0.0 and stats.proportion(0, 20).upper > 0.1


def test_wilson_coverage():
    share = coverage(lambda rng: stats.proportion(rng.binomial(30, 0.1), 30), truth=0.1)
    assert 0.92 <= share <= 0.99


@pytest.mark.parametrize("part, truth", [("bias", 1.5), ("lower_limit", 1.5 - 7.84), ("upper_limit", 1.5 + 7.84)])
def test_bland_altman_coverage(part, truth):
    def interval(rng):
        reference = rng.normal(60, 8, 25)
        return getattr(stats.bland_altman(reference + rng.normal(1.5, 4.0, 25), reference), part)

    assert 0.92 <= coverage(interval, truth, n_simulations=1000) <= 0.975


def test_bland_altman_by_hand():
    agreement = stats.bland_altman([1.0, 4.0, 4.0, 7.0], [0.0, 2.0, 1.0, 3.0])  # differences 1 2 3 4
    assert agreement.bias.value == pytest.approx(2.5)
    assert agreement.upper_limit.value == pytest.approx(2.5 + 1.959964 * 1.2909944, abs=1e-6)
    assert agreement.lower_limit.value == pytest.approx(2.5 - 1.959964 * 1.2909944, abs=1e-6)
    assert agreement.bias.upper == pytest.approx(2.5 + 3.182446 * 1.2909944 / 2, abs=1e-5)


@pytest.mark.parametrize("call, words", [
    (lambda rng: stats.bca(np.array([1.0]), np.mean, rng), "at least 2"),
    (lambda rng: stats.bca(np.array([1.0, np.nan, 2.0]), np.mean, rng), "1 of 3 values are not finite"),
    (lambda rng: stats.paired_difference([1.0, 2.0], [1.0, 2.0, 3.0], rng), "same patients"),
    (lambda rng: stats.proportion(5, 4), "5 successes of 4"),
])
def test_refusals_are_one_line(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call(np.random.default_rng(0))
    assert "\n" not in str(error.value)
