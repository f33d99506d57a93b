"""The landmark tasks, by heatmap and by coordinates."""

import numpy as np
import pytest
import tiny
import torch

from cinema.data.loaders import StudyFrames, batches
from cinema.training import landmarks
from cinema.training.task import evaluated
from cinema.training.tasks import TASKS


def items(tmp_path):
    return StudyFrames(tiny.write(tmp_path, n=2), ("lax_4c",), "landmarks", tiny.GRID)


class Painter(torch.nn.Module):
    """Gives the heatmaps, or the fractions, of what it was told; every point moved by (3, 4) pixels."""

    def __init__(self, dataset, coordinates):
        super().__init__()
        self.points = iter([item["points"]["lax_4c"].round() for item in dataset])
        self.coordinates = coordinates

    def forward(self, images):
        points = next(self.points)[None] + torch.tensor([3.0, 4.0])
        if self.coordinates:
            return (points / 16).flatten(1)
        return {"lax_4c": torch.logit(landmarks.heatmaps(points, (24, 24))[..., :16, :16], 1e-6)}


@pytest.mark.parametrize("name", ["landmark_heatmap", "landmark_coordinate"])
def test_distances_are_in_mm(tmp_path, name):
    dataset = items(tmp_path)
    table = evaluated(Painter(dataset, name == "landmark_coordinate"), dataset, TASKS[name])
    assert len(table) == 2 * 4 * 3 and list(table.landmark[:3]) == ["hinge_1", "hinge_2", "apex"]
    inside = table[(table.true_x.round() + 3 < 16) & (table.true_y.round() + 4 < 16)]
    expected = np.hypot(inside.true_x.round() + 3 - inside.true_x, inside.true_y.round() + 4 - inside.true_y) * 2.5
    assert len(inside) > 8
    np.testing.assert_allclose(inside.distance_mm, expected, atol=1e-4)
    assert TASKS[name].summary(table)["mean_distance_mm"] == pytest.approx(table.distance_mm.mean())


@pytest.mark.parametrize("task", [TASKS["landmark_heatmap"], TASKS["landmark_coordinate"]])
def test_loss_is_smallest_at_the_truth(tmp_path, task):
    (batch,) = batches(items(tmp_path), [[0, 1, 2]])
    points = batch["points"]["lax_4c"]

    def answer(shift):
        if task.name == "landmark_coordinate":
            return lambda images: ((points + shift) / 16).flatten(1)
        return lambda images: {"lax_4c": torch.logit(landmarks.heatmaps(points + shift, (16, 16)), 1e-4)}

    losses = [task.loss(answer(shift), batch)[0].item() for shift in (0.0, 1.0, 3.0)]
    assert losses == sorted(losses) and losses[0] < losses[1]


def test_coordinates_refuse_windows():
    with pytest.raises(ValueError, match="coordinate models need a crop"):
        landmarks.predict_coordinates(None, {"lax_4c": torch.zeros(1, 1, 24, 16)}, {"lax_4c": (16, 16)})
