"""ConvUNetR: the pretrained encoder with a convolutional decoder, for segmentation and landmark heatmaps."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinema.models._timm import Mlp
from cinema.models.downsample import DownsampleEncoder, ViewsEncoder
from cinema.models.layers import ResidualConvBlock, init_weights, of_dims, pointwise, run
from cinema.models.patches import PerView
from cinema.models.vit import EncoderArguments, ViTEncoder


class ImageBlock(ResidualConvBlock):
    """Residual block on the raw image, without waste.

    Layer norm over one channel maps any image to its bias, so with a single input channel only the shortcut sees the
    image; the convolution path is one number per channel up to the border. Published weights were trained so. Until
    dropout the path is therefore computed on a 5-voxel image, whose middle stands for the whole interior.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.conv1.in_channels > 1 or not isinstance(self.norm1, nn.LayerNorm):
            return super().forward(x)
        reach = self.conv1.kernel_size[0] // 2
        dropping = self.training and self.dropout.p > 0
        border = reach if dropping else 2 * reach  # one convolution before the first random step, or two
        small = x.new_zeros(1, 1, *(min(size, 2 * border + 1) for size in x.shape[2:]))
        h = F.gelu(self.norm2(self.conv1(F.gelu(self.norm1(small)))))
        if dropping:
            h = self.conv2(self.dropout(stretch(h, x.shape[2:]).expand(len(x), -1, *x.shape[2:])))
        else:
            h = stretch(self.conv2(h), x.shape[2:])
        return h + (x if self.shortcut is None else pointwise(self.shortcut, x))


def stretch(x: Tensor, size: Sequence[int]) -> Tensor:
    """(b, c, x, y[, z]) brought to `size` by repeating the middle position of every axis that is too short."""
    for axis, n in enumerate(size, start=2):
        if x.shape[axis] < n:
            half = x.shape[axis] // 2
            index = torch.arange(n, device=x.device)
            index = torch.where(index < half, index, torch.where(index < n - half, half, index - n + x.shape[axis]))
            x = x.index_select(axis, index)
    return x


class UpBlock(nn.Module):
    """Transposed convolution to a finer grid, detail added, two residual blocks."""

    def __init__(self, n_dims: int, in_chans: int, out_chans: int, scale: Sequence[int], **block: Any) -> None:
        super().__init__()
        self.up = of_dims("ConvTranspose", n_dims)(in_chans, out_chans, scale, stride=scale)
        self.conv = nn.ModuleList(ResidualConvBlock(n_dims, out_chans, out_chans, **block) for _ in range(2))

    def forward(self, x: Tensor, detail: Tensor | None = None) -> Tensor:
        x = self.up(x)
        x = x if detail is None else x + detail
        for block in self.conv:
            x = block(x)
        return x


class Decoder(nn.Module):
    """From the coarsest map up to the image: one block per channel count, from the last to the first."""

    def __init__(self, n_dims: int, chans: Any, patch: Any, scale: Any, grad_ckpt: bool, **block: Any) -> None:
        super().__init__()
        self.grad_ckpt = grad_ckpt
        steps = [(chans[i], chans[i - 1], scale) for i in range(len(chans) - 1, 0, -1)]
        steps.append((chans[0], chans[0], patch))
        self.blocks = nn.ModuleList(UpBlock(n_dims, *step, **block) for step in steps)

    def forward(self, maps: Sequence[Any]) -> Tensor:
        """maps: finest first, one more than blocks; None where a level adds nothing -> (b, chans[0], x, y[, z])."""
        x, *details = reversed(maps)
        for block, detail in zip(self.blocks, details):
            x = run(block, x, detail, grad_ckpt=self.grad_ckpt)
        return x


def level_of(factor: Sequence[int], patch: Sequence[int], scale: Sequence[int], n_levels: int, view: str) -> int:
    """The level i at which patch * scale^i equals `factor`; ValueError if there is none."""
    for i in range(n_levels):
        if tuple(p * s**i for p, s in zip(patch, scale)) == tuple(factor):
            return i
    raise ValueError(
        f"{view}: no decoder level has the encoder's factor {tuple(factor)}; "
        f"dec_patch_size {tuple(patch)} times powers of {tuple(scale)} must reach it"
    )


class ConvUNetR(ViewsEncoder):
    """Encoder of all views, and per view a decoder fed by image, convolution stages and tokens.

    Its arguments are those of EncoderArguments, and:
    out_chans: classes or landmarks.
    dec_chans: channels of the decoder, finest first; dec_patch_size_dict: factor of its last step,
               dec_scale_factor_dict: of the others; dec_kernel_size: of its residual blocks.
    dropout:   in the blocks that prepare the decoder's input; the decoder itself has none, as published.
    """

    def __init__(
        self,
        image_size_dict: dict,
        in_chans_dict: dict,
        enc_patch_size_dict: dict,
        enc_scale_factor_dict: dict,
        enc_conv_chans: Sequence[int],
        enc_conv_n_blocks: int,
        enc_embed_dim: int,
        enc_depth: int,
        enc_n_heads: int,
        out_chans: int,
        dec_chans: Sequence[int],
        dec_patch_size_dict: dict,
        dec_scale_factor_dict: dict,
        dec_kernel_size: int = 3,
        mlp_ratio: float = 4,
        qkv_bias: bool = True,
        norm_layer: type[nn.Module] = nn.LayerNorm,
        norm_eps: float = 1e-5,
        rotary: bool = False,
        act_layer: type[nn.Module] = nn.GELU,
        mlp_layer: type[nn.Module] = Mlp,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        norm: str = "layer",
        grad_ckpt: bool = False,
        pos_period: float = 10000.0,
        pos_scaled: bool = False,
    ) -> None:
        own = dict(locals())
        super().__init__(own)
        given = EncoderArguments.of(own)
        self.dec_image_conv_block_dict = nn.ModuleDict()
        self.dec_down_blocks_dict: Any = nn.ModuleDict()
        self.dec_conv_blocks_dict: Any = nn.ModuleDict()
        self.decoder_dict, self.pred_head_dict = nn.ModuleDict(), nn.ModuleDict()
        width, n_levels, levels = given.enc_embed_dim, len(dec_chans), set()
        block: dict[str, Any] = dict(kernel_size=dec_kernel_size, norm=given.norm)
        for view, image_size in given.image_size_dict.items():
            n_dims, patch, scale = len(image_size), dec_patch_size_dict[view], dec_scale_factor_dict[view]
            conv = of_dims("Conv", n_dims)
            down = DownsampleEncoder(given, view)
            first = level_of(given.enc_patch_size_dict[view], patch, scale, n_levels, view)
            n_down = n_levels - 1 - level_of(down.patch_size, patch, scale, n_levels, view)
            levels.add((first, n_down))
            sources = [*given.enc_conv_chans, *[width] * (1 + n_down)]
            coarsest = tuple(p * s ** (n_levels - 1) for p, s in zip(patch, scale))
            if any(n % c for n, c in zip(image_size, coarsest)) or len(sources) != n_levels - first:
                raise ValueError(
                    f"{view}: with these dec_chans images are multiples of {coarsest}, not {tuple(image_size)}, and "
                    f"the encoder has {n_levels - first} levels, not {len(sources)}; pad the image or change dec_chans"
                )
            self.enc_down_dict[view] = down
            self.dec_image_conv_block_dict[view] = ImageBlock(
                n_dims, given.in_chans_dict[view], dec_chans[0], dropout=dropout, **block
            )
            self.dec_down_blocks_dict[view] = nn.ModuleList(
                conv(width, width, scale, stride=scale) for _ in range(n_down)
            )
            self.dec_conv_blocks_dict[view] = nn.ModuleList(
                ResidualConvBlock(n_dims, *pair, dropout=dropout, **block) for pair in zip(sources, dec_chans[first:])
            )
            self.decoder_dict[view] = Decoder(n_dims, dec_chans, patch, scale, given.grad_ckpt, **block)
            self.pred_head_dict[view] = conv(dec_chans[0], out_chans, 1)
        if len(levels) > 1:
            raise ValueError(f"views need different decoder levels {sorted(levels)}; give them equal factors")
        ((self.n_layers_wo_skip, _),) = levels
        self.encoder = ViTEncoder(given)
        init_weights(self)

    def forward(self, image_dict: PerView) -> PerView:
        """view -> (b, c, x, y[, z]) of the size at construction; returns view -> logits (b, out_chans, x, y[, z])."""
        self.check_sizes(image_dict)
        skips, tokens = {}, {}
        for view, image in image_dict.items():
            skips[view], tokens[view] = self.enc_down_dict[view](image)
        encoded = self.across_views(tokens)
        return {view: self.decode(view, image_dict[view], skips[view], encoded[view]) for view in tokens}

    def decode(self, view: str, image: Tensor, skips: list[Tensor], tokens: Tensor) -> Tensor:
        """Logits of one view from its image, the stages' skips and its encoded tokens (b, n, e)."""
        sources = [*skips, tokens.transpose(1, 2).unflatten(2, self.enc_down_dict[view].grid_size)]
        for down in self.dec_down_blocks_dict[view]:
            sources.append(down(sources[-1]))
        adapted = [block(x) for block, x in zip(self.dec_conv_blocks_dict[view], sources)]
        maps = [self.dec_image_conv_block_dict[view](image), *[None] * self.n_layers_wo_skip, *adapted]
        return pointwise(self.pred_head_dict[view], self.decoder_dict[view](maps))
