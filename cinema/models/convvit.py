"""ConvViT: the pretrained encoder with a linear head, for classification and regression."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cinema.models._timm import Mlp
from cinema.models.downsample import DownsampleEncoder, Fusion, ViewsEncoder
from cinema.models.layers import init_weights
from cinema.models.patches import PerView
from cinema.models.vit import EncoderArguments, ViTEncoder

REDUCTIONS = ("all", "patch", "cls")


class ConvViT(ViewsEncoder):
    """Encoder of all views, and one linear head per view and for the class token.

    Its arguments are those of EncoderArguments, and:
    n_frames:   frames stacked as channels: (ED, ES) for two.
    out_chans:  classes or values.
    head_layer: None builds no heads (features only).
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
        n_frames: int,
        out_chans: int,
        mlp_ratio: float = 4,
        qkv_bias: bool = True,
        norm_layer: type[nn.Module] = nn.LayerNorm,
        norm_eps: float = 1e-5,
        rotary: bool = False,
        act_layer: type[nn.Module] = nn.GELU,
        mlp_layer: type[nn.Module] = Mlp,
        drop_path: float = 0.0,
        norm: str = "layer",
        head_layer: type[nn.Module] | None = nn.Linear,
        grad_ckpt: bool = False,
        pos_period: float = 10000.0,
        pos_scaled: bool = False,
    ) -> None:
        own = dict(locals())
        super().__init__(own)
        given = EncoderArguments.of(own)
        self.enc_fusion_dict = nn.ModuleDict()
        for view in given.image_size_dict:
            self.enc_down_dict[view] = DownsampleEncoder(given, view, n_frames)
            self.enc_fusion_dict[view] = Fusion(given, self.enc_down_dict[view])
        self.encoder = ViTEncoder(given)
        init_weights(self)
        self.pred_head_dict = nn.ModuleDict()  # after init_weights: heads start from PyTorch's default
        if head_layer is not None:
            for name in [*given.image_size_dict, "cls"]:
                self.pred_head_dict[name] = head_layer(given.enc_embed_dim, out_chans)

    def feature_forward(self, image_dict: PerView, mask_dict: PerView | None = None) -> PerView:
        """Features of any of the views, at any size the patch divides: {"cls": (b, 1, e), view: (b, n, e)}.

        mask_dict: view -> (b, n), True = kept out of its neighbours' convolutions; no token is dropped.
        """
        self.check_views(image_dict)
        skips, tokens = {}, {}
        for view, image in image_dict.items():
            skips[view], tokens[view] = self.enc_down_dict[view](image, mask_dict[view] if mask_dict else None)
        encoded = self.across_views(tokens)
        return {"cls": encoded["cls"], **{v: self.enc_fusion_dict[v](encoded[v], skips[v]) for v in tokens}}

    def forward(self, image_dict: PerView, mask_dict: PerView | None = None, reduce: str = "all") -> Tensor:
        """Logits or z-scored values (b, out_chans).

        image_dict: view -> (b, n_frames * in_chans, x, y[, z]).
        reduce:     "patch" averages the views' heads on mean tokens, "cls" takes the class token's head, "all"
                    averages both, the class token counting as one view. "patch" and "all" need every view.
        """
        if reduce not in REDUCTIONS:
            raise ValueError(f"reduce is {reduce!r}; choose one of {', '.join(REDUCTIONS)}")
        missing = [view for view in self.enc_down_dict if view not in image_dict]
        if missing and reduce != "cls":
            raise ValueError(f"view {missing[0]} is missing; reduce={reduce!r} averages over all views of the model")
        features = self.feature_forward(image_dict, mask_dict)
        names = {"all": list(features), "patch": list(image_dict), "cls": ["cls"]}[reduce]
        return torch.stack([self.pred_head_dict[name](features[name].mean(dim=1)) for name in names]).mean(dim=0)
