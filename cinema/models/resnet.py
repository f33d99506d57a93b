"""ResNet in 2D and 3D: the convolutional baseline of classification and regression, in torchvision's layout.

Source: He et al. 2016; bottlenecks carry their stride on the 3x3 convolution, as torchvision's do.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from cinema.models.layers import arguments, conv_class

LAYERS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


def batch_norm(n_dims: int, channels: int) -> nn.Module:
    return {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[n_dims](channels)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    expansion = 1

    def __init__(self, n_dims: int, in_chans: int, chans: int, stride: int) -> None:
        super().__init__()
        conv, out_chans = conv_class(n_dims), self.expansion * chans
        self.build(conv, n_dims, in_chans, chans, stride)
        self.downsample = None
        if stride != 1 or in_chans != out_chans:
            self.downsample = nn.Sequential(
                conv(in_chans, out_chans, 1, stride=stride, bias=False), batch_norm(n_dims, out_chans)
            )

    def build(self, conv: type[nn.Module], n_dims: int, in_chans: int, chans: int, stride: int) -> None:
        self.conv1 = conv(in_chans, chans, 3, stride=stride, padding=1, bias=False)
        self.bn1 = batch_norm(n_dims, chans)
        self.conv2 = conv(chans, chans, 3, padding=1, bias=False)
        self.bn2 = batch_norm(n_dims, chans)

    def path(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.path(x) + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(BasicBlock):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; four times as many channels come out."""

    expansion = 4

    def build(self, conv: type[nn.Module], n_dims: int, in_chans: int, chans: int, stride: int) -> None:
        self.conv1 = conv(in_chans, chans, 1, bias=False)
        self.bn1 = batch_norm(n_dims, chans)
        self.conv2 = conv(chans, chans, 3, stride=stride, padding=1, bias=False)
        self.bn2 = batch_norm(n_dims, chans)
        self.conv3 = conv(chans, self.expansion * chans, 1, bias=False)
        self.bn3 = batch_norm(n_dims, self.expansion * chans)

    def path(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class ResNet(nn.Module):
    """depth: one of LAYERS (basic blocks below 50); layer_inplanes: channels of the four layers before expansion."""

    n_dims: int

    def __init__(
        self, depth: int, in_chans: int, out_chans: int, layer_inplanes: Sequence[int] = (64, 128, 256, 512)
    ) -> None:
        super().__init__()
        self.arguments, n_dims = arguments(locals()), self.n_dims
        if depth not in LAYERS:
            raise ValueError(f"ResNet depth is {depth}; choose one of {', '.join(map(str, LAYERS))}")
        block, chans = BasicBlock if depth < 50 else Bottleneck, layer_inplanes[0]
        self.conv1 = conv_class(n_dims)(in_chans, chans, 7, stride=2, padding=3, bias=False)
        self.bn1 = batch_norm(n_dims, chans)
        self.maxpool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[n_dims](3, stride=2, padding=1)
        for i, (planes, n_blocks) in enumerate(zip(layer_inplanes, LAYERS[depth]), start=1):
            blocks = []
            for j in range(n_blocks):
                blocks.append(block(n_dims, chans, planes, stride=2 if i > 1 and j == 0 else 1))
                chans = block.expansion * planes
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
