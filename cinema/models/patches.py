"""Images as patches on a grid: cutting, joining, hiding, and the sine/cosine table that says where a patch lies.

Grids and sizes are (x, y[, z ..]); patches are numbered in C-order over the grid (the last axis runs fastest).
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PerView = dict[str, Tensor]  # view -> its image, mask, tokens ..


def grid_of(size: Sequence[int], patch_size: Sequence[int]) -> tuple[int, ...]:
    """Patches per axis of an image of `size`; ValueError if `patch_size` does not divide it."""
    size, patch_size = tuple(size), tuple(patch_size)
    if len(size) != len(patch_size) or any(s % p for s, p in zip(size, patch_size)):
        raise ValueError(f"image size {size} is not a multiple of the patch {patch_size}; pad or crop the image")
    return tuple(s // p for s, p in zip(size, patch_size))


def patchify(image: Tensor, patch_size: Sequence[int]) -> Tensor:
    """(b, c, x, y[, z ..]) image -> (b, n_patches, p1 * p2 .. * c) patches, channel fastest within a patch."""
    batch, channels, *size = image.shape
    grid, n = grid_of(size, patch_size), len(size)
    split = [edge for pair in zip(grid, patch_size) for edge in pair]
    x = image.reshape(batch, channels, *split)
    grid_axes, patch_axes = range(2, 2 + 2 * n, 2), range(3, 3 + 2 * n, 2)
    return x.permute(0, *grid_axes, *patch_axes, 1).reshape(batch, prod(grid), prod(patch_size) * channels)


def unpatchify(patches: Tensor, patch_size: Sequence[int], grid_size: Sequence[int]) -> Tensor:
    """Inverse of `patchify`: (b, n_patches, p1 * p2 .. * c) -> (b, c, g1 * p1, g2 * p2 ..)."""
    n, patch_size = len(grid_size), tuple(patch_size)
    x = patches.reshape(patches.shape[0], *grid_size, *patch_size, -1)
    axes = [axis for i in range(n) for axis in (1 + i, 1 + n + i)]
    x = x.permute(0, 2 * n + 1, *axes)
    return x.reshape(*x.shape[:2], *(g * p for g, p in zip(grid_size, patch_size)))


def random_mask(
    batch: int, n_patches: int, ratio: float, device: Any = None, generator: torch.Generator | None = None
) -> Tensor:
    """Boolean (batch, n_patches), True = hidden; int(n_patches * (1 - ratio)) patches of each row stay visible.

    Ratio 0 hides nothing and draws nothing. Raises ValueError for ratios outside 0..1.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"mask ratio is {ratio}; it must lie between 0 (hide nothing) and 1")
    mask = torch.ones(batch, n_patches, dtype=torch.bool, device=device)
    if ratio == 0:
        return ~mask
    noise = torch.rand(batch, n_patches, device=device, generator=generator)
    visible = noise.argsort(dim=1)[:, : int(n_patches * (1 - ratio))]
    return mask.scatter(1, visible, False)


def select(tokens: Tensor, mask: Tensor) -> Tensor:
    """Tokens (b, n, e) where the mask (b, n) is True, in order: (b, k, e); every row must hold k True values."""
    return tokens[mask].reshape(tokens.shape[0], int(mask[0].sum()), tokens.shape[2])


def upsample_mask(mask: Tensor, scale_factor: Sequence[int]) -> Tensor:
    """Mask (b, g1, g2 ..) repeated to the finer grid (b, g1 * s1, g2 * s2 ..)."""
    for axis, scale in enumerate(scale_factor, start=1):
        mask = mask.repeat_interleave(scale, dim=axis)
    return mask


def position_table(embed_dim: int, grid_size: Sequence[int], period: float = 10000.0, scaled: bool = False) -> Tensor:
    """Sine/cosine position of every patch: (1, n_patches, embed_dim) float32.

    Each axis owns an equal, even share of the width (zeros fill the rest): sines, then cosines of
    position * period^(-i/h). Rows follow numpy's "xy" mesh order, patches C-order: with equal in-plane sizes this
    only exchanges x and y, with unequal ones rows and patches do not correspond. Published weights were trained
    with it, so it stays (method, section 3).

    period: longest wavelength / 2 pi in patches; 10000 as published. On a grid of 4 patches most of that table is
            constant; a period near the grid's size spends the width on differences that exist.
    scaled: published False. True centres the table over the patches and scales it to unit deviation, so that small
            models see positions as clearly as content.
    """
    width = embed_dim // len(grid_size) // 2 * 2
    frequencies = period ** (-torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    axes = torch.meshgrid(*[torch.arange(g, dtype=torch.float64) for g in grid_size], indexing="xy")
    angles = [axis.reshape(-1, 1) * frequencies for axis in axes]
    table = torch.cat([wave for a in angles for wave in (a.sin(), a.cos())], dim=1)
    if scaled:
        table = table - table.mean(dim=0)
        table = table / table.std().clamp(min=1e-6)
    return F.pad(table, (0, embed_dim - table.shape[1]))[None].float()


def resize_table(table: Tensor, from_grid: Sequence[int], to_grid: Sequence[int]) -> Tensor:
    """Position table (1, n, e) interpolated to another grid: bicubic in 2D, trilinear in 3D, in float32."""
    from_grid, to_grid = tuple(from_grid), tuple(to_grid)
    if from_grid == to_grid:
        return table
    x = table.float().transpose(1, 2).unflatten(2, from_grid)
    x = F.interpolate(x, to_grid, mode="bicubic" if len(to_grid) == 2 else "trilinear", align_corners=False)
    return x.flatten(2).transpose(1, 2).to(table.dtype)
