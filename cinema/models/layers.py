"""Convolution blocks shared by the models, in 2D and 3D, and quick ways to compute some of their convolutions.

Tensors are (batch, channel, x, y[, z]).
"""

import json
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight
from torch.utils.checkpoint import checkpoint

CONV_NORM_EPS = 1e-6  # of every norm chosen by name, whatever the transformer's norm_eps


def of_dims(kind: str, n_dims: int) -> Any:
    """torch's class for 2 or 3 dimensions: ("Conv", 3) -> nn.Conv3d."""
    return getattr(nn, f"{kind}{n_dims}d")


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each position of (b, c, x, y[, z])."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def conv_norm(name: str, channels: int) -> nn.Module:
    """The norm of a convolution block: "layer", "instance" (no parameters) or "group" (at most 32 groups)."""
    if name == "layer":
        return ChannelNorm(channels, eps=CONV_NORM_EPS)
    if name == "instance":
        return nn.GroupNorm(channels, channels, eps=CONV_NORM_EPS, affine=False)
    if name == "group":
        return nn.GroupNorm(min(32, channels), channels, eps=CONV_NORM_EPS)
    raise ValueError(f"norm is {name!r}; choose one of layer, instance, group")


class ConvNormAct(nn.Module):
    """Convolution, norm, GELU."""

    def __init__(self, n_dims: int, in_chans: int, out_chans: int, kernel_size: Any, norm: str, **steps: Any) -> None:
        super().__init__()
        self.conv = of_dims("Conv", n_dims)(in_chans, out_chans, kernel_size, **steps)
        self.norm = conv_norm(norm, out_chans)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.norm(self.conv(x)))


def pointwise(conv: Any, x: Tensor) -> Tensor:
    """What the 1x1 convolution `conv` gives, as the matrix product it is: several times faster to train on a CPU."""
    return F.linear(x.movedim(1, -1), conv.weight.flatten(1), conv.bias).movedim(-1, 1)


class ConvMlp(nn.Module):
    """Per position: channels -> 4 * channels -> channels, with GELU between."""

    def __init__(self, n_dims: int, channels: int) -> None:
        super().__init__()
        self.fc1 = of_dims("Conv", n_dims)(channels, 4 * channels, 1)
        self.fc2 = of_dims("Conv", n_dims)(4 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(self.fc2, F.gelu(pointwise(self.fc1, x)))


class MaskedConvBlock(nn.Module):
    """Depth-wise 5x5(x5) convolution and MLP, both residual; hidden positions do not leak into visible ones."""

    def __init__(self, n_dims: int, channels: int, norm: str) -> None:
        super().__init__()
        conv = of_dims("Conv", n_dims)
        self.norm1 = conv_norm(norm, channels)
        self.norm2 = conv_norm(norm, channels)
        self.conv1 = conv(channels, channels, 1)
        self.conv2 = conv(channels, channels, 1)
        self.dw_conv = conv(channels, channels, 5, padding=2, groups=channels)
        self.mlp = ConvMlp(n_dims, channels)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """x: (b, c, x, y[, z]); visible: (b, 1, x, y[, z]), 1 visible and 0 hidden, or None for all visible."""
        h = pointwise(self.conv1, self.norm1(x))
        if visible is not None:
            h = h * visible  # the only place where positions mix; what hidden ones hold afterwards nobody reads
        x = x + pointwise(self.conv2, depthwise(self.dw_conv, h))
        return x + self.mlp(self.norm2(x))


class ResidualConvBlock(nn.Module):
    """Two norm-GELU-convolutions around a shortcut, which is a 1x1 convolution where the channel counts differ."""

    def __init__(
        self, n_dims: int, in_chans: int, out_chans: int, kernel_size: int, dropout: float = 0.0, norm: str = "layer"
    ) -> None:
        super().__init__()
        conv = of_dims("Conv", n_dims)
        self.norm1 = conv_norm(norm, in_chans)
        self.norm2 = conv_norm(norm, out_chans)
        self.conv1 = conv(in_chans, out_chans, kernel_size, padding="same")
        self.conv2 = conv(out_chans, out_chans, kernel_size, padding="same")
        self.dropout = nn.Dropout(dropout)
        self.shortcut = conv(in_chans, out_chans, 1) if in_chans != out_chans else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.gelu(self.norm1(x)))
        h = self.conv2(self.dropout(F.gelu(self.norm2(h))))
        return h + (x if self.shortcut is None else pointwise(self.shortcut, x))


def arguments(values: dict) -> dict:
    """A constructor's locals() as JSON can hold them, layer classes by name, so that a saved model can be rebuilt."""
    given = {key: value for key, value in values.items() if key not in ("self", "__class__")}
    return json.loads(json.dumps(given, default=lambda layer: layer.__name__))


def run(module: nn.Module, *inputs: Any, grad_ckpt: bool = False) -> Any:
    """module(*inputs); with grad_ckpt its inner values are recomputed in the backward pass instead of kept."""
    if grad_ckpt and module.training:
        return checkpoint(module, *inputs, use_reentrant=False)
    return module(*inputs)


def init_weights(model: nn.Module) -> None:
    """Xavier-uniform linear layers with zero bias; norms and convolutions keep PyTorch's defaults."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def depthwise(conv: Any, x: Tensor) -> Tensor:
    """What the depth-wise "same" convolution `conv` (odd kernel) gives; its gradient in 3D is taken plane by plane."""
    if x.ndim == 5 and x.is_cpu:
        with torch.autocast("cpu", enabled=False):  # mixed precision gains nothing here and would take the slow way
            return _Depthwise3d.apply(x.to(conv.weight.dtype), conv.weight, conv.bias)
    return conv(x)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv3d(x, weight, bias, padding=[k // 2 for k in weight.shape[2:]], groups=x.shape[1])


class _Depthwise3d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        x, weight = ctx.saved_tensors
        return _convolve(grad, weight.flip(2, 3, 4)), _weight_gradient(x, weight, grad), grad.sum(dim=(0, 2, 3, 4))


def _planes(x: Tensor) -> Tensor:
    """(b, c, x, y, z) as z * b images (z * b, c, x, y), channels last in memory."""
    return x.permute(4, 0, 2, 3, 1).contiguous()


def _weight_gradient(x: Tensor, weight: Tensor, grad: Tensor) -> Tensor:
    channels, _, *plane, depth = weight.shape
    size, padding, n = (channels, 1, *plane), [k // 2 for k in plane], x.shape[4]
    images, grad = _planes(F.pad(x, [depth // 2, depth // 2])), _planes(grad).flatten(0, 1).movedim(-1, 1)
    shifted = (images[i : i + n].flatten(0, 1).movedim(-1, 1) for i in range(depth))
    slices = [conv2d_weight(image, size, grad, padding=padding, groups=channels) for image in shifted]
    return torch.stack(slices, dim=-1)
