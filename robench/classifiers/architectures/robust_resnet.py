"""Pre-activation networks of a depth and width for each group (Huang et al.: Revisiting Residual Networks, CVPR 2023).

WRN-A4 (arXiv:2212.11005) is a member. Submodules are named as in the published code, so its checkpoints fit by name;
a checkpoint does not show the activation.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from robench.classifiers.architectures.deepmind_wide_resnet import ACTIVATIONS, Activation, require_activation
from robench.classifiers.architectures.preact_resnet import PreActBlock

STRIDES = (1, 2, 2)


class RobustBlock(PreActBlock):
    """Pre-activation block with another activation; its shortcut convolves the activated input."""

    def __init__(self, width: int, out: int, stride: int, activation: Activation) -> None:
        super().__init__(width, out, stride, "activated")
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        active = ACTIVATIONS[self.activation]
        z = active(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(z)
        out: Tensor = shortcut + self.conv2(active(self.bn2(self.conv1(z))))
        return out


class RobustGroup(nn.Module):
    """Blocks of one width; the first changes width and resolution."""

    def __init__(self, blocks: int, width: int, out: int, stride: int, activation: Activation) -> None:
        super().__init__()
        first = RobustBlock(width, out, stride, activation)
        self.layer = nn.Sequential(first, *(RobustBlock(out, out, 1, activation) for _ in range(1, blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        z: Tensor = self.layer(x)
        return z


class RobustResNet(nn.Module):
    """Three groups of pre-activation blocks behind a 3x3 stem, without the last layer; D is the last width.

    Args:
        shape: channels, height and width of an image.
        widths: output channels of the stem and of each group, four numbers.
        blocks: blocks of each group, three numbers.
        activation: silu or relu.

    Raises:
        ValueError: another number of groups, a number below 1, or no such activation.
    """

    def __init__(
        self, shape: tuple[int, int, int], widths: Sequence[int], blocks: Sequence[int], activation: Activation = "silu"
    ) -> None:
        super().__init__()
        if len(blocks) != len(STRIDES) or len(widths) != len(STRIDES) + 1 or min(*widths, *blocks) < 1:
            raise ValueError(f"widths = {widths!r} and blocks = {blocks!r} are not four and three positive numbers")
        require_activation(activation)
        self.stem_conv = nn.Conv2d(shape[0], widths[0], 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(
            RobustGroup(depth, width, out, stride, activation)
            for depth, width, out, stride in zip(blocks, widths[:-1], widths[1:], STRIDES, strict=True)
        )
        self.norm1 = nn.BatchNorm2d(widths[-1])
        self.features, self.activation = widths[-1], activation

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z = self.stem_conv(x)
        for group in self.blocks:
            z = group(z)
        out: Tensor = ACTIVATIONS[self.activation](self.norm1(z))
        return out.mean((2, 3))


BACKBONE = RobustResNet
