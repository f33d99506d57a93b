"""From one view's image to transformer tokens, and the fine detail of the way back into them."""

from collections.abc import Sequence
from math import prod
from typing import Any

from torch import Tensor, nn

from cinema.models.layers import ConvNormAct, MaskedConvBlock, conv_class, run
from cinema.models.patches import grid_of, patchify, position_table, resize_table, select, upsample_mask


class ConvStage(nn.Module):
    """Patches of an image become positions of a coarser one; masked convolution blocks follow."""

    def __init__(
        self, n_dims: int, in_chans: int, out_chans: int, patch_size: Sequence[int], n_blocks: int, norm: str
    ) -> None:
        super().__init__()
        self.patch_embed = ConvNormAct(n_dims, in_chans, out_chans, patch_size, stride=patch_size, norm=norm)
        self.conv = nn.ModuleList(MaskedConvBlock(n_dims, out_chans, norm) for _ in range(n_blocks))

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        x = self.patch_embed(x)
        for block in self.conv:
            x = block(x, visible)
        return x


class PatchEmbed(nn.Module):
    """Flattened patches through one linear layer: (b, c, x, y[, z]) -> (b, n_patches, embed_dim)."""

    def __init__(self, in_chans: int, patch_size: Sequence[int], embed_dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Linear(in_chans * prod(patch_size), embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(patchify(x, self.patch_size))


class DownsampleEncoder(nn.Module):
    """Convolution stages, then patches, a linear layer and positions.

    image_size:   (x, y[, z]) at construction; it fixes the grid and the position table.
    patch_size:   of the first stage; scale_factor: of every later one and of the last patches.
    conv_chans:   channels per stage; none at all gives a plain ViT patch embedding.
    pos_period, pos_scaled: see patches.position_table.
    """

    def __init__(
        self,
        image_size: Sequence[int],
        in_chans: int,
        patch_size: Sequence[int],
        scale_factor: Sequence[int],
        conv_chans: Sequence[int],
        conv_n_blocks: int,
        embed_dim: int,
        norm: str = "layer",
        pos_period: float = 10000.0,
        pos_scaled: bool = False,
        grad_ckpt: bool = False,
    ) -> None:
        super().__init__()
        self.grad_ckpt = grad_ckpt
        self.patch_sizes = [tuple(patch_size)] + [tuple(scale_factor)] * len(conv_chans)
        self.patch_size = tuple(map(prod, zip(*self.patch_sizes)))  # of a token, in voxels
        self.grid_size = grid_of(image_size, self.patch_size)
        channels = [in_chans, *conv_chans]
        table = position_table(embed_dim, self.grid_size, pos_period, pos_scaled)
        self.pos_embed = nn.Parameter(table, requires_grad=False)
        self.conv_blocks: Any = nn.ModuleList(
            ConvStage(len(image_size), before, after, patch, conv_n_blocks, norm)
            for before, after, patch in zip(channels, conv_chans, self.patch_sizes)
        )
        self.patch_embed = PatchEmbed(channels[-1], self.patch_sizes[-1], embed_dim)
        self.linear = nn.Linear(embed_dim, embed_dim)

    def grid(self, image: Tensor) -> tuple[int, ...]:
        """The token grid of an image; ValueError if its size is not a multiple of the patch."""
        return grid_of(image.shape[2:], self.patch_size)

    def finer(self, stage: int) -> tuple[int, ...]:
        """How many positions of a stage's output one token spans, per axis."""
        return tuple(map(prod, zip(*self.patch_sizes[stage + 1 :])))

    def forward(self, image: Tensor, mask: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """image: (b, c, x, y[, z]); mask: (b, n) True = hidden, or None -> skips (one per stage), tokens (b, n, e)."""
        grid, x, skips = self.grid(image), image, []
        for i, stage in enumerate(self.conv_blocks):
            visible = None
            if mask is not None:
                visible = ~upsample_mask(mask.unflatten(1, grid), self.finer(i)).unsqueeze(1)
                visible = visible.to(x.dtype)
            x = run(stage, x, visible, grad_ckpt=self.grad_ckpt)
            skips.append(x)
        tokens = self.linear(self.patch_embed(x))
        return skips, tokens + resize_table(self.pos_embed, self.grid_size, grid)


def view_encoder(view: str, given: dict[str, Any], n_frames: int = 1) -> DownsampleEncoder:
    """The DownsampleEncoder of a view for the arguments `given` to a model; its n_frames frames are channels."""
    sizes = [given[f"{name}_dict"][view] for name in ("enc_patch_size", "enc_scale_factor")]
    names = ("conv_chans", "conv_n_blocks", "embed_dim")
    more = {name: given[name] for name in ("norm", "pos_period", "pos_scaled", "grad_ckpt")}
    channels, stages = n_frames * given["in_chans_dict"][view], [given[f"enc_{name}"] for name in names]
    return DownsampleEncoder(given["image_size_dict"][view], channels, *sizes, *stages, **more)


def check_views(image_dict: dict[str, Tensor], encoders: Any) -> None:
    """ValueError if an image is of a view that the encoders (ModuleDict, view -> DownsampleEncoder) do not know."""
    for view in image_dict:
        if view not in encoders:
            raise ValueError(f"view {view!r} is none of this model's; it reads {', '.join(encoders)}")


def check_sizes(image_dict: dict[str, Tensor], encoders: Any) -> None:
    """check_views, and ValueError if an image has another size than its encoder was built for."""
    check_views(image_dict, encoders)
    for view, image in image_dict.items():
        down, size = encoders[view], tuple(image.shape[2:])
        expected = tuple(g * p for g, p in zip(down.grid_size, down.patch_size))
        if size != expected:
            raise ValueError(f"{view} image has size {size}; this model was built for {expected}: crop or pad it")


class Fusion(nn.Module):
    """Adds what the convolution stages saw to the encoder's tokens of one view, then normalises."""

    def __init__(
        self, downsample: DownsampleEncoder, norm_layer: type[nn.Module] = nn.LayerNorm, norm_eps: float = 1e-5
    ) -> None:
        """downsample: the view's DownsampleEncoder, whose stages are fused."""
        super().__init__()
        n_dims, embed_dim = len(downsample.grid_size), downsample.linear.out_features
        self.down_convs = nn.ModuleList()
        for i, stage in enumerate(downsample.conv_blocks):
            channels, scale = stage.patch_embed.conv.out_channels, downsample.finer(i)
            self.down_convs.append(conv_class(n_dims)(channels, embed_dim, scale, stride=scale))
        self.norm = norm_layer(embed_dim, eps=norm_eps)

    def forward(self, tokens: Tensor, skips: list[Tensor], mask: Tensor | None = None) -> Tensor:
        """tokens: (b, k, e) of the k visible patches; mask: (b, n) True = hidden, or None for k = n -> (b, k, e)."""
        for skip, conv in zip(skips, self.down_convs):
            detail = conv(skip).flatten(2).transpose(1, 2)
            tokens = tokens + (detail if mask is None else select(detail, ~mask))
        return self.norm(tokens)
