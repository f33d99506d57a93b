"""The pretraining task, with a stand-in and with CineMA itself."""

import pytest
import tiny
import torch

from cinema.data.loaders import StudyFrames
from cinema.data.transforms import PRETRAINING
from cinema.models import CineMA
from cinema.models.patches import patchify
from cinema.training import pretraining
from cinema.training.loop import TrainConfig, fit
from cinema.training.task import evaluated
from cinema.training.tasks import TASKS

VIEWS = ("sax", "lax_4c")


def tiny_cinema(scale):
    sizes, patch = {view: tiny.GRID[view][0] for view in VIEWS}, {"sax": (2, 2, 1), "lax_4c": (2, 2)}
    widths = dict(enc_embed_dim=32, enc_depth=1, enc_n_heads=2, dec_embed_dim=16, dec_depth=1, dec_n_heads=2)
    return CineMA(sizes, dict.fromkeys(VIEWS, 1), patch, {"sax": scale, "lax_4c": (2, 2)}, [4], 1, **widths)


def test_evaluation_hides_the_same_patches_every_time(tmp_path):
    items = StudyFrames(tiny.write(tmp_path, n=3), VIEWS, "random", tiny.GRID)
    model = tiny.Denoiser(VIEWS)
    first, second, other = (evaluated(model, items, TASKS["pretraining"], seed=seed) for seed in (0, 0, 1))
    assert first.equals(second) and not first.equals(other)
    assert list(first.view) == list(VIEWS) * 3
    numbers = TASKS["pretraining"].summary(first)
    assert numbers["loss"] == pytest.approx((numbers["sax_mse_loss"] + numbers["lax_4c_mse_loss"]) / 2)


def test_a_small_cinema_learns_to_paint(tmp_path):
    sets = [
        StudyFrames(tiny.write(tmp_path / name, n=n, seed=n), VIEWS, "random", tiny.GRID, augment)
        for name, n, augment in (("train", 6, PRETRAINING), ("val", 2, None))
    ]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = tiny_cinema((2, 2, 1))
    config = TrainConfig(epochs=25, warmup_epochs=2, learning_rate=5e-3, batch_size=6, evaluate_every=12)
    history = fit(model, TASKS["pretraining"], *sets, config, tmp_path / "out")
    assert history.loss.iloc[-1] < 0.5 * history.loss.iloc[0]
    assert history.val_loss.iloc[-1] < history.val_loss.iloc[11] * 1.05
    assert {"sax_mse_loss", "val_lax_4c_mse_loss"} <= set(history)


def test_mask_ratio_is_checked():
    with pytest.raises(ValueError, match="mask_ratio is 1.0; it must lie between 0 and 1"):
        pretraining.task(mask_ratio=1.0)


def test_painted_patches_go_where_they_were_hidden():
    model = tiny_cinema((2, 2, 2))
    images = {"sax": torch.rand(2, 1, 16, 16, 4), "lax_4c": torch.rand(2, 1, 16, 16)}
    _, predictions, masks, _ = model(images, 0.5, generator=torch.Generator().manual_seed(0))
    hidden = pretraining.hidden_voxels(model, masks)
    right = {
        view: patchify(image, model.enc_down_dict[view].patch_size)[masks[view]].unflatten(0, (2, -1))
        for view, image in images.items()
    }
    for view, image in images.items():
        assert hidden[view].shape == image.shape and hidden[view].float().mean() == 0.5
        painted = pretraining.filled_in(model, images, predictions, masks)[view]
        assert torch.equal(painted[~hidden[view]], image[~hidden[view]]) and not torch.equal(painted, image)
        assert torch.equal(pretraining.filled_in(model, images, right, masks)[view], image)
