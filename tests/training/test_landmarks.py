"""The landmark tasks, by heatmap and by coordinates."""

import math

import numpy as np
import pytest
import tiny
import torch

from cinema.data.loaders import StudyFrames, batches
from cinema.training import landmarks
from cinema.training.task import evaluated
from cinema.training.tasks import TASKS

POINTS = torch.tensor([[[4.0, 11.0], [20.0, 7.0], [13.0, 16.0]]])


def test_heatmap_is_a_gaussian_of_three_pixels():
    heat = landmarks.heatmaps(POINTS, (24, 20))[0]
    assert heat.shape == (3, 24, 20) and heat.amax((1, 2)).tolist() == [1, 1, 1]
    assert heat[0, 4, 11 + 3].item() == pytest.approx(math.exp(-0.5))
    whole = landmarks.heatmaps(torch.tensor([[[20.0, 20.0]]]), (41, 41))
    assert whole.sum().item() == pytest.approx(2 * math.pi * 9, rel=1e-3)


def test_soft_argmax_undoes_heatmaps_at_whole_pixels():
    assert torch.equal(landmarks.soft_argmax(landmarks.heatmaps(POINTS, (24, 20))), POINTS.long())


def test_wing_is_continuous_with_its_two_regimes():
    zero = torch.zeros(1)
    at = [landmarks.wing(torch.tensor([e]), zero).item() for e in (0.0, 1.0, 9.9999, 10.0001, 20.0)]
    assert at[0] == 0 and at[1] == pytest.approx(10 * math.log(1.5)) and at[2] == pytest.approx(at[3], abs=1e-3)
    assert at[4] - at[3] == pytest.approx(10, abs=1e-3)


def test_relative_points_ignore_a_common_shift():
    torch.testing.assert_close(landmarks.relative(POINTS), landmarks.relative(POINTS + 5))
    assert landmarks.relative(POINTS)[0, 0].tolist() == [4 - 16.5, 11 - 11.5]


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
    assert len(inside) > 8
    expected = np.hypot(inside.true_x.round() + 3 - inside.true_x, inside.true_y.round() + 4 - inside.true_y) * 2.5
    np.testing.assert_allclose(inside.distance_mm, expected, atol=1e-4)
    numbers = TASKS[name].summary(table)
    assert numbers["mean_distance_mm"] == pytest.approx(table.distance_mm.mean())


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


def test_windows_use_sigmoids_and_coordinates_refuse_them():
    points = torch.tensor([[[4.0, 5.0], [20.0, 9.0], [11.0, 12.0]]])
    image = {"lax_4c": landmarks.heatmaps(points, (24, 16)).amax(1, keepdim=True)}

    def model(images):
        return {view: torch.logit(x, 1e-6).repeat(1, 3, 1, 1) for view, x in images.items()}

    heat = landmarks.predict_heatmaps(model, image, {"lax_4c": (16, 16)})
    torch.testing.assert_close(heat[:, :1], image["lax_4c"], atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="coordinate models need a crop"):
        landmarks.predict_coordinates(model, image, {"lax_4c": (16, 16)})
