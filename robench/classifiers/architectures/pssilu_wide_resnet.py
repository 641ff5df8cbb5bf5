"""Wide residual networks with a parametric activation (Dai et al.: Parameterizing Activation Functions, SaTML 2022).

Submodules are named as in the published code, so its checkpoints fit by name. There all blocks share one activation;
here every block has the parameters that the checkpoint gives it.
"""

import torch
from torch import Tensor, nn

from robench.classifiers.architectures.wide_resnet import WideResNet


class PSSiLU(nn.Module):
    """Parametric shifted SiLU: x (sigmoid(|alpha| x) - |beta|) / (1 - |beta|)."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.ones(1)), nn.Parameter(torch.full((1,), 1e-8))

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to the same shape."""
        shift = self.beta.abs()
        return x * (torch.sigmoid(self.alpha.abs() * x) - shift) / (1 - shift)


class PSSiLUBlock(nn.Module):
    """Pre-activation block: (batch norm, PSSiLU, 3x3 convolution) twice.

    If the width changes, the shortcut is a 1x1 convolution of the activated input; else it is the input itself.
    """

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width)
        self.activation = PSSiLU()
        self.conv1 = nn.Conv2d(width, out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.convShortcut = nn.Conv2d(width, out, 1, stride, bias=False) if width != out else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        z = self.activation(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(z)
        out: Tensor = shortcut + self.conv2(self.activation(self.bn2(self.conv1(z))))
        return out


class PSSiLUWideResNet(WideResNet):
    """WRN-depth-widen_factor with PSSiLU, without its last layer; D = 64 * widen_factor.

    Args:
        shape: channels, height and width of an image.
        depth: 6n + 4, where n is the number of blocks in each of the three groups.
        widen_factor: multiplies the widths 16, 32, 64 of the groups.

    Raises:
        ValueError: a depth or widen factor that no such network has.
    """

    def __init__(self, shape: tuple[int, int, int], depth: int, widen_factor: int) -> None:
        super().__init__(shape, depth, widen_factor)
        width = 16
        for group, out, stride in ((self.block1, 16, 1), (self.block2, 32, 2), (self.block3, 64, 2)):
            for at in range(len(group.layer)):
                group.layer[at] = PSSiLUBlock(width, out * widen_factor, stride if at == 0 else 1)
                width = out * widen_factor
        self.activation = PSSiLU()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z: Tensor = self.activation(self.bn1(self.block3(self.block2(self.block1(self.conv1(x))))))
        return z.mean((2, 3))


BACKBONE = PSSiLUWideResNet
