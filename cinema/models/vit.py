"""The transformer: attention, blocks, and the encoder over the tokens of all views. Tokens are (batch, n, width)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinema.models._timm import DropPath, Mlp, SwiGLU
from cinema.models.layers import run


@dataclass(frozen=True)
class EncoderArguments:
    """What CineMA, ConvViT and ConvUNetR are built with besides their own arguments; every `*_dict` is keyed by view.

    image_size_dict:       (x, y[, z]) of each view's image; it fixes the grid of tokens and their position table.
    in_chans_dict:         its channels.
    enc_patch_size_dict:   first patch; enc_scale_factor_dict: factor of every later stage and of the last patches.
    enc_conv_chans:        channels of the convolution stages, none for a plain ViT; enc_conv_n_blocks: blocks in each.
    enc_embed_dim ..:      width, depth and heads of the transformer.
    norm_eps:              of transformer norms.
    norm:                  of the convolution stages, see layers.conv_norm.
    grad_ckpt:             trade time for memory in training.
    pos_period, pos_scaled: see patches.position_table; the published defaults suit grids of 12 and more.
    """

    image_size_dict: dict
    in_chans_dict: dict
    enc_patch_size_dict: dict
    enc_scale_factor_dict: dict
    enc_conv_chans: Sequence[int]
    enc_conv_n_blocks: int
    enc_embed_dim: int
    enc_depth: int
    enc_n_heads: int
    mlp_ratio: float = 4
    qkv_bias: bool = True
    norm_layer: type[nn.Module] = nn.LayerNorm
    norm_eps: float = 1e-5
    rotary: bool = False
    act_layer: type[nn.Module] = nn.GELU
    mlp_layer: type[nn.Module] = Mlp
    drop_path: float = 0.0
    norm: str = "layer"
    grad_ckpt: bool = False
    pos_period: float = 10000.0
    pos_scaled: bool = False

    @classmethod
    def of(cls, given: dict[str, Any]) -> "EncoderArguments":
        """Those among the arguments `given` to a model."""
        return cls(**{one.name: given[one.name] for one in fields(cls)})


# width, depth and heads of encoder and decoder
SIZES = {
    "tiny": dict(enc_embed_dim=16, enc_depth=1, enc_n_heads=2, dec_embed_dim=16, dec_depth=1, dec_n_heads=2),
    "base": dict(enc_embed_dim=768, enc_depth=12, enc_n_heads=12, dec_embed_dim=512, dec_depth=8, dec_n_heads=16),
    "large": dict(enc_embed_dim=1024, enc_depth=24, enc_n_heads=16, dec_embed_dim=512, dec_depth=8, dec_n_heads=16),
    "huge": dict(enc_embed_dim=1280, enc_depth=32, enc_n_heads=16, dec_embed_dim=512, dec_depth=8, dec_n_heads=16),
}


def rotate(x: Tensor) -> Tensor:
    """Rotary embedding: channel pairs (i, i + d/2) of x (b, n, m, d) turned by index_n * 10000^(-2i/d)."""
    n, d = x.shape[1], x.shape[3]
    frequencies = 10000.0 ** (-torch.arange(0, d, 2, device=x.device, dtype=torch.float32) / d)
    angles = torch.arange(n, device=x.device, dtype=torch.float32)[:, None] * frequencies
    cos, sin = (f(torch.cat([angles, angles], dim=1))[None, :, None].to(x.dtype) for f in (torch.cos, torch.sin))
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    """Multi-head attention of x to `context` (or to itself)."""

    def __init__(self, dim: int, n_heads: int, qkv_bias: bool = True, rotary: bool = False) -> None:
        super().__init__()
        if dim % n_heads:
            raise ValueError(f"width {dim} does not split over {n_heads} heads; choose a multiple")
        self.n_heads, self.rotary = n_heads, rotary
        self.q = nn.Linear(dim, dim, bias=qkv_bias)
        self.kv = nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x: (b, n, dim), context: (b, m, dim) -> (b, n, dim)."""
        if self.rotary and context is not None:
            raise ValueError("rotary attention takes no separate context; use self attention")
        k, v = self.kv(x if context is None else context).chunk(2, dim=-1)
        q, k, v = (t.unflatten(2, (self.n_heads, -1)).transpose(1, 2) for t in (self.q(x), k, v))
        if self.rotary:
            # (b, heads, n, d): the angle follows the head, not the token. Published so; kept for its weights.
            q, k = rotate(q), rotate(k)
        return self.proj(attend(q, k, v).transpose(1, 2).flatten(2))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention; on a CPU in float32: its backward pass in bfloat16 takes three times as long."""
    if q.is_cpu and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    return F.scaled_dot_product_attention(q, k, v)


class Block(nn.Module):
    """Attention and MLP, each normalised at its entry and added. A given context is used as it is, un-normalised."""

    def __init__(self, given: EncoderArguments, dim: int, n_heads: int) -> None:
        super().__init__()
        self.norm1 = given.norm_layer(dim, eps=given.norm_eps)
        self.attn = Attention(dim, n_heads, given.qkv_bias, given.rotary)
        self.norm2 = given.norm_layer(dim, eps=given.norm_eps)
        hidden = int(given.mlp_ratio * dim)
        if issubclass(given.mlp_layer, SwiGLU):  # two thirds, rounded up to a multiple of 256
            hidden = int((given.mlp_ratio * dim * 2 / 3 + 255) // 256 * 256)
        self.mlp = given.mlp_layer(in_features=dim, hidden_features=hidden, act_layer=given.act_layer)
        self.drop_path = DropPath(given.drop_path)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), context))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Transformer(nn.Module):
    """Blocks and a final norm: the decoder, whose last norm always has this eps, and the encoder's base."""

    def __init__(self, given: EncoderArguments, dim: int, depth: int, n_heads: int, final_eps: float = 1e-5) -> None:
        super().__init__()
        self.grad_ckpt = given.grad_ckpt
        self.blocks = nn.ModuleList(Block(given, dim, n_heads) for _ in range(depth))
        self.norm = given.norm_layer(dim, eps=final_eps)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x: (b, n, dim), context: (b, m, dim) or None -> (b, n, dim)."""
        for block in self.blocks:
            x = run(block, x, context, grad_ckpt=self.grad_ckpt)
        return self.norm(x)


class ViTEncoder(Transformer):
    """Transformer with a class token, which comes first and has no position."""

    def __init__(self, given: EncoderArguments) -> None:
        super().__init__(given, given.enc_embed_dim, given.enc_depth, given.enc_n_heads, given.norm_eps)
        self.cls_token = nn.Parameter(torch.empty(1, 1, given.enc_embed_dim))
        nn.init.normal_(self.cls_token, std=0.02)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # no context: the encoder asks itself
        """(b, n, dim) -> (b, 1 + n, dim), the class token first."""
        return super().forward(torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1))
