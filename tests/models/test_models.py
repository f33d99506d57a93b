"""What the golden cases do not cover: edges, options, refusals, and that the quick paths equal the plain ones."""

import inspect
import pickle
import subprocess
import sys

import pytest
import torch
from places import ROOT
from torch import nn

from cinema import models
from cinema.models import _timm
from cinema.models.config import build
from cinema.models.convunetr import ImageBlock, stretch
from cinema.models.layers import ResidualConvBlock, depthwise, pointwise
from cinema.models.patches import grid_of, position_table, random_mask
from cinema.models.vit import Attention
from cinema.training import launch

VIEWS, HALVED = {"sax": (16, 16, 2), "lax_4c": (32, 16)}, {"sax": (2, 2, 1), "lax_4c": (2, 2)}
ENCODER = dict(image_size_dict=VIEWS, in_chans_dict={"sax": 1, "lax_4c": 1})
ENCODER |= dict(enc_patch_size_dict=HALVED, enc_scale_factor_dict=HALVED, enc_conv_chans=(4, 6), enc_conv_n_blocks=1)
ENCODER |= dict(enc_embed_dim=12, enc_depth=2, enc_n_heads=2)
CINEMA = dict(ENCODER, dec_embed_dim=8, dec_depth=1, dec_n_heads=2)
CONVVIT = dict(ENCODER, n_frames=1, out_chans=3)
CONVUNETR = dict(ENCODER, out_chans=3, dec_chans=(4, 4, 6, 8), dropout=0.1, drop_path=0.1)
CONVUNETR |= dict(dec_patch_size_dict=HALVED, dec_scale_factor_dict=HALVED)


def images(batch=2, views=VIEWS, channels=1):
    generator = torch.Generator().manual_seed(0)
    return {view: torch.rand(batch, channels, *size, generator=generator) for view, size in views.items()}


def seeded(name, arguments=None, **changes):
    torch.manual_seed(0)
    return build(name, {**(arguments or {}), **changes})


def sax(x, y):
    return {"sax": torch.rand(1, 1, x, y, 2)}


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_names_are_public_and_cheap():
    assert set(models.MODELS) >= {"CineMA", "ConvViT", "ConvUNetR", "UNet", "ResNet2d", "ResNet3d"}
    assert all(callable(getattr(models, name)) for name in models.FUNCTIONS)
    with pytest.raises(AttributeError, match="CineMA"):
        models.NoSuchModel  # noqa: B018
    code = "import sys, cinema, cinema.models; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_hidden_gives_no_loss_but_no_error():
    for cross_attn in (True, False):
        model = seeded("CineMA", CINEMA, cross_attn=cross_attn)
        loss, predictions, masks, metrics = model(images(), 0.0)
        assert loss.isnan() and not any(mask.any() for mask in masks.values())
        assert predictions["sax"].shape == (2, 0, 64) and predictions["lax_4c"].shape == (2, 0, 64)
        assert metrics["sax_target_mean"].isfinite()


def test_one_view_without_hidden_patches_is_left_out_of_the_mean():
    model = seeded("CineMA", CINEMA)
    masks = {"sax": torch.zeros(2, 8, dtype=torch.bool), "lax_4c": torch.ones(2, 8, dtype=torch.bool)}
    masks["lax_4c"][:, :3] = False
    loss, _, _, metrics = model(images(), enc_mask_dict=masks)
    assert loss.item() == metrics["lax_4c_mse_loss"].item()
    assert all(g.isfinite().all() for g in gradients(model, loss).values())


def test_everything_hidden_still_predicts():
    loss, predictions, _, _ = seeded("CineMA", CINEMA)(images(), 1.0)
    assert loss.isfinite() and predictions["sax"].shape == (2, 8, 64)


def test_masks_repeat_with_their_generator_and_refuse_bad_ratios():
    draws = [random_mask(3, 20, 0.6, generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*draws) and draws[0].sum(dim=1).tolist() == [12, 12, 12]
    model, generator = seeded("CineMA", CINEMA), torch.Generator().manual_seed(3)
    first = model(images(), 0.5, generator=generator)[2]
    generator.manual_seed(3)
    assert all(torch.equal(first[v], m) for v, m in model(images(), 0.5, generator=generator)[2].items())
    for ratio in (-0.1, 1.5):
        with pytest.raises(ValueError, match=f"{ratio}.*between 0"):
            random_mask(1, 4, ratio)


OPTIONS = [dict(grad_ckpt=True), dict(norm="group"), dict(norm="instance"), dict(norm_target=True)]
OPTIONS += [dict(rotary=True, cross_attn=False), dict(mlp_layer="SwiGLU"), dict(qkv_bias=False)]
OPTIONS += [dict(enc_conv_chans=()), dict(pos_period=8.0, pos_scaled=True), dict(drop_path=0.2)]


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_cinema_train(option):
    model = seeded("CineMA", CINEMA, **option)
    loss = model(images(), 0.5, generator=torch.Generator().manual_seed(0))[0]
    assert all(g.isfinite().all() for g in gradients(model, loss).values())


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("CineMA", CINEMA),
        ("ConvViT", CONVVIT),
        ("ConvUNetR", CONVUNETR),
        ("UNet", dict(n_dims=2, in_chans=1, out_chans=2, chans=(4, 6, 8), dropout=0.2)),
    ],
)
def test_checkpointing_changes_no_gradient(name, arguments):
    views = {"lax_4c": (32, 16)} if name == "UNet" else VIEWS
    results = []
    for grad_ckpt in (False, True):
        model = seeded(name, arguments, grad_ckpt=grad_ckpt)
        torch.manual_seed(1)
        output = model(images(views=views))
        parts = output[:1] if name == "CineMA" else output.values() if isinstance(output, dict) else [output]
        results.append(gradients(model, sum(part.square().mean() for part in parts)))
    assert all(torch.allclose(results[0][k], results[1][k], atol=1e-6) for k in results[0])


@pytest.mark.parametrize("size", [(16, 12, 8), (3, 4, 9), (1, 2, 5), (20, 18)])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_image_block_equals_the_plain_block(size, kernel_size):
    plain = ResidualConvBlock(len(size), 1, 4, kernel_size)
    nn.init.normal_(plain.norm1.bias)  # not zero, as after training
    quick = ImageBlock(len(size), 1, 4, kernel_size)
    quick.load_state_dict(plain.state_dict())
    x = torch.rand(2, 1, *size)
    assert torch.allclose(quick(x), plain(x), atol=1e-5)
    ours, theirs = gradients(quick, quick(x).square().sum()), gradients(plain, plain(x).square().sum())
    assert all(torch.allclose(ours[k], theirs[k], rtol=1e-3, atol=1e-3) for k in ours)
    dropping = ImageBlock(len(size), 1, 4, kernel_size, dropout=0.5)
    dropping.load_state_dict(plain.state_dict())
    assert dropping(x).shape == (2, 4, *size)


class FixedDropout(nn.Module):
    """Drops every other value, whatever the memory layout."""

    p = 0.5

    def forward(self, x):
        return x * (torch.arange(x.numel()).view(x.shape) % 2)


def test_image_block_drops_as_the_plain_block():
    plain, quick = ResidualConvBlock(2, 1, 3, 3), ImageBlock(2, 1, 3, 3)
    quick.load_state_dict(plain.state_dict())
    plain.dropout = quick.dropout = FixedDropout()
    x = torch.rand(2, 1, 12, 11)
    assert torch.allclose(plain(x), quick(x), atol=1e-5)


def test_stretch_repeats_the_middle():
    assert stretch(torch.arange(5.0).view(1, 1, 5), (8,)).flatten().tolist() == [0, 1, 2, 2, 2, 2, 3, 4]
    assert stretch(torch.arange(4.0).view(1, 1, 4), (4,)).flatten().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [(7, 6, 5), (2, 3, 1), (8, 8)])
def test_depthwise_and_pointwise_equal_the_convolution(size):
    kind = {2: nn.Conv2d, 3: nn.Conv3d}[len(size)]
    for conv, quick in [(kind(3, 3, 5, padding=2, groups=3), depthwise), (kind(3, 4, 1), pointwise)]:
        x = torch.randn(2, 3, *size, requires_grad=True)
        results = []
        for y in (conv(x), quick(conv, x)):
            grads = torch.autograd.grad(y.sin().sum(), [x, conv.weight, conv.bias])
            results.append([y, *grads])
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*results))


def test_features_of_a_subset_of_views_at_another_size():
    model = seeded("CineMA", CINEMA)
    features = model.feature_forward(images(views={"lax_4c": (48, 24)}))
    assert {k: tuple(v.shape) for k, v in features.items()} == {"cls": (2, 1, 12), "lax_4c": (2, 18, 12)}


def test_position_table_scaled_and_distinct():
    table = position_table(24, (4, 4, 8), period=16.0, scaled=True)[0]
    assert table.shape == (128, 24) and len(torch.unique(table, dim=0)) == 128
    assert table.mean(dim=0).abs().max() < 1e-5 and abs(table.std().item() - 1) < 0.01


def test_convvit_reductions_and_heads():
    model, x = seeded("ConvViT", CONVVIT, n_frames=2).eval(), images(channels=2)
    patch, cls, mean = (model(x, reduce=r) for r in ("patch", "cls", "all"))
    assert torch.allclose(mean, (2 * patch + cls) / 3, atol=1e-6)
    assert not seeded("ConvViT", CONVVIT, head_layer=None).pred_head_dict


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: seeded("CineMA", CINEMA, rotary=True), "cross_attn=False"),
        (lambda: seeded("CineMA", CINEMA, norm="batch"), "batch.*layer, instance, group"),
        (lambda: seeded("CineMA", CINEMA, enc_n_heads=5), "12.*5 heads"),
        (lambda: seeded("CineMA", CINEMA, image_size_dict={"sax": (20, 16, 2)}), r"\(20, 16, 2\).*\(8, 8, 1\)"),
        (lambda: seeded("ConvUNetR", CONVUNETR, dec_scale_factor_dict={"sax": (3, 3, 1)}), "sax.*decoder level"),
        (lambda: seeded("ConvUNetR", CONVUNETR)(sax(32, 16)), r"\(32, 16, 2\).*\(16, 16, 2\)"),
        (
            lambda: seeded("ConvUNetR", CONVUNETR, image_size_dict={"sax": (24, 16, 2)}),
            r"multiples of \(16, 16, 1\), not \(24, 16, 2\).*pad the image",
        ),
        (
            lambda: seeded(
                "ConvUNetR",
                CONVUNETR,
                image_size_dict={"sax": (128, 128, 2)},
                enc_scale_factor_dict={"sax": (4, 4, 1)},
                dec_chans=(4,) * 7,
            ),
            "the encoder has 7 levels, not 5",
        ),
        (lambda: seeded("CineMA", CINEMA)(sax(16, 24)), r"sax.*\(16, 24, 2\).*\(16, 16, 2\)"),
        (lambda: seeded("CineMA", CINEMA).feature_forward({"lax_2c": sax(16, 16)["sax"]}), "lax_2c.*sax, lax_4c"),
        (lambda: seeded("ConvViT", CONVVIT)(images(), reduce="none"), "'none'.*all, patch, cls"),
        (lambda: seeded("ConvViT", CONVVIT)(sax(16, 16)), "lax_4c is missing"),
        (lambda: seeded("ResNet2d", depth=20, in_chans=1, out_chans=1), "20.*18, 34"),
        (lambda: seeded("ResNet2d", depth=18, in_chans=1, out_chans=1)(images()), "one view, 2 given"),
        (lambda: seeded("nnUNet"), "unknown model 'nnUNet'.*CineMA"),
        (lambda: Attention(8, 2, rotary=True)(torch.rand(1, 2, 8), torch.rand(1, 3, 8)), "no separate context"),
        (lambda: grid_of((10, 8), (4, 4)), r"\(10, 8\).*\(4, 4\)"),
    ],
)
def test_refusals_are_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_layers_are_those_of_timm_without_the_rest_of_it():
    code = "import sys; from cinema.models import _timm; assert not {'timm', 'torchvision', 'sympy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    whole, image = launch.import_timm()[0], torch.rand(2, 5, 8)
    for name, settings in {"Mlp": {"hidden_features": 16}, "SwiGLU": {"hidden_features": 12}}.items():
        ours, theirs = getattr(_timm, name)(8, **settings), getattr(whole, name)(8, **settings)
        theirs.load_state_dict(ours.state_dict())
        assert inspect.getsource(type(ours)) == inspect.getsource(type(theirs)) and torch.equal(
            ours(image), theirs(image)
        )
    assert inspect.getsource(_timm.DropPath) == inspect.getsource(whole.DropPath)
    assert type(pickle.loads(pickle.dumps(_timm.Mlp(8)))) is _timm.Mlp  # as it goes to workers
