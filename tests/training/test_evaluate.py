"""Tables over data sets, whole cines, and ejection fraction."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from cinema.data.loaders import StudyFrames
from cinema.models.small import small_convunetr, small_convvit
from cinema.training import classification, evaluate, landmarks, segmentation, windows
from cinema.training.tasks import TASKS


class Threshold(torch.nn.Module):
    """Calls bright pixels LV, in whatever size it is given; remembers the sizes."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, images):
        ((view, image),) = images.items()
        self.sizes.append(tuple(image.shape))
        lv = (image[:, 0] > 0.8).float() * 20
        return {view: torch.stack([10 - lv, torch.zeros_like(lv), torch.zeros_like(lv), lv], 1)}


def test_table_leaves_the_model_as_it_was(tmp_path):
    model = tiny.Pixelwise().train()
    dataset = StudyFrames(tiny.write(tmp_path, n=2, views=("sax",)), ("sax",), grid=tiny.GRID)
    state = torch.get_rng_state()
    first, second = (evaluate.table(model, dataset, TASKS["segmentation"]) for _ in range(2))
    assert first.equals(second) and model.training and torch.equal(state, torch.get_rng_state())
    columns = "study frame phase view structure dice iou hd95_mm volume_ml true_volume_ml"
    assert list(first.columns) == columns.split()


@pytest.mark.parametrize(("view", "size"), [("sax", (16, 16, 4)), ("lax_4c", (16, 16))])
def test_segment_volume_crops_padding_and_uses_windows(tmp_path, view, size):
    rng = np.random.default_rng(0)
    model = Threshold()
    for extent in ((13, 12, 3), (25, 18, 7)):
        extent = (*extent[:2], 1) if view == "lax_4c" else extent
        image = rng.random((*extent, 2), np.float32)
        image[0, 0, 0], image[0, 1, 0] = 0, 1  # so that scaling changes nothing
        labels = evaluate.segment_volume(model, image, view, size)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels == 3, image > np.float32(0.8))
    assert {shape[2:] for shape in model.sizes} == {size}


def test_locate_landmarks(tmp_path):
    rng = np.random.default_rng(0)
    true = rng.integers(2, 14, (5, 3, 2)).astype(np.float32)
    frames = iter(landmarks.heatmaps(torch.from_numpy(true), (16, 16)))

    class Sees(torch.nn.Module):
        def forward(self, images):
            return {"lax_2c": torch.logit(next(frames), 1e-6)[None]}

    found = evaluate.locate_landmarks(Sees(), np.zeros((16, 16, 1, 5)), "lax_2c", (16, 16))
    np.testing.assert_array_equal(found, true)


def rows(volumes):
    """Segmentation rows from {study: (edv, esv, true edv, true esv)}."""
    rows = [(study, phase, *v[k::2]) for study, v in volumes.items() for k, phase in enumerate(("ED", "ES"))]
    return pd.DataFrame(rows, columns=["study", "phase", "volume_ml", "true_volume_ml"]).assign(structure="LV")


def test_ef_table_and_summary():
    table = evaluate.ef_table(rows({"a": (100, 50, 100, 40), "b": (200, 80, 200, 100), "c": (0, 0, 120, 90)}))
    np.testing.assert_allclose(table.ef_percent, [50, 60, 0])
    np.testing.assert_allclose(table.true_ef_percent, [60, 50, 25])
    np.testing.assert_allclose(table.ef_error_percent, [10, 10, 25])
    numbers = evaluate.ef_summary(table)
    assert numbers["ef_mae"] == 15 and numbers["ef_error_std"] == pytest.approx(np.std([10, 10, 25], ddof=1))
    assert numbers["edv_rmse_ml"] == pytest.approx(120 / np.sqrt(3))
    assert numbers["band_accuracy"] == pytest.approx(1 / 3)


def test_ef_table_refuses_a_missing_or_doubled_phase():
    table = rows({"a": (100, 50, 100, 40), "b": (200, 80, 200, 100)})
    for bad in (table[:-1], pd.concat([table, table[-1:]])):
        with pytest.raises(ValueError, match="study b has exactly one ED and one ES row"):
            evaluate.ef_table(bad)
    with pytest.raises(ValueError, match="no study has exactly"):
        evaluate.ef_table(table[:0])


def test_ef_of_cines_uses_extremes():
    volumes = {"volume_ml": [90, 120, 60, 80.0], "true_volume_ml": [100, 90, 50, 70.0]}
    row = evaluate.cine_ef_table(pd.DataFrame({"study": "a", "structure": "LV"} | volumes)).iloc[0]
    assert (row.edv_ml, row.esv_ml, row.ef_percent, row.true_ef_percent) == (120, 60, 50, 50)


def test_windows_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="overlap is 5; it must be at least 0 and less than the window, 5"):
        windows.corners((10,), (5,), (5,))
    sax, lax = torch.zeros(1, 2, 24, 16, 4), torch.zeros(1, 2, 32, 32)
    for images in ({"sax": sax.repeat(2, 1, 1, 1, 1)}, {"sax": sax, "lax_4c": lax}):
        with pytest.raises(ValueError, match="exceed the windows.*one view, in batches of one: crop"):
            windows.exceeds(images, {"sax": (16, 16, 4), "lax_4c": (16, 16)})


@torch.no_grad()
def test_a_view_goes_through_windows_beside_the_whole_others():
    torch.manual_seed(0)
    views = ("lax_2c", "lax_4c")
    small, size = {view: (64, 64) for view in views}, {"lax_2c": (64, 64), "lax_4c": (64, 96)}
    images = {view: torch.rand(1, 1, *size[view]) for view in views}
    model = small_convunetr(views).eval()
    found, mean, count = segmentation.predict(model, images, small), torch.zeros(1, 4, 64, 96), torch.zeros(96)
    others = []
    for first in (0, 32):  # of half the window, and flush with the end
        logits = model({"lax_2c": images["lax_2c"], "lax_4c": images["lax_4c"][..., first : first + 64]})
        mean[..., first : first + 64] += logits["lax_4c"].softmax(1)
        count[first : first + 64] += 1
        others.append(logits["lax_2c"].softmax(1))
    expected = {"lax_2c": torch.stack(others).mean(0).log(), "lax_4c": (mean / count).log()}
    for view in views:
        torch.testing.assert_close(found[view], expected[view], rtol=1e-4, atol=1e-5)
    vit, read = small_convvit(views, n_frames=1, out_chans=3).eval(), []
    for first in (0, 32):
        read.append(vit({"lax_2c": images["lax_2c"], "lax_4c": images["lax_4c"][..., first : first + 64]}).softmax(1))
    torch.testing.assert_close(classification.predict(vit, images, small), torch.stack(read).mean(0))
