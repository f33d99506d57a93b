"""What notebook 06 does with probabilities: shares, temperature, means of estimates."""

import numpy as np
import pytest

from cinema import detection
from cinema.stats import Estimate


def test_thinned_sets_have_the_share_and_one_size():
    classes = np.repeat([0, 1, 2], [40, 80, 80])
    rng = np.random.default_rng(0)
    for share in (0.1, 0.2, 0.5):
        kept = detection.thinned(classes, share, rng)
        assert len(kept) == len(set(kept)) == 80 and np.mean(classes[kept] == 0) == pytest.approx(share)


def test_temperature_undoes_what_sharpened():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 4000)
    classes = np.array([rng.choice(3, p=row) for row in p])
    sharp = detection.tempered(p, 0.5)
    assert np.array_equal(sharp.argmax(1), p.argmax(1)) and sharp.sum(1) == pytest.approx(1)
    assert detection.fitted_temperature(sharp, classes) == pytest.approx(2.0, rel=0.1)


def test_mean_of_estimates():
    first, second = Estimate(0.8, 0.7, 0.9, 50), Estimate(0.6, 0.5, 0.7, 50)
    mean = detection.mean_of([first, second])
    assert mean.value == pytest.approx(0.7) and mean.upper == pytest.approx(0.7 + 0.1 / np.sqrt(2)) and mean.n == 100
