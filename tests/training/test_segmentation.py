"""The segmentation task: its loss against closed forms, its rows, and larger images."""

import pandas as pd
import pytest
import tiny
import torch

from cinema.data.loaders import StudyFrames, batches
from cinema.training import segmentation
from cinema.training.task import evaluated
from cinema.training.tasks import TASKS


def certain(labels, margin=30.0):
    """Logits that say exactly `labels`."""
    return margin * torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()


class Oracle(torch.nn.Module):
    """Reads the class from the brightness that tiny.view gives it."""

    def forward(self, images):
        return {view: certain((image[:, 0] * 3).round().long()) for view, image in images.items()}


class Clean(StudyFrames):
    """Images that are their labels' brightness, without noise."""

    def __getitem__(self, index):
        item = super().__getitem__(index)
        return item | {"image": {view: label[None].float() / 3 for view, label in item["label"].items()}}


def test_unlabelled_voxels_do_not_reach_cross_entropy():
    labels = torch.tensor([[[3, 3], [-1, -1]]])
    logits = certain(torch.tensor([[[3, 3], [0, 0]]]))
    assert segmentation.dice_and_cross_entropy(logits, labels)[0].item() == pytest.approx(0, abs=1e-4)
    logits[:, 2, 1] = 60.0  # wrong only where nobody annotated: Dice minds, cross entropy does not
    _, parts = segmentation.dice_and_cross_entropy(logits, labels)
    assert parts["cross_entropy"] == pytest.approx(0, abs=1e-4) and parts["dice_loss"] == pytest.approx(1 / 3, abs=1e-4)


def test_loss_is_the_mean_over_views(tmp_path):
    items = StudyFrames(tiny.write(tmp_path, n=1), ("sax", "lax_4c"), grid=tiny.GRID)
    (batch,) = batches(items, [[0, 1]])
    logits = {view: torch.randn(2, 4, *label.shape[1:]) for view, label in batch["label"].items()}
    loss, _ = segmentation.loss(lambda images: logits, batch)
    each = [segmentation.dice_and_cross_entropy(logits[view], batch["label"][view])[0] for view in logits]
    assert loss.item() == pytest.approx(sum(each).item() / 2)


def test_rows_of_a_perfect_reader(tmp_path):
    paths = tiny.write(tmp_path, n=2, n_frames=2)
    table = evaluated(Oracle(), Clean(paths, ("sax", "lax_4c"), grid=tiny.GRID), TASKS["segmentation"])
    assert len(table) == 2 * 2 * 2 * 3 and (table.dice == 1).all() and (table.hd95_mm == 0).all()
    assert (table.volume_ml == table.true_volume_ml).all()
    lv = table[(table.structure == "LV") & (table.view == "sax")]
    assert set(lv.phase) == {"ED", "ES"} and lv.volume_ml.max() > lv.volume_ml.min()
    numbers = TASKS["segmentation"].summary(table)
    assert numbers["mean_dice"] == numbers["dice_LV"] == 1 and numbers["hd95_mm_MYO"] == 0


def test_padding_is_cut_off_before_scoring(tmp_path):
    paths = tiny.write(tmp_path, n=1, views=("sax",), n_frames=1, size=(12, 12, 3))
    items = StudyFrames(paths, ("sax",), grid=tiny.GRID)

    def all_lv(images):
        return {view: certain(torch.full_like(image[:, 0], 3).long()) for view, image in images.items()}

    (batch,) = batches(items, [[0]])
    lv = next(row for row in segmentation.evaluate(all_lv, batch) if row["structure"] == "LV")
    assert lv["volume_ml"] == pytest.approx(12 * 12 * 3 * 62.5 / 1000)


def test_mean_dice_of_a_set_skips_items_that_lack_a_structure():
    table = pd.DataFrame(
        [
            {"study": s, "frame": 0, "view": "sax", "structure": name, "dice": dice, "hd95_mm": 1.0}
            for s, dices in (("a", (0.6, 0.8, 1.0)), ("b", (float("nan"), 0.2, 0.2)))
            for name, dice in zip(("RV", "MYO", "LV"), dices, strict=True)
        ]
    )
    table.loc[1, "hd95_mm"] = float("nan")
    numbers = TASKS["segmentation"].summary(table)
    assert [numbers[f"hd95_left_out_{name}"] for name in ("RV", "MYO", "LV")] == [0, 1, 0]
    assert numbers["hd95_mm_MYO"] == 1
    assert numbers["mean_dice"] == pytest.approx(0.8) and numbers["dice_LV"] == pytest.approx(0.6)
