"""Models that encode end diastole and end systole each by itself: a number, or classes, from both."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cinema.models import ConvViT, small


class TwoFrames(ConvViT):
    """One number from two frames: each is encoded by itself, as in pretraining, and a linear head sees both.

    Stacking them as channels would repeat the first convolution's pretrained weights, which then see the sum of end
    diastole and end systole and not their difference. Features are those of analysis.features.study_features,
    normalised over the batch.
    """

    def __init__(self, **encoder: Any) -> None:
        super().__init__(**encoder, n_frames=1, out_chans=1, head_layer=None)
        width = 2 * encoder["enc_embed_dim"] * (1 + 2 * len(encoder["image_size_dict"]))
        self.pair_head: Any = nn.Sequential(nn.BatchNorm1d(width, affine=False), nn.Linear(width, 1))

    def start_head(self, scale: Any, weight: np.ndarray, bias: np.ndarray) -> None:
        """Let the head answer as a linear fit of analysis.features.study_features: probed first, then fine-tuned.

        scale: the features' fitted StandardScaler. weight, bias: (outputs, d) and (outputs,), of scaled features.
        Source: Kumar 2022 (arXiv 2202.10054).
        """
        norm, head = self.pair_head
        with torch.no_grad():
            norm.running_mean.copy_(torch.from_numpy(scale.mean_))
            norm.running_var.copy_(torch.from_numpy(scale.var_))
            head.weight.copy_(torch.from_numpy(weight * np.sqrt(scale.var_ + norm.eps) / scale.scale_))  # eps is undone
            head.bias.copy_(torch.from_numpy(bias))

    def forward(self, image_dict: dict[str, Tensor]) -> Tensor:
        """view -> (b, 2, x, y[, z]); returns (b, 1)."""
        frames = {view: image.flatten(0, 1)[:, None] for view, image in image_dict.items()}
        cls, *views = self.feature_forward(frames).values()
        parts = [cls[:, 0]] + [pooled for x in views for pooled in (x.mean(dim=1), x.std(dim=1))]
        return self.pair_head(torch.cat(parts, dim=1).unflatten(0, (-1, 2)).flatten(1))


def two_frames() -> TwoFrames:
    """TwoFrames of the short-axis stack."""
    return TwoFrames(**small.small_encoder(("sax",)))


def probed(fit: Any) -> TwoFrames:
    """two_frames whose head starts as `fit`: analysis.features.ridge on study_features, of the EF as in EF_TASK."""
    (_, scale), (_, ridge) = fit.steps
    model = two_frames()
    model.start_head(scale, ridge.coef_[None], np.array([ridge.intercept_]))
    return model


class Classes(TwoFrames):
    """TwoFrames of the short-axis stack with n outputs."""

    def __init__(self, n: int) -> None:
        super().__init__(**small.small_encoder(("sax",)))
        self.pair_head[1] = nn.Linear(self.pair_head[1].in_features, n)
