"""Models on a fixed grid: images go there and labels and points come back, for any pixel and slice spacing."""

import numpy as np
import pytest
import torch

from cinema.inference import grid
from cinema.models import ConvUNetR, ResNet2d, UNet
from cinema.models.weights import save
from cinema.terms import PUBLISHED_GRID, SMALL_GRID


def disc(spacing, shape, centre_mm, frames=3):
    """(x, y, z, t) with a bright, beating disc at centre_mm (from the first pixel)."""
    x, y = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape[:2], spacing[:2], strict=True)), indexing="ij")
    radius = np.hypot(x - centre_mm[0], y - centre_mm[1])
    images = [np.repeat((radius < 30 - 5 * t)[..., None], shape[2], 2) for t in range(frames)]
    return np.stack(images, -1).astype(np.float32) * 100


@pytest.fixture
def bright(monkeypatch):
    """Instead of a model: bright is LV; the brightest column is a landmark. Checks what the model would be given."""

    def labels(model, image, view, size, device):
        assert image.shape[:2] == tuple(size[:2])
        return np.uint8(3) * (image > 50)

    def points(model, image, view, size, device):
        return np.stack([np.argwhere(image[:, :, 0, t] > 50).mean(0)[None].repeat(3, 0) for t in range(image.shape[3])])

    monkeypatch.setattr(grid, "segment_volume", labels)
    monkeypatch.setattr(grid, "locate_landmarks", points)


@pytest.mark.parametrize("spacing, count", [((1.4, 1.4, 17.7), 6), ((1.8, 1.6, 6.0), 14), ((1.0, 1.0, 10.0), 9)])
def test_labels_come_back_where_they_were(bright, spacing, count):
    image = disc(spacing, (180, 170, count), (130.0, 110.0))
    reader = grid.GridReader("sax", object(), None, *PUBLISHED_GRID["sax"])
    labels, truth = reader.predict_sax(image, spacing) == 3, image > 50
    assert labels.shape == truth.shape and 2 * (labels & truth).sum() / (labels.sum() + truth.sum()) > 0.97
    np.testing.assert_allclose(np.argwhere(labels).mean(0), np.argwhere(truth).mean(0), atol=0.2)


def test_landmarks_come_back_in_the_images_pixels(bright):
    spacing = (1.5, 1.5, 8.0)
    reader = grid.GridReader("lax_4c", object(), object(), *PUBLISHED_GRID["lax_4c"])
    labels, marks = reader.predict_lax(disc(spacing, (150, 140, 1), (105.0, 90.0)), spacing)
    assert labels.max() == 3
    np.testing.assert_allclose(marks, np.broadcast_to([70.0, 60.0], (3, 3, 2)), atol=0.3)


def tiny(view, out_chans=4, size=(64, 64), channels=1):
    torch.manual_seed(0)
    encoder, factor = (
        ({view: size}, {view: channels}, {view: (4, 4)}, {view: (2, 2)}, [8, 16], 1, 32, 1, 2),
        {view: (2, 2)},
    )
    decoder = dict(dec_chans=[4, 8, 16, 32], dec_patch_size_dict=factor, dec_scale_factor_dict=factor)
    return ConvUNetR(*encoder, out_chans=out_chans, **decoder)


def test_a_weights_file_says_what_it_reads(tmp_path):
    save(tiny("lax_2c", 3), tmp_path / "marks.safetensors")
    readers = grid.readers_from_file(tmp_path / "marks.safetensors")
    assert list(readers) == ["lax_2c"] and readers["lax_2c"].segmenter is None
    assert (readers["lax_2c"].size, readers["lax_2c"].spacing) == SMALL_GRID["lax_2c"]
    labels, marks = readers["lax_2c"].predict_lax(disc((2, 2, 8), (80, 70, 1), (70, 60)), (2.0, 2, 8))
    assert labels is None and marks.shape == (3, 3, 2)
    others = [(ResNet2d(18, 1, 4), "config.yaml"), (tiny("lax_2c", 7), "7 outputs")]
    for model, words in [*others, (tiny("lax_2c", channels=3), "other.safetensors reads 3 images at once")]:
        save(model, tmp_path / "other.safetensors")
        with pytest.raises(ValueError, match=words):
            grid.readers_from_file(tmp_path / "other.safetensors")


def test_a_folder_may_hold_some_of_the_published_models(tmp_path):
    with pytest.raises(FileNotFoundError, match="acdc_sax.*likewise, where wanted, .*lax_4c_0.safetensors"):
        grid.readers_from_repository(tmp_path)
    folder = tmp_path / "finetuned/segmentation/mnms2_lax_4c"
    folder.mkdir(parents=True)
    save(tiny("lax_4c"), folder / "mnms2_lax_4c_0.safetensors")
    (folder / "config.yaml").write_text("model: {}\n", encoding="utf-8")
    readers = grid.readers_from_repository(tmp_path)
    assert list(readers) == ["lax_4c"] and readers["lax_4c"].marker is None
    labels, marks = readers["lax_4c"].predict_lax(disc((2, 2, 8), (80, 70, 1), (70, 60)), (2.0, 2, 8))
    assert labels.shape == (80, 70, 1, 3) and marks is None
    save(tiny("lax_2c"), folder / "mnms2_lax_4c_0.safetensors")
    with pytest.raises(ValueError, match="mnms2_lax_4c_0.safetensors reads lax_2c; put a model of lax_4c there"):
        grid.readers_from_repository(tmp_path)


def test_a_model_of_other_dimensions_than_its_configuration_says_is_refused(tmp_path):
    save(UNet(3, 1, 4, (4, 8)), tmp_path / "a.safetensors")
    (tmp_path / "config.yaml").write_text("model: {views: lax_4c}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="a.safetensors holds a 3D model; its config.yaml says lax_4c"):
        grid.readers_from_file(tmp_path / "a.safetensors")
