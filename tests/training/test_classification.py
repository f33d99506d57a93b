"""The classification task."""

import numpy as np
import pytest
import tiny
import torch

from cinema.data.loaders import StudyFrames
from cinema.training import classification
from cinema.training.loop import TrainConfig, fit
from cinema.training.task import evaluated
from cinema.training.tasks import TASKS


def test_class_numbers():
    assert classification.class_numbers(["HCM", "NOR", "HCM"], ("NOR", "HCM")) == [1, 0, 1]
    with pytest.raises(ValueError, match="class 'XYZ' is not among NOR, HCM"):
        classification.class_numbers(["NOR", "XYZ"], ("NOR", "HCM"))


def test_rows_and_summary(tmp_path):
    items = StudyFrames(tiny.write(tmp_path, n=6), ("sax",), "ed_es", tiny.GRID, targets=[0, 1, 0, 1, 0, 1])
    answers = iter(torch.tensor([[2.0, 1], [1, 2], [2, 1], [2, 1.5], [3, 1], [1, 4]]))

    class Model(torch.nn.Module):
        def forward(self, images):
            assert images["sax"].shape == (1, 2, 16, 16, 4)
            return next(answers)[None]

    table = evaluated(Model(), items, TASKS["classification"])
    assert list(table.true) == [0, 1] * 3 and list(table.predicted) == [0, 1, 0, 0, 0, 1]
    np.testing.assert_allclose(table.p_0 + table.p_1, 1)
    numbers = TASKS["classification"].summary(table)
    assert numbers["accuracy"] == pytest.approx(5 / 6) and numbers["sensitivity"] == pytest.approx(2 / 3)


def test_training_finds_a_planted_difference(tmp_path):
    paths, targets = tiny.write(tmp_path, n=8, views=("sax",)), [0, 1] * 4

    class Marked(StudyFrames):  # class 1 is brighter at ED
        def __getitem__(self, index):
            item = super().__getitem__(index)
            item["image"]["sax"][0] += 0.5 * item["target"]
            return item

    halves = (slice(4), slice(4, 8))
    sets = [Marked(paths[half], ("sax",), "ed_es", tiny.GRID, targets=targets[half]) for half in halves]
    config = TrainConfig(epochs=40, warmup_epochs=1, learning_rate=0.05, evaluate_every=40)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        history = fit(tiny.Whole(), TASKS["classification"], *sets, config, tmp_path / "out")
    assert history.val_mcc.iloc[-1] == 1 and history.accuracy.iloc[-1] == 1
