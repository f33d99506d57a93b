"""A small 2D reader: UNet between a pixel unshuffle and a shuffle, four times cheaper than at full resolution."""

import torch.nn.functional as F
from torch import nn

from cinema.models.layers import arguments
from cinema.models.unet import UNet

FACTOR = 2


class Reader(nn.Module):
    """Logits of the four label classes of a slice and, for long axes, heatmaps of hinges and apex.

    in_chans: 1, or 3 for a slice between its neighbours. out_chans: 4 classes, then 0 or 2 heatmap
    channels (both hinges, apex). chans: UNet channels per level. Any size divisible by 2; keys `net.*` are UNet's.
    """

    def __init__(self, out_chans=4, in_chans=1, chans=(32, 64, 128, 160), n_blocks=1, dropout=0.0):
        super().__init__()
        self.arguments = arguments(locals())
        self.net = UNet(2, FACTOR**2 * in_chans, FACTOR**2 * out_chans, chans, dropout=dropout, n_blocks=n_blocks)

    def forward(self, image_dict):
        """view -> (b, in_chans, x, y), normalised as tasks.reading does; returns view -> (b, out_chans, x, y)."""
        return {view: self.read(image) for view, image in image_dict.items()}

    def read(self, image):
        return F.pixel_shuffle(self.net.segment(F.pixel_unshuffle(image, FACTOR)), FACTOR)
