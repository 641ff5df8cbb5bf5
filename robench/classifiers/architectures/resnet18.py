"""ResNet-18 for small images (He et al.: Deep Residual Learning for Image Recognition, CVPR 2016).

The form common on CIFAR: a 3x3 stem and no max pooling. Submodule names and initialisation follow the common code.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm around a shortcut: the input, or its 1x1 convolution with batch norm."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        stride = 1 if width == out else 2
        self.conv1 = nn.Conv2d(width, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if width != out:
            self.shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H, W); if the width changes, height and width of the map are halved."""
        z = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.shortcut(x) + self.bn2(self.conv2(z)))


class ResNet18(nn.Module):
    """Eight residual blocks behind a 3x3 stem, without the last layer; D = 512.

    Args:
        shape: channels, height and width of an image.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Block(64, 64), Block(64, 64))
        self.layer2 = nn.Sequential(Block(64, 128), Block(128, 128))
        self.layer3 = nn.Sequential(Block(128, 256), Block(256, 256))
        self.layer4 = nn.Sequential(Block(256, 512), Block(512, 512))
        self.features = 512

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z = F.relu(self.bn1(self.conv1(x)))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(z)))).mean((2, 3))
        return features


BACKBONE = ResNet18
