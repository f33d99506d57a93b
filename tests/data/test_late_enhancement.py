"""Scar and oedema: class numbers, merged masks - on hand-built cases."""

import numpy as np
import pytest
import tiny
import torch

from cinema.data.late_enhancement import classes, region_rows, to_labels
from cinema.data.loaders import StudyFrames
from cinema.data.study import Study, View, save_study
from cinema.training.segmentation import late_enhancement_task
from cinema.training.task import evaluated

BACKGROUND, RV, LV, MYO, OEDEMA, SCAR = range(6)  # class numbers of MyoPS in the release


def test_class_numbers_of_the_release():
    """EMIDEC's files: 1 cavity, 2 myocardium, 3 infarct, 4 no-reflow. MyoPS: data.md, section 9."""
    assert classes("emidec") == {0: 0, 3: 1, 2: 2, 4: 3, 5: 4}
    assert classes("myops") == {0: 0, 1: 1, 3: 2, 2: 3, 6: 4, 4: 5}


def test_numbers_become_labels_and_foreign_ones_are_refused():
    np.testing.assert_array_equal(to_labels(range(5), "emidec"), [0, 3, 2, 4, 5])
    np.testing.assert_array_equal(to_labels(range(6), "myops"), [0, 1, 3, 2, 6, 4])
    with pytest.raises(ValueError, match=r"holds the label 5; allowed are 0, 1, 2, 3, 4"):
        to_labels(np.array([0, 5]), "emidec")
    with pytest.raises(ValueError, match="emidec, myops, not 'acdc'"):
        late_enhancement_task("acdc")


def test_merged_masks_of_emidec():
    """Infarct inside no-reflow and muscle: counts by hand."""
    true = np.array([[1, 1, 2, 2, 3, 3, 4, 0]])
    predicted = np.array([[1, 0, 2, 3, 3, 2, 4, 4]])
    rows = {row["structure"]: row for row in region_rows(predicted, true, (1.0, 1.0), "emidec")}
    assert rows["LV"]["dice"] == pytest.approx(2 * 1 / 3)
    assert rows["MYO"]["dice"] == pytest.approx(2 * 5 / 11)  # 2, 3 and 4 together
    assert rows["scar"]["dice"] == pytest.approx(2 * 2 / 7)  # 3 and 4 together
    assert rows["no-reflow"]["dice"] == pytest.approx(2 * 1 / 3)
    assert rows["scar"]["iou"] == pytest.approx(2 / 5)


def test_merged_masks_of_myops():
    true = np.array([[[RV], [LV], [MYO], [OEDEMA], [SCAR], [SCAR]]])
    predicted = np.array([[[RV], [LV], [OEDEMA], [SCAR], [SCAR], [MYO]]])
    rows = {row["structure"]: row["dice"] for row in region_rows(predicted, true, (1.0, 1.0, 10.0), "myops")}
    assert rows == pytest.approx({"RV": 1, "LV": 1, "MYO": 1, "oedema": 2 * 2 / 6, "scar": 2 * 1 / 4})


def test_empty_references_count():
    nothing, speck = np.zeros((4, 4), int), np.diag([0, 4, 0, 0])
    both = {row["structure"]: row for row in region_rows(nothing, nothing, (1, 1), "emidec")}
    alone = {row["structure"]: row for row in region_rows(speck, nothing, (1, 1), "emidec")}
    assert both["scar"]["dice"] == 1 and alone["scar"]["dice"] == 0 and alone["LV"]["dice"] == 1
    assert np.isnan(both["scar"]["iou"]) and np.isnan(alone["scar"]["hd95_mm"])


def test_task_trains_and_scores(tmp_path):
    rng = np.random.default_rng(0)
    masks = rng.choice(np.array([0, 2, 3, 4, 5], np.uint8), (12, 16, 3, 1))
    view = View(rng.random((12, 16, 3, 1), np.float32), np.diag([2.5, 2.5, 10, 1]), masks, (0,))
    path = save_study(Study("e", "test", {"sax": view}), tmp_path)
    items = StudyFrames([path], ("sax",), "channels", tiny.GRID, classes=classes("emidec"))
    emidec, model = late_enhancement_task("emidec"), tiny.Pixelwise(classes=5)
    batch = torch.utils.data.default_collate([items[0]])
    value, _ = emidec.loss(model, batch)
    value.backward()
    assert torch.isfinite(value)
    table = evaluated(model, items, emidec)
    assert table.structure.tolist() == ["LV", "MYO", "scar", "no-reflow"]
    assert table.true_volume_ml[2] == pytest.approx((masks >= 4).sum() * 2.5 * 2.5 * 10 / 1000)
    assert emidec.summary(table)["mean_dice"] == pytest.approx(table.dice.mean())
