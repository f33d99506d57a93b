"""The regression task."""

import pytest
import tiny
import torch

from cinema.data.loaders import StudyFrames
from cinema.training import regression
from cinema.training.task import evaluated
from cinema.training.tasks import TASKS


def constant(value):
    class Model(torch.nn.Module):
        def forward(self, images):
            (image,) = images.values()
            return torch.full((len(image), 1), value)

    return Model()


def test_models_see_z_scores_and_tables_hold_units(tmp_path):
    items = StudyFrames(tiny.write(tmp_path, n=2), ("sax",), "ed_es", tiny.GRID, targets=[50.0, 70.0])
    task = regression.task(mean=60.0, std=10.0)
    batch = {"image": {"sax": torch.zeros(2, 2, 4, 4, 1)}, "target": torch.tensor([50.0, 70.0])}
    loss, numbers = task.loss(constant(0.5), batch)
    assert loss.item() == pytest.approx((1.5**2 + 0.5**2) / 2) and numbers["mae"] == pytest.approx(1)
    table = evaluated(constant(0.5), items, task)
    assert list(table.true) == [50, 70] and list(table.predicted) == [65, 65]
    summary = task.summary(table)
    assert summary["mae"] == pytest.approx(1) and summary["restored_mae"] == pytest.approx(10)
    assert summary["restored_max_label"] == 70 and task.monitor in summary and not task.maximise


def test_a_value_without_spread_is_refused():
    with pytest.raises(ValueError, match="std is 0.0; it must be positive"):
        regression.task(mean=1.0, std=0.0)
    assert TASKS["regression"].name == "regression"
