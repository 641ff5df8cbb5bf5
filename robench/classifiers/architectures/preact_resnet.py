"""PreAct ResNets for small images, in several forms with the same names of layers.

He et al.: Identity Mappings in Deep Residual Networks, ECCV 2016. `preact_resnet18` is the form with an activated
shortcut and a batch norm before the pooling. Other published code keeps the names of all layers and convolves the
block's raw input in the shortcut (fast adversarial training, Wong et al., ICLR 2020), or has no batch norm and no ReLU
before the pooling.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Shortcut = Literal["raw", "activated"]
"""Input of the shortcut's convolution: the block's input, or the block's input after batch norm and ReLU."""
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Number of blocks of each layer, by depth."""


class PreActBlock(nn.Module):
    """Pre-activation block: (batch norm, ReLU, 3x3 convolution) twice, around a shortcut."""

    def __init__(self, width: int, out: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        changes = stride != 1 or width != out
        self.shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False)) if changes else None
        self.shortcut_of = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        z = F.relu(self.bn1(x))
        shortcut = x
        if self.shortcut is not None:
            shortcut = self.shortcut(x if self.shortcut_of == "raw" else z)
        out: Tensor = shortcut + self.conv2(F.relu(self.bn2(self.conv1(z))))
        return out


class PreActResNet(nn.Module):
    """Pre-activation blocks behind a 3x3 stem, without the last layer; D = 512.

    Args:
        shape: channels, height and width of an image.
        depth: 18 or 34.
        shortcut: input of the shortcut's convolution.
        final_norm: whether batch norm and ReLU stand before the pooling.

    Raises:
        ValueError: another depth or shortcut.
    """

    def __init__(
        self, shape: tuple[int, int, int], depth: int = 18, shortcut: Shortcut = "raw", final_norm: bool = True
    ) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"depth = {depth!r} is none of {', '.join(map(str, BLOCKS))}")
        if shortcut not in ("raw", "activated"):
            raise ValueError(f"shortcut = {shortcut!r} is neither 'raw' nor 'activated'")
        first, second, third, fourth = BLOCKS[depth]
        self.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
        self.layer1 = _layer(first, 64, 64, 1, shortcut)
        self.layer2 = _layer(second, 64, 128, 2, shortcut)
        self.layer3 = _layer(third, 128, 256, 2, shortcut)
        self.layer4 = _layer(fourth, 256, 512, 2, shortcut)
        self.bn = nn.BatchNorm2d(512) if final_norm else None
        self.features = 512

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return (z if self.bn is None else F.relu(self.bn(z))).mean((2, 3))


def _layer(blocks: int, width: int, out: int, stride: int, shortcut: Shortcut) -> nn.Sequential:
    first = PreActBlock(width, out, stride, shortcut)
    return nn.Sequential(first, *(PreActBlock(out, out, 1, shortcut) for _ in range(1, blocks)))


BACKBONE = PreActResNet
