"""From one view's image to transformer tokens, and the fine detail of the way back into them."""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from cinema.models.layers import ConvNormAct, MaskedConvBlock, arguments, of_dims, run
from cinema.models.patches import PerView, grid_of, patchify, position_table, resize_table, select, upsample_mask
from cinema.models.vit import EncoderArguments, ViTEncoder


class ConvStage(nn.Module):
    """Patches of an image become positions of a coarser one; masked convolution blocks follow."""

    def __init__(self, n_dims: int, in_chans: int, out_chans: int, patch: Any, n_blocks: int, norm: str) -> None:
        super().__init__()
        self.patch_embed = ConvNormAct(n_dims, in_chans, out_chans, patch, norm, stride=patch)
        self.conv = nn.ModuleList(MaskedConvBlock(n_dims, out_chans, norm) for _ in range(n_blocks))

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        x = self.patch_embed(x)
        for block in self.conv:
            x = block(x, visible)
        return x


class DownsampleEncoder(nn.Module):
    """Convolution stages, then patches, a linear layer and positions, for one view; n_frames frames are channels."""

    def __init__(self, given: EncoderArguments, view: str, n_frames: int = 1) -> None:
        super().__init__()
        self.grad_ckpt, n_dims, width = given.grad_ckpt, len(given.image_size_dict[view]), given.enc_embed_dim
        channels = [n_frames * given.in_chans_dict[view], *given.enc_conv_chans]
        later = [tuple(given.enc_scale_factor_dict[view])] * len(given.enc_conv_chans)
        self.patch_sizes = [tuple(given.enc_patch_size_dict[view]), *later]
        self.patch_size = tuple(map(prod, zip(*self.patch_sizes)))  # of a token, in voxels
        self.grid_size = grid_of(given.image_size_dict[view], self.patch_size)
        table = position_table(width, self.grid_size, given.pos_period, given.pos_scaled)
        self.pos_embed = nn.Parameter(table, requires_grad=False)
        self.conv_blocks: Any = nn.ModuleList(
            ConvStage(n_dims, before, after, patch, given.enc_conv_n_blocks, given.norm)
            for before, after, patch in zip(channels, channels[1:], self.patch_sizes)
        )
        self.patch_embed = nn.ModuleDict({"proj": nn.Linear(channels[-1] * prod(self.patch_sizes[-1]), width)})
        self.linear = nn.Linear(width, width)

    def finer(self, stage: int) -> tuple[int, ...]:
        """How many positions of a stage's output one token spans, per axis."""
        return tuple(map(prod, zip(*self.patch_sizes[stage + 1 :])))

    def forward(self, image: Tensor, mask: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """image: (b, c, x, y[, z]); mask: (b, n) True = hidden, or None -> skips (one per stage), tokens (b, n, e)."""
        grid, x, skips = grid_of(image.shape[2:], self.patch_size), image, []
        for i, stage in enumerate(self.conv_blocks):
            visible = None
            if mask is not None:
                visible = (~upsample_mask(mask.unflatten(1, grid), self.finer(i)).unsqueeze(1)).to(x.dtype)
            x = run(stage, x, visible, grad_ckpt=self.grad_ckpt)
            skips.append(x)
        tokens = self.linear(self.patch_embed["proj"](patchify(x, self.patch_sizes[-1])))
        return skips, tokens + resize_table(self.pos_embed, self.grid_size, grid)


class Fusion(nn.Module):
    """Adds what the convolution stages saw to the encoder's tokens of one view, then normalises."""

    def __init__(self, given: EncoderArguments, down: DownsampleEncoder) -> None:
        super().__init__()
        conv, scales = of_dims("Conv", len(down.grid_size)), map(down.finer, range(len(given.enc_conv_chans)))
        self.down_convs = nn.ModuleList(
            conv(channels, given.enc_embed_dim, scale, stride=scale)
            for channels, scale in zip(given.enc_conv_chans, scales)
        )
        self.norm = given.norm_layer(given.enc_embed_dim, eps=given.norm_eps)

    def forward(self, tokens: Tensor, skips: list[Tensor], mask: Tensor | None = None) -> Tensor:
        """tokens: (b, k, e) of the k visible patches; mask: (b, n) True = hidden, or None for k = n -> (b, k, e)."""
        for skip, conv in zip(skips, self.down_convs):
            detail = conv(skip).flatten(2).transpose(1, 2)
            tokens = tokens + (detail if mask is None else select(detail, ~mask))
        return self.norm(tokens)


class ViewsEncoder(nn.Module):
    """What CineMA, ConvViT and ConvUNetR share: an encoder per view, and a transformer over the tokens of all.

    given: the model's arguments, kept in `arguments` as JSON can hold them.
    """

    encoder: ViTEncoder

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments(given)
        self.enc_down_dict: Any = nn.ModuleDict()

    def across_views(self, tokens: PerView) -> PerView:
        """Tokens (b, k, e) of all views through one transformer: {"cls": (b, 1, e), view: (b, k, e)}."""
        counts = [1, *(t.shape[1] for t in tokens.values())]
        encoded = self.encoder(torch.cat(list(tokens.values()), dim=1)).split(counts, dim=1)
        return dict(zip(["cls", *tokens], encoded))

    def check_views(self, image_dict: PerView) -> None:
        """ValueError if an image is of a view that the model does not know."""
        for view in image_dict:
            if view not in self.enc_down_dict:
                raise ValueError(f"view {view!r} is none of this model's; it reads {', '.join(self.enc_down_dict)}")

    def check_sizes(self, image_dict: PerView) -> None:
        """check_views, and ValueError if an image has another size than its encoder was built for."""
        self.check_views(image_dict)
        for view, image in image_dict.items():
            down, size = self.enc_down_dict[view], tuple(image.shape[2:])
            expected = tuple(g * p for g, p in zip(down.grid_size, down.patch_size))
            if size != expected:
                raise ValueError(f"{view} image has size {size}; this model was built for {expected}: crop or pad it")
