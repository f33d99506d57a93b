"""What cannot be computed is refused in one line that says what is wrong."""

import numpy as np
import pytest

from cinema.stats import classification, estimates, metrics, power

RNG = np.random.default_rng(0)
NONE = np.zeros((4, 4), bool)
REFUSED = [  # function, arguments, words
    (estimates.bca, (np.array([1.0]), np.mean, RNG), "at least 2"),
    (estimates.bca, (np.array([1.0, np.nan, 2.0]), np.mean, RNG), "1 of 3 values are not finite"),
    (estimates.paired_difference, ([1.0, 2.0], [1.0, 2.0, 3.0], RNG), "same patients"),
    (estimates.proportion, (5, 4), "5 successes of 4"),
    (estimates.holm, ([0.2, 1.2],), "between 0 and 1"),
    (estimates.benjamini_hochberg, ([np.nan],), "between 0 and 1"),
    (estimates.mean_difference, ([1.0, np.inf], [1.0, 2.0]), "1 of 2 values are not finite"),
    (estimates.corrected, (0.95, 0), "0 comparisons"),
    (classification.auc, ([1, 1, 1], [1.0, 2.0, 3.0]), "3 cases and 0 controls"),
    (classification.auc, ([1, 0, 1, 0], [1.0, 2.0]), "2, 4. patients"),
    (classification.auc, ([1, 0, 1, 0], [1.0, np.nan, 0.0, 0.0]), "1 of 4 values are not finite"),
    (classification.auc, ([1, 2, 1, 2], [1.0, 2.0, 3.0, 4.0]), "must be 0"),
    (classification.calibration, ([1, 0, 1, 0], [0.1, 0.2, 1.3, 0.4], RNG), "0..1"),
    (classification.macro_auc, ([0, 0, 1, 1], np.full((4, 3), 1 / 3)), "every class 0..2"),
    (classification.mcc, ([0, 1], [0, 1, 1], RNG), "2 true and 3 predicted"),
    (classification.threshold_for_sensitivity, ([1, 0], [0.3, 0.2], 1.5), "sensitivity 1.5"),
    (classification.sensitivity, ([0, 0], [1, 0]), "0 successes of 0"),
    (power.power_of_means, (1.0, 0.0, 10, 10), "sd is 0.0"),
    (power.detectable_mean_gap, (1.0, 1, 10), "groups of 1 and 10"),
    (power.detectable_proportion_gap, (1.0, 10, 10), "proportion 1.0"),
    (power.power_of_auc, (1.2, 10, 10), "AUC 1.2"),
    (power.events_needed, (1.0,), "hazard ratio 1.0"),
    (metrics.volume_ml, (np.ones((2, 2), bool), (1, 1, 1)), "mask has 2 axes and spacing_mm 3 entries"),
    (metrics.ejection_fraction_percent, (-1, 2), "cannot be negative"),
    (metrics.dice, (NONE, np.zeros((3, 3), bool)), "same grid"),
]


@pytest.mark.parametrize("function, given, words", REFUSED)
def test_refusals_are_one_line(function, given, words):
    with pytest.raises(ValueError, match=words) as error:
        function(*given)
    assert "\n" not in str(error.value)
