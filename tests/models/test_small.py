"""Small models share one encoder, fit each other's weights, and see images standardised the same way."""

import dataclasses

import numpy as np
import pytest
import tiny
import torch
from torch.utils.flop_counter import FlopCounterMode

from cinema.data.loaders import StudyFrames
from cinema.models import small, transfer, weights
from cinema.models import standard as standards
from cinema.models.convunetr import ConvUNetR
from cinema.models.standard import Standardised, restored, standard_of, standardised, standardising
from cinema.terms import SMALL_GRID, VIEWS
from cinema.training import loop, pretraining

VIEWS_OF_TINY = ("sax", "lax_4c")


def images(views=VIEWS, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {view: torch.rand(batch, 1, *SMALL_GRID[view][0], generator=generator) for view in views}


def test_tokens_have_the_stated_size():
    model = small.small_cinema()
    assert {view: down.patch_size for view, down in model.enc_down_dict.items()} == {
        "sax": (8, 8, 2),
        **{view: (8, 8) for view in VIEWS[1:]},
    }
    assert abs(small.n_parameters(model) - 1.3e6) < 5e4


@pytest.mark.parametrize("target", [small.small_convunetr, small.small_convvit])
@pytest.mark.parametrize("views", [("sax",), VIEWS])
def test_the_pretrained_encoder_fits_every_small_model(target, views):
    source, model = small.small_cinema(), target(views)
    copied = transfer(source.state_dict(), model)
    ours = [name for name, _ in model.named_parameters() if name.startswith(("enc_down", "enc_fusion", "encoder"))]
    assert set(copied) == {name for name in ours if not name.endswith("pos_embed")}
    for view in views:
        assert torch.equal(model.enc_down_dict[view].pos_embed, source.enc_down_dict[view].pos_embed)


def test_segmenters_give_logits_of_the_image_size():
    for model in (small.small_convunetr(VIEWS), small.small_unet()):
        given = images(VIEWS if isinstance(model, ConvUNetR) else ("sax",))
        logits = model(given)
        assert {view: x.shape[1:] for view, x in logits.items()} == {view: (4, *SMALL_GRID[view][0]) for view in given}


def operations(model, given):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(given)
    return counter.get_total_flops()


def test_the_baseline_costs_what_the_transformer_costs():
    given = images(("sax",), batch=2)
    ours, theirs = (operations(model, given) for model in (small.small_convunetr(), small.small_unet()))
    assert abs(ours / theirs - 1) < 0.1


def test_the_published_model_is_described_in_full():
    with torch.device("meta"):
        model = small.published_cinema()
    assert {view: down.grid_size for view, down in model.enc_down_dict.items()}["sax"] == (12, 12, 16)
    assert 1.1e8 < small.n_parameters(model) < 1.3e8


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return StudyFrames(tiny.write(tmp_path_factory.mktemp("studies"), n=6), VIEWS_OF_TINY, "all", tiny.GRID)


def test_standardised_images_have_zero_mean_and_unit_deviation(frames):
    standard = standard_of(frames)
    items = [Standardised(frames, standard)[index]["image"] for index in range(len(frames))]
    for view in VIEWS_OF_TINY:
        stack = torch.stack([item[view] for item in items])
        assert stack.mean(dim=0).abs().max() < 1e-5
        assert torch.isclose(stack.square().mean(), torch.tensor(1.0), atol=1e-5)
    image = frames[3]["image"]
    back = restored(standardised(image, standard), standard)
    assert all(torch.allclose(back[view], image[view], atol=1e-6) for view in VIEWS_OF_TINY)


def test_a_pair_of_frames_is_standardised_like_each_of_them(frames):
    standard = standard_of(frames)
    pair = torch.cat([frames[0]["image"]["sax"], frames[1]["image"]["sax"]])
    both = standardised({"sax": pair}, standard)["sax"]
    one = standardised({"sax": pair[1:]}, standard)["sax"]
    assert torch.equal(both[1:], one)


def test_a_standardising_model_takes_plain_images(frames):
    standard, model = standard_of(frames), tiny.Pixelwise().eval()
    image = {"sax": frames[0]["image"]["sax"][None]}
    expected = model(standardised(image, standard))["sax"]
    keys = set(model.state_dict())
    assert torch.equal(standardising(model, standard)(image)["sax"], expected)
    assert set(model.state_dict()) == keys


def test_a_standard_survives_its_file_and_other_files_are_refused(frames, tmp_path):
    standard = standard_of(frames)
    again = standards.load_standard(standards.save_standard(standard, tmp_path / "standard.safetensors"))
    for part in dataclasses.fields(standard):
        before, after = getattr(standard, part.name), getattr(again, part.name)
        assert before.keys() == after.keys() and all(torch.equal(before[view], after[view]) for view in before)
    other = weights.save({"mean.sax": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="save_standard"):
        standards.load_standard(other)


class Middling(tiny.Denoiser):
    arguments = None


def test_a_standardised_data_set_trains(frames, tmp_path):
    data = Standardised(frames, standard_of(frames))
    config = loop.in_steps(pretraining.PRETRAINING, len(data), steps=6, warmup_steps=2)
    history = loop.fit(Middling(VIEWS_OF_TINY), pretraining.TASK, data, data, config, tmp_path)
    assert np.isfinite(history[["loss", "val_loss"]]).all().all()
    assert "standardised by sax" in data.describe()
