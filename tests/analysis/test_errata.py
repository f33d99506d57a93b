"""Each oddity of the release does here what it is said to do, and the measurement would notice if it did not."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cinema.analysis import errata
from cinema.data.loaders import StudyFrames
from cinema.data.study import study_paths
from cinema.data.transforms import NOTHING
from cinema.models.patches import position_table
from cinema.phantom import cohort
from cinema.terms import LABELS, SMALL_GRID
from cinema.training import arms
from cinema.training.recipe import PAPER, TrainConfig


@pytest.fixture(scope="module")
def acdc(tmp_path_factory):
    folder = tmp_path_factory.mktemp("oddities")
    cohort.write("acdc", 4, 0, folder / "acdc")
    return [str(path) for path in study_paths(folder / "acdc")]


def test_draws_are_those_of_workers_that_start_alike():
    n, size, workers = 22, 4, 3
    used, expected = [0] * workers, []
    for batch in range(-(-n // size)):
        worker = batch % workers
        for _ in range(min(size, n - batch * size)):
            expected.append(used[worker])
            used[worker] += 1
    assert errata.draw_numbers(n, size, workers).tolist() == expected
    assert errata.draw_numbers(n, size, 1).tolist() == list(range(n))


def test_repeated_draws_repeat_over_workers_and_epochs_and_ours_do_not(acdc):
    augment = {"sax": replace(NOTHING, probability=1.0, noise=0.1), "lax": NOTHING}
    ours, theirs = arms.stacks(acdc, augment), errata.repeated(acdc, augment)
    plain = arms.stacks(acdc)

    def noise(data, i):
        """What is left of an augmented image when the plain one, scaled and shifted, is taken away."""
        image, known = data[i]["image"]["sax"].flatten(), plain[i]["image"]["sax"].flatten()
        known = torch.stack([known, torch.ones_like(known)], 1)
        return image - known @ torch.linalg.lstsq(known, image[:, None]).solution[:, 0]

    def patterns(data):
        """How many different noises two epochs hold."""
        found = []
        for epoch in range(2):
            data.set_epoch(epoch)
            found += [noise(data, i) for i in range(len(data))]
        alike = torch.corrcoef(torch.stack(found)) > 0.9
        return len({tuple(line.tolist()) for line in alike})

    assert len(theirs) == 8 and patterns(ours) == 16
    assert patterns(theirs) == errata.draw_numbers(8, 2, 4).max() + 1 == 2


def test_x_only_leaves_the_other_axis_alone(acdc):
    data = errata.x_only(acdc, arms.MILD)
    assert data.augment["sax"] == replace(arms.MILD["sax"], scale=(0.2, 0.0))
    assert errata.x_only(acdc).augment is None and errata.repeated(acdc).augment is None


def test_stretched_hearts_are_larger_and_masks_follow(acdc):
    def volumes(*factors):
        data = errata.Stretched(acdc, factors)
        return np.array([int((data[i]["label"]["sax"] == LABELS["LV"]).sum()) for i in range(4)])

    for factors in ((1.2, 1.2), (1, 1.2)):
        assert np.mean(volumes(*factors) / volumes(1, 1)) == pytest.approx(np.prod(factors), rel=0.05)
    plain, same = arms.stacks(acdc)[0], errata.Stretched(acdc, (1.0, 1.0))[0]
    assert torch.equal(plain["label"]["sax"], same["label"]["sax"])
    torch.testing.assert_close(plain["image"]["sax"], same["image"]["sax"])


def test_remainder_and_decay_are_those_of_the_published_recipe():
    assert errata.left_out(180, PAPER["segmentation"]) == 52
    assert errata.left_out(180, replace(PAPER["segmentation"], drop_remainder=False)) == 0
    short = TrainConfig(epochs=2, warmup_epochs=0, learning_rate=0.1, min_learning_rate=0.1, batch_size=1)
    assert errata.shrinkage(0.5, 3, short) == pytest.approx(0.95**6)
    assert errata.expected_dropped_branches(0.1, 12, ramp=False) == pytest.approx(2.4)
    assert errata.expected_dropped_branches(0.1, 12, ramp=True) == pytest.approx(1.2)


def test_contrast_and_range_of_virtual_images(acdc):
    assert np.all(errata.blood_contrast(acdc) > 30)
    share = errata.joint_range(acdc)
    assert share.shape == (4,) and np.all((share > 0.5) & (share <= 1))


def test_cut_coordinates_shift_downwards():
    errors = errata.soft_argmax_errors(np.random.default_rng(0), 400)
    assert np.all(errors.mean(0) < -0.05) and np.abs(errors).max() < 1.5


def test_softmax_windows_hurt_only_over_uneven_background():
    even, uneven = (errata.windowed_heatmaps(np.random.default_rng(0), 60, sd) for sd in (0, 3))
    assert abs(even["softmax"].mean() - even["sigmoid"].mean()) < 0.5
    assert uneven["softmax"].mean() > uneven["sigmoid"].mean() + 1


def test_last_piece_is_wrong_when_the_false_one_comes_later(tmp_path):
    cohort.write("mnms2", 6, 0, tmp_path / "m")
    paths = [str(path) for path in study_paths(tmp_path / "m")]
    wrong = errata.wrong_components(paths, np.random.default_rng(0))
    assert not wrong["largest"].any() and 0 < wrong["last"].mean() < 1


def test_a_box_past_the_border_is_empty_unless_clamped():
    assert [errata.window_pixels(0, 5, 192, clamped) for clamped in (False, True)] == [0, 7]
    assert [errata.window_pixels(3, 5, 192, clamped) for clamped in (False, True)] == [5, 5]
    assert errata.window_pixels(185, 191, 192, False) == errata.window_pixels(185, 191, 192, True) == 8


class Everywhere(nn.Module):
    """Calls every voxel ventricle."""

    def forward(self, images):
        return {"sax": torch.eye(4)[LABELS["LV"]].view(1, 4, 1, 1, 1).expand(1, 4, *images["sax"].shape[2:])}


def test_volume_in_padding_counts_the_empty_slices_only(acdc):
    size, spacing = SMALL_GRID["sax"]
    whole = math.prod(size[:2]) * 2 * math.prod(spacing) / 1000
    assert errata.padding_ml(Everywhere(), acdc, 2) == pytest.approx([whole] * 4)


def test_tiled_weights_change_the_stage_by_their_bias_only(acdc):
    change = errata.tiling_change(acdc)
    assert change.shape == (4,) and np.all((change > 0) & (change < 1))
    assert len(StudyFrames(acdc, ("sax",), "ed_es", SMALL_GRID)) == 4


@pytest.mark.parametrize(("grid", "fits"), [((3, 3, 2), True), ((4, 4), True), ((3, 4), False), ((2, 5, 2), False)])
def test_misplaced_tokens_are_those_of_the_position_table(grid, fits):
    """Against the table itself: token (x, y, ..) must have the code of x in the second block, of y in the first."""
    table, width = position_table(24, grid)[0], 24 // len(grid) // 2 * 2
    codes = [position_table(width, (n,))[0] for n in grid]
    token = np.stack(np.unravel_index(np.arange(math.prod(grid)), grid))
    blocks = table[:, : 2 * width].unflatten(1, (2, width))
    pairs = [zip(blocks[m], codes, token[1::-1, m]) for m in range(len(table))]
    right = [all(at < len(code) and torch.equal(block, code[at]) for block, code, at in own) for own in pairs]
    assert errata.misplaced_share(grid) == pytest.approx(1 - np.mean(right))
    assert (errata.misplaced_share(grid) == 0) == fits


def test_idle_parameters_are_those_of_a_convolution_nobody_calls():
    idle, every = errata.idle_parameters()
    assert idle == 512 * 32 * 27 + 32 and every > 100 * idle
