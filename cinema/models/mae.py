"""CineMA: a masked autoencoder over the views of one heart.

Most patches of every view are hidden. A transformer sees the rest, of all views together; a smaller one has to paint
the hidden patches from what it made of them. To do so it must learn how hearts look and how views relate.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinema.models._timm import Mlp
from cinema.models.downsample import DownsampleEncoder, Fusion, ViewsEncoder
from cinema.models.layers import init_weights
from cinema.models.patches import PerView, patchify, position_table, random_mask, select
from cinema.models.vit import EncoderArguments, Transformer, ViTEncoder


class ViewEmbed(nn.Module):
    """What the decoder knows of a view before looking: where its patches lie, and a token for hidden ones."""

    def __init__(self, given: EncoderArguments, embed_dim: int, grid_size: Sequence[int]) -> None:
        super().__init__()
        table = position_table(embed_dim, grid_size, given.pos_period, given.pos_scaled)
        self.pos_embed = nn.Parameter(table, requires_grad=False)
        self.mask_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, mask: Tensor) -> Any:
        """mask: (b, n) True = hidden -> positions of visible, mask tokens with positions of hidden patches."""
        positions = self.pos_embed.expand(mask.shape[0], -1, -1)
        return select(positions, ~mask), self.mask_token + select(positions, mask)


def reconstruction_loss(pred: Tensor, target: Tensor, mask: Tensor, norm_target: bool = False) -> tuple[Tensor, dict]:
    """Mean squared error over the hidden patches of one view.

    pred:        (b, k, p), the k hidden patches in order; target: (b, n, p), all patches; mask: (b, n) True = hidden.
    norm_target: compare with patches brought to mean 0 and deviation 1 each, so that bright blood does not dominate.
    Returns the loss (NaN where nothing is hidden) and a dict of detached scalars.
    """
    target = target.detach()
    mean, std = target.mean(dim=-1, keepdim=True), target.std(dim=-1, keepdim=True)
    metrics = {"target_mean": mean.mean(), "target_std": std.mean()}
    if norm_target:
        target = (target - mean) / (std + 1e-6)
    hidden = select(target, mask)
    loss = F.mse_loss(pred, hidden)
    metrics["mse_loss"] = loss.detach()
    if norm_target and hidden.numel():
        metrics.update(normed_target_max=hidden.max(), pred_max=pred.detach().max())
    return loss, metrics


class CineMA(ViewsEncoder):
    """Masked autoencoder. Its arguments are those of EncoderArguments, and:

    dec_embed_dim, dec_depth, dec_n_heads: width, depth and heads of the decoder.
    norm_target: see reconstruction_loss.
    cross_attn:  True: hidden patches ask the visible ones; False: all patches attend to all.
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
        dec_embed_dim: int,
        dec_depth: int,
        dec_n_heads: int,
        mlp_ratio: float = 4,
        qkv_bias: bool = True,
        norm_target: bool = False,
        cross_attn: bool = True,
        norm_layer: type[nn.Module] = nn.LayerNorm,
        norm_eps: float = 1e-5,
        rotary: bool = False,
        act_layer: type[nn.Module] = nn.GELU,
        mlp_layer: type[nn.Module] = Mlp,
        drop_path: float = 0.0,
        norm: str = "layer",
        grad_ckpt: bool = False,
        pos_period: float = 10000.0,
        pos_scaled: bool = False,
    ) -> None:
        own = dict(locals())
        super().__init__(own)
        given, width = EncoderArguments.of(own), dec_embed_dim
        if given.rotary and cross_attn:
            raise ValueError("rotary=True needs cross_attn=False: rotary attention takes no separate context")
        self.norm_target, self.cross_attn = norm_target, cross_attn
        self.enc_fusion_dict = nn.ModuleDict()
        self.dec_embed_dict, self.pred_head_dict = nn.ModuleDict(), nn.ModuleDict()
        for view in given.image_size_dict:
            down = self.enc_down_dict[view] = DownsampleEncoder(given, view)
            self.enc_fusion_dict[view] = Fusion(given, down)
            self.dec_embed_dict[view] = ViewEmbed(given, width, down.grid_size)
            self.pred_head_dict[view] = nn.Linear(width, prod(down.patch_size) * given.in_chans_dict[view])
        self.encoder = ViTEncoder(given)
        self.dec_linear = nn.Linear(given.enc_embed_dim, width)
        self.decoder = Transformer(given, width, dec_depth, dec_n_heads)
        init_weights(self)

    def forward(
        self,
        image_dict: PerView,
        enc_mask_ratio: float = 0.75,
        enc_mask_dict: PerView | None = None,
        generator: torch.Generator | None = None,
    ) -> Any:
        """Hide, encode, decode, compare.

        image_dict:     view -> (b, c, x, y[, z]) at the size of construction; its order is the token order.
        enc_mask_ratio: share of patches hidden in each view.
        enc_mask_dict:  masks to use instead of drawing them: view -> (b, n), True = hidden, one count for all rows.
        generator:      torch.Generator of the draw, on the images' device.
        Returns loss, predictions {view: (b, hidden, voxels of a patch)}, masks, metrics (dict of scalars).
        """
        self.check_sizes(image_dict)
        masks = enc_mask_dict or self.random_masks(image_dict, enc_mask_ratio, generator)
        latent = self.encode(image_dict, masks)
        predictions = self.decode(latent, masks)
        loss, metrics = self.loss(image_dict, predictions, masks)
        return loss, predictions, masks, metrics

    def random_masks(self, image_dict: PerView, ratio: float, generator: torch.Generator | None = None) -> PerView:
        """view -> (b, n) masks, drawn one view after the other."""
        return {
            view: random_mask(len(image), self.enc_down_dict[view].pos_embed.shape[1], ratio, image.device, generator)
            for view, image in image_dict.items()
        }

    def encode(self, image_dict: PerView, masks: PerView | None = None) -> PerView:
        """What the encoder makes of the visible patches: {"cls": (b, 1, e), view: (b, visible, e)}."""
        self.check_views(image_dict)
        skips, tokens = {}, {}
        for view, image in image_dict.items():
            mask = masks[view] if masks else None
            skips[view], tokens[view] = self.enc_down_dict[view](image, mask)
            if mask is not None:
                tokens[view] = select(tokens[view], ~mask)
        encoded = self.across_views(tokens)
        fused = {
            view: self.enc_fusion_dict[view](encoded[view], skips[view], masks[view] if masks else None)
            for view in tokens
        }
        return {"cls": encoded["cls"], **fused}

    feature_forward = encode

    def decode(self, latent: PerView, masks: PerView) -> PerView:
        """Predicted voxels of the hidden patches: view -> (b, hidden, voxels of a patch)."""
        x = {name: self.dec_linear(tokens) for name, tokens in latent.items()}
        visible, hidden = {}, {}
        for view, mask in masks.items():
            positions, hidden[view] = self.dec_embed_dict[view](mask)
            visible[view] = x[view] + positions
        counts = [h.shape[1] for h in hidden.values()]
        queries, context = [x["cls"], *hidden.values()], list(visible.values())
        if self.cross_attn:
            x = self.decoder(torch.cat(queries, dim=1), torch.cat(context, dim=1))
        else:
            x = self.decoder(torch.cat([queries[0], *context, *queries[1:]], dim=1))
        x = x[:, x.shape[1] - sum(counts) :]
        return {view: self.pred_head_dict[view](part) for view, part in zip(masks, x.split(counts, dim=1))}

    def hidden_patches(self, image_dict: PerView, masks: PerView) -> PerView:
        """The voxels that were hidden, as `decode` orders them: view -> (b, hidden, voxels of a patch)."""
        return {
            view: select(patchify(image, self.enc_down_dict[view].patch_size), masks[view])
            for view, image in image_dict.items()
        }

    def loss(self, image_dict: PerView, predictions: PerView, masks: PerView) -> tuple[Tensor, dict]:
        """Mean over the views whose loss is finite (NaN if none is), and a dict of detached scalars."""
        losses, metrics = [], {}
        for view, image in image_dict.items():
            target = patchify(image, self.enc_down_dict[view].patch_size)
            loss, values = reconstruction_loss(predictions[view], target, masks[view], self.norm_target)
            losses.append(loss)
            metrics.update({f"{view}_{name}": value for name, value in values.items()})
        per_view = torch.stack(losses)
        total = per_view[per_view.isfinite()].mean()
        return total, {**metrics, "loss": total.detach()}
