"""Power and detectable effects against simulated studies and against each other."""

import numpy as np
import pytest
from scipy import stats as sp
from simulations import scores

from cinema.stats import classification, power


def test_power_of_means_is_that_of_simulated_studies():
    rng = np.random.default_rng(0)
    found = sp.ttest_ind(rng.normal(1.0, 2.0, (4000, 30)), rng.normal(0.0, 2.0, (4000, 60)), axis=1).pvalue < 0.05
    assert power.power_of_means(1.0, 2.0, 30, 60) == pytest.approx(found.mean(), abs=0.025)
    assert power.power_of_means(0.0, 2.0, 30, 60) == 0.05
    gap = power.detectable_mean_gap(2.0, 30, 60)
    assert power.power_of_means(gap, 2.0, 30, 60) == power.power_of_means(-gap, 2.0, 30, 60) == pytest.approx(0.8)
    assert power.power_of_means(0.5, 1.0, 64, 64) >= 0.8 > power.power_of_means(0.5, 1.0, 63, 63)  # Cohen 1988


@pytest.mark.parametrize("p", [0.9, 0.3])
def test_detectable_gap_of_proportions_is_that_of_simulated_studies(p):
    n1, n2 = 150, 100
    gap = power.detectable_proportion_gap(p, n1, n2)
    other = p - gap if p > 0.5 else p + gap
    rng = np.random.default_rng(0)
    a, b = rng.binomial(n1, p, 20000) / n1, rng.binomial(n2, other, 20000) / n2
    pooled = (n1 * a + n2 * b) / (n1 + n2)
    z = np.abs(a - b) / np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    assert np.mean(z > 1.96) == pytest.approx(0.8, abs=0.04)
    assert np.isnan(power.detectable_proportion_gap(0.5, 3, 3))


def test_power_of_an_auc_is_that_of_simulated_studies():
    found = [
        classification.auc_difference(true, score, np.zeros(len(true)))[1] < 0.05
        for true, (score,) in (scores(np.random.default_rng(s), 40, 80, (0.65,)) for s in range(1000))
    ]
    assert power.power_of_auc(0.65, 40, 80) == pytest.approx(np.mean(found), abs=0.05)
    assert power.power_of_auc(0.5, 40, 80) == pytest.approx(0.05, abs=1e-9)
    assert power.power_of_auc(0.35, 40, 80) == pytest.approx(power.power_of_auc(0.65, 40, 80))
    assert power.power_of_auc(power.detectable_auc(40, 80), 40, 80) == pytest.approx(0.8)


def test_sample_size_functions_are_inverse_to_each_other():
    deaths = power.events_needed(0.85, variance=0.8)
    assert power.power_of_hazard_ratio(0.85, deaths, 0.8) == pytest.approx(0.8, abs=0.002)
    assert power.detectable_hazard_ratio(deaths, 0.8) == pytest.approx(1 / 0.85, rel=1e-3)
    assert power.events_needed(2.0, variance=0.25) == 66  # Schoenfeld: 7.849 / (0.25 * 0.4805)
