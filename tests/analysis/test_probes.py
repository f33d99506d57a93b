"""Probes find what is in the features, and nothing where nothing is."""

import numpy as np
import torch

from cinema.analysis.features import predicted_class, predicted_number, study_features
from cinema.models import small
from cinema.terms import SMALL_GRID


def test_a_linear_signal_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 40))
    values = features[:, 0] + 0.1 * rng.normal(size=120)
    assert np.abs(predicted_number(features, values) - values).mean() < 0.25 * np.abs(values).mean()
    noise = rng.normal(size=120)
    error = np.abs(predicted_number(features, noise) - noise).mean()
    assert error > 0.9 * np.abs(noise - noise.mean()).mean()


def test_classes_are_found_and_shuffled_ones_are_not():
    rng = np.random.default_rng(1)
    classes = np.repeat(["NOR", "DCM", "HCM"], 30)
    features = rng.normal(size=(90, 20)) + 2 * (classes[:, None] == ["NOR"] * 10 + ["DCM"] * 10)
    assert np.mean(predicted_class(features, classes) == classes) > 0.9
    shuffled = rng.permutation(classes)
    assert np.mean(predicted_class(features, shuffled) == shuffled) < 0.55


def test_features_put_the_frames_side_by_side_and_leave_the_model_as_it_was():
    torch.manual_seed(0)
    model = small.small_cinema(("sax",)).train()
    pairs = [{"image": {"sax": torch.rand(2, *SMALL_GRID["sax"][0])}} for _ in range(2)]
    features = study_features(model, pairs)
    assert features.shape == (2, 2 * 3 * 128) and np.isfinite(features).all() and model.training
    swapped = [{"image": {"sax": pairs[0]["image"]["sax"].flip(0)}}]
    halves = np.split(study_features(model, swapped)[0], 2)
    assert np.allclose(np.concatenate(halves[::-1]), features[0], atol=1e-5)
