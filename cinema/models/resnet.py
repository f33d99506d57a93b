"""ResNet in 2D and 3D: the convolutional baseline of classification and regression, in torchvision's layout.

Source: He et al. 2016; bottlenecks carry their stride on the 3x3 convolution, as torchvision's do.
"""

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from cinema.models.layers import arguments, of_dims

LAYERS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; as a bottleneck 1x1, 3x3 and 1x1, and four times as many channels out."""

    def __init__(self, n_dims: int, in_chans: int, chans: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        conv, norm = partial(of_dims("Conv", n_dims), bias=False), of_dims("BatchNorm", n_dims)
        kernel, strides, out_chans = (1, (1, stride), 4 * chans) if bottleneck else (3, (stride, 1), chans)
        self.bottleneck = bottleneck
        self.conv1 = conv(in_chans, chans, kernel, stride=strides[0], padding=kernel // 2)
        self.bn1 = norm(chans)
        self.conv2 = conv(chans, chans, 3, stride=strides[1], padding=1)
        self.bn2 = norm(chans)
        if bottleneck:
            self.conv3 = conv(chans, out_chans, 1)
            self.bn3 = norm(out_chans)
        self.downsample = None
        if stride != 1 or in_chans != out_chans:
            self.downsample = nn.Sequential(conv(in_chans, out_chans, 1, stride=stride), norm(out_chans))

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            h = self.bn3(self.conv3(F.relu(h)))
        return F.relu(h + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """depth: one of LAYERS (no bottlenecks below 50); layer_inplanes: channels of the four layers before expansion."""

    n_dims: int

    def __init__(
        self, depth: int, in_chans: int, out_chans: int, layer_inplanes: Sequence[int] = (64, 128, 256, 512)
    ) -> None:
        super().__init__()
        self.arguments, n_dims = arguments(locals()), self.n_dims
        if depth not in LAYERS:
            raise ValueError(f"ResNet depth is {depth}; choose one of {', '.join(map(str, LAYERS))}")
        chans, bottleneck = layer_inplanes[0], depth >= 50
        self.conv1 = of_dims("Conv", n_dims)(in_chans, chans, 7, stride=2, padding=3, bias=False)
        self.bn1 = of_dims("BatchNorm", n_dims)(chans)
        self.maxpool = of_dims("MaxPool", n_dims)(3, stride=2, padding=1)
        for i, (planes, n_blocks) in enumerate(zip(layer_inplanes, LAYERS[depth]), start=1):
            blocks = []
            for j in range(n_blocks):
                blocks.append(Block(n_dims, chans, planes, 2 if i > 1 and j == 0 else 1, bottleneck))
                chans = 4 * planes if bottleneck else planes
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
        self.fc = nn.Linear(chans, out_chans)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image_dict: dict[str, Tensor]) -> Tensor:
        """One view -> (b, in_chans, x, y[, z]); returns logits or z-scored values (b, out_chans)."""
        if len(image_dict) != 1:
            raise ValueError(f"ResNet reads one view, {len(image_dict)} given: {', '.join(image_dict)}")
        (x,) = image_dict.values()
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(x.flatten(2).mean(dim=2))


class ResNet2d(ResNet):
    """ResNet over images (b, c, x, y)."""

    n_dims = 2


class ResNet3d(ResNet):
    """ResNet over volumes (b, c, x, y, z)."""

    n_dims = 3
