"""The small models of the notebooks, which learn in minutes on a laptop, and how their images are standardised.

They have the published architecture at the size of terms.SMALL_GRID: one convolution stage instead of two, tokens of
8 x 8 x 2 voxels (8 x 8 in long-axis planes), a narrow transformer. Three things differ from the published recipe,
because with it minutes of pretraining never beat the cohort's mean image: images are standardised by that mean image,
position tables are short in period and scaled (models.patches.position_table), the learning rate is 2e-3.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from cinema.files import WEIGHTS
from cinema.models import CineMA, ConvUNetR, ConvViT, UNet, weights
from cinema.models.config import per_view
from cinema.models.standard import Standard, load_standard
from cinema.models.vit import SIZES
from cinema.terms import PUBLISHED_GRID, SMALL_GRID, VIEWS

SHIPPED, SHIPPED_STANDARD = "cinema_small.safetensors", "cinema_small_standard.safetensors"


def small_encoder(views: Sequence[str] = VIEWS, in_chans: int = 1) -> dict:
    """Arguments that CineMA, ConvViT and ConvUNetR share, so that the weights of one fit the others."""
    return dict(
        image_size_dict={view: SMALL_GRID[view][0] for view in views},
        in_chans_dict=dict.fromkeys(views, in_chans),
        enc_patch_size_dict=per_view(views, (4, 4, 2)),
        enc_scale_factor_dict=per_view(views, (2, 2, 1)),
        enc_conv_chans=(32,),
        enc_conv_n_blocks=1,
        enc_embed_dim=128,
        enc_depth=4,
        enc_n_heads=4,
        pos_period=32.0,
        pos_scaled=True,
    )


def small_cinema(views: Sequence[str] = VIEWS) -> CineMA:
    """The masked autoencoder, 1.3 million parameters."""
    return CineMA(**small_encoder(views), dec_embed_dim=96, dec_depth=2, dec_n_heads=4)


def small_convvit(views: Sequence[str] = ("sax",), n_frames: int = 2, out_chans: int = 1) -> ConvViT:
    """The same encoder with linear heads, for classification and regression."""
    return ConvViT(**small_encoder(views), n_frames=n_frames, out_chans=out_chans)


def small_convunetr(
    views: Sequence[str] = ("sax",), out_chans: int = 4, dec_chans: Sequence[int] = (16, 32, 64), in_chans: int = 1
) -> ConvUNetR:
    """The same encoder with a convolutional decoder, for segmentation and heatmaps."""
    last, others = per_view(views, (2, 2, 2)), per_view(views, (2, 2, 1))
    decoder = dict(dec_chans=dec_chans, dec_patch_size_dict=last, dec_scale_factor_dict=others)
    return ConvUNetR(**small_encoder(views, in_chans), out_chans=out_chans, **decoder)


def small_unet(view: str = "sax", out_chans: int = 4, chans: Sequence[int] = (12, 24, 48), in_chans: int = 1) -> UNet:
    """The convolutional baseline of one view; its compute is that of small_convunetr within a tenth."""
    factor = (2, 2, 1)[: len(SMALL_GRID[view][0])]
    return UNet(len(factor), in_chans, out_chans, chans, patch_size=factor, scale_factor=factor, n_blocks=1)


def published_cinema() -> CineMA:
    """The model as published (ViT-B, full-size views). Under torch.device("meta") it costs no memory."""
    sizes, channels = {view: PUBLISHED_GRID[view][0] for view in VIEWS}, dict.fromkeys(VIEWS, 1)
    first, later = per_view(VIEWS, (4, 4, 1)), per_view(VIEWS, (2, 2, 1))
    return CineMA(sizes, channels, first, later, (64, 128), 2, **SIZES["base"])


def shipped_cinema(folder: str | Path = WEIGHTS) -> tuple[CineMA, Standard]:
    """(small_cinema with the project's own weights, in evaluation mode, and the Standard it must be given).

    FileNotFoundError naming the command that makes them, if they are not there.
    """
    paths = [Path(folder) / name for name in (SHIPPED, SHIPPED_STANDARD)]
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; python3 -m cinema train cinema_small makes it")
    return weights.restore(paths[0]), load_standard(paths[1])


def shipped_description(folder: str | Path = WEIGHTS) -> dict:
    """What the file of shipped_cinema says of its making: people, samples, seconds, errors .."""
    return weights.metadata_of(Path(folder) / SHIPPED)


def n_parameters(model: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
