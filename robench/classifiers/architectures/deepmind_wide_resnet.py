"""Wide residual networks in the form that DeepMind published (Gowal et al. 2020, arXiv:2010.03593, and many since).

The function differs from `wide_resnet` in two ways: the activation is SiLU or ReLU, and a convolution of stride 2 pads
only below and on the right, as TensorFlow's "same" does. Submodules are named as in the published code, so its
checkpoints fit by name; a checkpoint shows neither normalisation nor activation.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["silu", "relu"]
ACTIVATIONS = {"silu": F.silu, "relu": F.relu}


def padded(x: Tensor, stride: int) -> Tensor:
    """Pad for a 3x3 convolution: one pixel on every side, for stride 2 only below and on the right."""
    return F.pad(x, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))


def require_activation(activation: object) -> None:
    """Check the name of an activation.

    Raises:
        ValueError: there is no such activation.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation = {activation!r} is neither 'silu' nor 'relu'")


class SwishBlock(nn.Module):
    """Pre-activation block: (batch norm, activation, 3x3 convolution) twice.

    If the width changes, the shortcut is a 1x1 convolution of the activated input; else it is the input itself.
    """

    def __init__(self, width: int, out: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.batchnorm_0 = nn.BatchNorm2d(width)
        self.conv_0 = nn.Conv2d(width, out, 3, stride, bias=False)
        self.batchnorm_1 = nn.BatchNorm2d(out)
        self.conv_1 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(width, out, 1, stride, bias=False) if width != out else None
        self.stride, self.activation = stride, activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        active = ACTIVATIONS[self.activation]
        z = active(self.batchnorm_0(x))
        shortcut = x if self.shortcut is None else self.shortcut(z)
        z = self.conv_1(active(self.batchnorm_1(self.conv_0(padded(z, self.stride)))))
        out: Tensor = shortcut + z
        return out


class SwishGroup(nn.Module):
    """Blocks of one width; the first changes width and resolution."""

    def __init__(self, blocks: int, width: int, out: int, stride: int, activation: Activation) -> None:
        super().__init__()
        first = SwishBlock(width, out, stride, activation)
        self.block = nn.Sequential(first, *(SwishBlock(out, out, 1, activation) for _ in range(1, blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        z: Tensor = self.block(x)
        return z


class DeepMindWideResNet(nn.Module):
    """WRN-depth-width without its last layer; D = 64 * width.

    Args:
        shape: channels, height and width of an image.
        depth: 6n + 4, where n is the number of blocks in each of the three groups.
        width: multiplies the widths 16, 32, 64 of the groups.
        activation: silu or relu.

    Raises:
        ValueError: a depth, width or activation that no such network has.
    """

    def __init__(self, shape: tuple[int, int, int], depth: int, width: int, activation: Activation = "silu") -> None:
        super().__init__()
        if not isinstance(depth, int) or depth < 10 or depth % 6 != 4:
            raise ValueError(f"depth = {depth!r} is not 6n + 4, such as 28, 34 or 70")
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"width = {width!r} is not an integer of 1 or more")
        require_activation(activation)
        blocks = (depth - 4) // 6
        narrow, middle, wide = 16 * width, 32 * width, 64 * width
        self.init_conv = nn.Conv2d(shape[0], 16, 3, padding=1, bias=False)
        self.layer = nn.Sequential(
            SwishGroup(blocks, 16, narrow, 1, activation),
            SwishGroup(blocks, narrow, middle, 2, activation),
            SwishGroup(blocks, middle, wide, 2, activation),
        )
        self.batchnorm = nn.BatchNorm2d(wide)
        self.features, self.activation = wide, activation

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z: Tensor = ACTIVATIONS[self.activation](self.batchnorm(self.layer(self.init_conv(x))))
        return z.mean((2, 3))


BACKBONE = DeepMindWideResNet
