"""PreAct ResNet-18 for small images (He et al.: Identity Mappings in Deep Residual Networks, ECCV 2016).

Submodules are named as in the widespread CIFAR code; `bn` before the pooling follows the fast adversarial
training family. The initialisation is PyTorch's default, as in that family.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Pre-activation block: (batch norm, ReLU, 3x3 convolution) twice.

    If the width changes, the shortcut is a 1x1 convolution of the activated input; else it is the input itself.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        stride = 1 if width == out else 2
        self.bn1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False)) if width != out else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H, W); if the width changes, height and width of the map are halved."""
        z = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(z)
        out: Tensor = shortcut + self.conv2(F.relu(self.bn2(self.conv1(z))))
        return out


class PreActResNet18(nn.Module):
    """Eight pre-activation blocks behind a 3x3 stem, without the last layer; D = 512.

    Args:
        shape: channels, height and width of an image.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
        self.layer1 = nn.Sequential(Block(64, 64), Block(64, 64))
        self.layer2 = nn.Sequential(Block(64, 128), Block(128, 128))
        self.layer3 = nn.Sequential(Block(128, 256), Block(256, 256))
        self.layer4 = nn.Sequential(Block(256, 512), Block(512, 512))
        self.bn = nn.BatchNorm2d(512)
        self.features = 512

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return F.relu(self.bn(z)).mean((2, 3))


BACKBONE = PreActResNet18
