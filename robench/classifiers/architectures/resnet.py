"""ResNets for small images: a 3x3 stem and no max pooling (He et al., CVPR 2016).

Submodules are named as in the widespread CIFAR code. `resnet18` is the one of depth 18.
"""

from torch import Tensor, nn
from torch.nn import functional as F

BASIC, BOTTLENECK = 1, 4
"""Width of a block's output over the width of its layer."""
BLOCKS = {
    34: (BASIC, (3, 4, 6, 3)),
    50: (BOTTLENECK, (3, 4, 6, 3)),
    101: (BOTTLENECK, (3, 4, 23, 3)),
    152: (BOTTLENECK, (3, 8, 36, 3)),
}
"""Kind of block, and number of blocks of each layer, by depth."""


class BasicBlock(nn.Module):
    """Convolutions with batch norm around a shortcut: two of 3x3, or 1x1, 3x3 and 1x1 in a bottleneck."""

    def __init__(self, width: int, planes: int, stride: int, expansion: int) -> None:
        super().__init__()
        out = expansion * planes
        first, second = (3, 3) if expansion == BASIC else (1, 3)
        strides = (stride, 1) if expansion == BASIC else (1, stride)
        self.conv1 = nn.Conv2d(width, planes, first, strides[0], padding=first // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, second, strides[1], padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        if expansion == BOTTLENECK:
            self.conv3 = nn.Conv2d(planes, out, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride != 1 or width != out:
            self.shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.expansion = expansion

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, expansion * planes, H / stride, W / stride)."""
        z = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.expansion == BOTTLENECK:
            z = self.bn3(self.conv3(F.relu(z)))
        return F.relu(self.shortcut(x) + z)


class ResNet(nn.Module):
    """Residual blocks behind a 3x3 stem, without the last layer; D = 512 for depth 34, 2,048 above.

    Args:
        shape: channels, height and width of an image.
        depth: 34, 50, 101 or 152.

    Raises:
        ValueError: another depth.
    """

    def __init__(self, shape: tuple[int, int, int], depth: int) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"depth = {depth!r} is none of {', '.join(map(str, BLOCKS))}; depth 18 is 'resnet18'")
        expansion, (first, second, third, fourth) = BLOCKS[depth]
        self.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(first, 64, 64, 1, expansion)
        self.layer2 = _layer(second, 64 * expansion, 128, 2, expansion)
        self.layer3 = _layer(third, 128 * expansion, 256, 2, expansion)
        self.layer4 = _layer(fourth, 256 * expansion, 512, 2, expansion)
        self.features = 512 * expansion

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z = F.relu(self.bn1(self.conv1(x)))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(z)))).mean((2, 3))
        return features


def _layer(blocks: int, width: int, planes: int, stride: int, expansion: int) -> nn.Sequential:
    first = BasicBlock(width, planes, stride, expansion)
    return nn.Sequential(first, *(BasicBlock(expansion * planes, planes, 1, expansion) for _ in range(1, blocks)))


BACKBONE = ResNet
