"""PreAct ResNets in the form that DeepMind published (Gowal et al. 2020; Rebuffi et al. 2021; Rade et al. 2021).

If a block changes the resolution or the width, its shortcut is a 3x3 convolution of the raw input. Convolutions of
stride 2 pad only below and on the right. Submodules are named as in the published code; a checkpoint shows neither
normalisation nor activation.
"""

from torch import Tensor, nn

from robench.classifiers.architectures.deepmind_wide_resnet import (
    ACTIVATIONS,
    Activation,
    padded,
    require_activation,
)

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Number of blocks of each layer, by depth."""


class SwishPreActBlock(nn.Module):
    """Pre-activation block: (batch norm, activation, 3x3 convolution) twice, around a shortcut of the raw input."""

    def __init__(self, width: int, out: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.batchnorm_0 = nn.BatchNorm2d(width)
        self.conv_2d_1 = nn.Conv2d(width, out, 3, stride, bias=False)
        self.batchnorm_1 = nn.BatchNorm2d(out)
        self.conv_2d_2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        changes = stride != 1 or width != out
        self.shortcut = nn.Conv2d(width, out, 3, stride, bias=False) if changes else None
        self.stride, self.activation = stride, activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        active = ACTIVATIONS[self.activation]
        z = active(self.batchnorm_0(x))
        shortcut = x if self.shortcut is None else self.shortcut(padded(x, self.stride))
        z = self.conv_2d_2(active(self.batchnorm_1(self.conv_2d_1(padded(z, self.stride)))))
        out: Tensor = shortcut + z
        return out


class DeepMindPreActResNet(nn.Module):
    """Pre-activation blocks behind a 3x3 stem, without the last layer; D = 512.

    Args:
        shape: channels, height and width of an image.
        depth: 18 or 34.
        activation: silu or relu.

    Raises:
        ValueError: another depth or activation.
    """

    def __init__(self, shape: tuple[int, int, int], depth: int = 18, activation: Activation = "silu") -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"depth = {depth!r} is none of {', '.join(map(str, BLOCKS))}")
        require_activation(activation)
        first, second, third, fourth = BLOCKS[depth]
        self.conv_2d = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
        self.layer_0 = _layer(first, 64, 64, 1, activation)
        self.layer_1 = _layer(second, 64, 128, 2, activation)
        self.layer_2 = _layer(third, 128, 256, 2, activation)
        self.layer_3 = _layer(fourth, 256, 512, 2, activation)
        self.batchnorm = nn.BatchNorm2d(512)
        self.features, self.activation = 512, activation

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z = self.layer_3(self.layer_2(self.layer_1(self.layer_0(self.conv_2d(x)))))
        features: Tensor = ACTIVATIONS[self.activation](self.batchnorm(z)).mean((2, 3))
        return features


def _layer(blocks: int, width: int, out: int, stride: int, activation: Activation) -> nn.Sequential:
    first = SwishPreActBlock(width, out, stride, activation)
    return nn.Sequential(first, *(SwishPreActBlock(out, out, 1, activation) for _ in range(1, blocks)))


BACKBONE = DeepMindPreActResNet
