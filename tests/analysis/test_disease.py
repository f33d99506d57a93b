"""What notebook 06 does with probabilities: shares, temperature, means of estimates; heads that start as a probe."""

from functools import partial

import numpy as np
import pytest
import torch

from cinema.analysis import disease, features
from cinema.data.study import study_paths
from cinema.models import two_frames
from cinema.phantom import cohort
from cinema.stats.estimates import Estimate
from cinema.training import arms, regression


def test_thinned_sets_have_the_share_and_one_size():
    classes = np.repeat([0, 1, 2], [40, 80, 80])
    rng = np.random.default_rng(0)
    for share in (0.1, 0.2, 0.5):
        kept = disease.thinned(classes, share, rng)
        assert len(kept) == len(set(kept)) == 80 and np.mean(classes[kept] == 0) == pytest.approx(share)


def test_temperature_undoes_what_sharpened():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 4000)
    classes = np.array([rng.choice(3, p=row) for row in p])
    sharp = disease.with_temperature(p, 0.5)
    assert np.array_equal(sharp.argmax(1), p.argmax(1)) and sharp.sum(1) == pytest.approx(1)
    assert disease.fitted_temperature(sharp, classes) == pytest.approx(2.0, rel=0.1)


def test_mean_of_estimates():
    first, second = Estimate(0.8, 0.7, 0.9, 50), Estimate(0.6, 0.5, 0.7, 50)
    mean = disease.mean_of([first, second])
    assert mean.value == pytest.approx(0.7) and mean.upper == pytest.approx(0.7 + 0.1 / np.sqrt(2)) and mean.n == 100


@pytest.fixture(scope="module")
def nine(tmp_path_factory):
    paths = study_paths(cohort.write("acdc", 9, 0, tmp_path_factory.mktemp("nine")))
    return paths, features.features_of(paths).to_numpy()


def answers(build, data):
    """What an untrained arm says of a data set."""
    model = arms.Arm("probed", build, arms.SHIPPED[1], arms.SHIPPED[0]).start(0).eval()
    with torch.no_grad():
        return torch.cat([model({"sax": data[i]["image"]["sax"][None]}) for i in range(len(data))])


def test_a_probed_regression_starts_with_the_answers_of_its_ridge(nine):
    paths, x = nine
    ef = np.linspace(25, 65, 9)
    fit = features.ridge().fit(x[:6], (ef[:6] - regression.EF_MEAN) / regression.EF_STD)
    found = answers(partial(two_frames.probed, fit), arms.with_targets(paths))
    np.testing.assert_allclose(found[:, 0], fit.predict(x), atol=2e-3)


@pytest.mark.parametrize("classes", [[0, 1, 2] * 3, [0, 2] * 4 + [0], [1, 1, 2] * 3])
def test_a_probed_network_starts_with_the_answers_of_its_probe(classes, nine):
    paths, x = nine
    p, fit = disease.logistic_head(x, np.array(classes), np.arange(9) < 6, np.arange(9) >= 6, 3)
    data = arms.with_targets(paths, attribute="disease", classes=("NOR", "MINF", "DCM", "HCM", "ARV"))
    np.testing.assert_allclose(answers(partial(disease.probed, 3, fit), data).softmax(1), p, atol=2e-3)
