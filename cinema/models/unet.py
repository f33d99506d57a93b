"""UNet, the convolutional baseline of segmentation and heatmap tasks, and Reader, the one that reads single slices."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from cinema.models.layers import ConvNormAct, ResidualConvBlock, arguments, of_dims, pointwise, run

FACTOR = 2  # by which Reader folds pixels into channels


class UNet(nn.Module):
    """Encoder-decoder with a skip after every block.

    n_dims:       2 or 3.
    chans:        channels per level, finest first.
    patch_size:   factor of the first step down and the last step up; scale_factor: of the others.
    n_blocks:     residual blocks per level and side.
    norm:         "instance", "layer" or "group".
    grad_ckpt:    trade time for memory in training.
    """

    def __init__(
        self,
        n_dims: int,
        in_chans: int,
        out_chans: int,
        chans: Sequence[int],
        dropout: float = 0.0,
        patch_size: int | Sequence[int] = 2,
        scale_factor: int | Sequence[int] = 2,
        n_blocks: int = 2,
        kernel_size: int = 3,
        norm: str = "instance",
        grad_ckpt: bool = False,
    ) -> None:
        super().__init__()
        self.arguments = arguments(locals())
        self.grad_ckpt = grad_ckpt

        def level(channels: int, **step: nn.Module) -> nn.ModuleDict:
            """Residual blocks of one resolution, and the step to the next coarser (`down`) or finer (`up`) one."""
            block = partial(ResidualConvBlock, n_dims, channels, channels, kernel_size, dropout, norm)
            return nn.ModuleDict(dict(conv=nn.ModuleList(block() for _ in range(n_blocks)), **step))

        def in_conv(channels: int) -> nn.Module:
            return ConvNormAct(n_dims, channels, chans[0], kernel_size, norm, padding="same")

        conv, transposed = of_dims("Conv", n_dims), of_dims("ConvTranspose", n_dims)
        factors = [patch_size, *[scale_factor] * (len(chans) - 2)]
        steps = list(zip(chans, chans[1:], factors))
        down = [level(a, down=conv(a, b, f, stride=f)) for a, b, f in steps]
        up = [level(b, up=transposed(b, a, f, stride=f)) for a, b, f in reversed(steps)]
        self.encoder: Any = nn.ModuleDict({"in_conv": in_conv(in_chans)})
        self.encoder["blocks"] = nn.ModuleList([*down, level(chans[-1])])
        # decoder.in_conv is never called: published weights hold it, so the keys stay
        self.decoder: Any = nn.ModuleDict({"in_conv": in_conv(chans[-1])})
        self.decoder["blocks"] = nn.ModuleList([*up, level(chans[0])])
        self.out_conv = conv(chans[0], out_chans, 1)

    def forward(self, image_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """view -> (b, in_chans, x, y[, z]) of any size; returns view -> logits (b, out_chans, x, y[, z])."""
        return {view: self.segment(image) for view, image in image_dict.items()}

    def segment(self, image: Tensor) -> Tensor:
        x = self.encoder.in_conv(image)
        skips = [x]
        for level in self.encoder.blocks:
            for block in level.conv:
                x = run(block, x, grad_ckpt=self.grad_ckpt)
                skips.append(x)
            if hasattr(level, "down"):
                x = level.down(x)
                skips.append(x)
        x = skips.pop()
        for level in self.decoder.blocks:
            for block in level.conv:
                x = run(block, x, grad_ckpt=self.grad_ckpt) + skips.pop()
            if hasattr(level, "up"):
                finer = skips.pop()
                x = level.up(x)
                lacking = zip(x.shape[:1:-1], finer.shape[:1:-1])  # at the end of each axis, the last axis first
                x = F.pad(x, [pad for have, want in lacking for pad in (0, want - have)]) + finer
        return pointwise(self.out_conv, x)


class Reader(nn.Module):
    """Logits of the four label classes of a slice and, for long axes, heatmaps of hinges and apex.

    in_chans: 1, or 3 for a slice between its neighbours. out_chans: 4 classes, then 0 or 2 heatmap
    channels (both hinges, apex). chans: UNet channels per level. Any size divisible by 2; keys `net.*` are UNet's.
    """

    def __init__(
        self,
        out_chans: int = 4,
        in_chans: int = 1,
        chans: Sequence[int] = (32, 64, 128, 160),
        n_blocks: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.arguments = arguments(locals())
        self.net = UNet(2, FACTOR**2 * in_chans, FACTOR**2 * out_chans, chans, dropout=dropout, n_blocks=n_blocks)

    def forward(self, image_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """view -> (b, in_chans, x, y), normalised as inference.reader does; returns view -> (b, out_chans, x, y)."""
        return {view: self.read(image) for view, image in image_dict.items()}

    def read(self, image: Tensor) -> Tensor:
        return F.pixel_shuffle(self.net.segment(F.pixel_unshuffle(image, FACTOR)), FACTOR)
