"""DeepMind's wide residual networks with a width and a depth for each group, squeeze-and-excitation and MeanSparse.

RA-WRN (Peng et al.: Robust Principles, BMVC 2023, arXiv:2308.16258) has other widths and squeeze-and-excitation (Hu et
al., CVPR 2018); MeanSparse (Amini et al. 2024, arXiv:2406.05927) sets features near their mean to the mean. Submodules
are named as in the published code, so its checkpoints fit by name; a checkpoint does not show the activation.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from robench.classifiers.architectures.deepmind_wide_resnet import (
    ACTIVATIONS,
    Activation,
    padded,
    require_activation,
)

Squeeze = Literal["none", "first", "second"]
SQUEEZE = ("none", "first", "second")
RATIO = 0.25
"""Width of squeeze-and-excitation's hidden layer, as a share of the block's width."""
STRIDES = (1, 2, 2)


class MeanSparse(nn.Module):
    """Set features that are nearer to the channel's mean than `threshold` standard deviations to the mean.

    Mean, variance and threshold are found after training and fixed; the last two buffers are not read here.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.zeros(width))
        self.register_buffer("threshold", torch.tensor(0.0))
        self.register_buffer("flag_update_statistics", torch.tensor(0))
        self.register_buffer("batch_num", torch.tensor(0.0))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.threshold: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, width, H, W)."""
        mean = self.running_mean.view(1, -1, 1, 1)
        near = (self.threshold * self.running_var.sqrt()).view(1, -1, 1, 1)
        return torch.where((x - mean).abs() < near, mean, x)


class FlexibleBlock(nn.Module):
    """Pre-activation block: (batch norm, MeanSparse, activation, 3x3 convolution) twice, and MeanSparse of the sum.

    If the width changes, the shortcut is a 1x1 convolution of the activated input; else it is the input itself.
    """

    def __init__(
        self, width: int, out: int, stride: int, activation: Activation, squeeze: Squeeze, mean_sparse: bool
    ) -> None:
        super().__init__()
        self.batchnorm_0 = nn.BatchNorm2d(width)
        self.meansparse_0 = MeanSparse(width) if mean_sparse else nn.Identity()
        self.conv_0 = nn.Conv2d(width, out, 3, stride, bias=False)
        self.batchnorm_1 = nn.BatchNorm2d(out)
        self.meansparse_1 = MeanSparse(out) if mean_sparse else nn.Identity()
        self.conv_1 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(width, out, 1, stride, bias=False) if width != out else None
        self.se = SqueezeExcitation(out, round(RATIO * out)) if squeeze != "none" else nn.Identity()
        self.meansparse_2 = MeanSparse(out) if mean_sparse else nn.Identity()
        self.stride, self.activation, self.squeeze = stride, activation, squeeze

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        active = ACTIVATIONS[self.activation]
        z = active(self.meansparse_0(self.batchnorm_0(x)))
        shortcut = x if self.shortcut is None else self.shortcut(z)
        z = self.conv_0(padded(z, self.stride))
        z = self.se(z) if self.squeeze == "first" else z
        z = self.conv_1(active(self.meansparse_1(self.batchnorm_1(z))))
        z = self.se(z) if self.squeeze == "second" else z
        out: Tensor = self.meansparse_2(shortcut + z)
        return out


class FlexibleGroup(nn.Module):
    """Blocks of one width; the first changes width and resolution."""

    def __init__(self, blocks: Sequence[FlexibleBlock]) -> None:
        super().__init__()
        self.block = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        z: Tensor = self.block(x)
        return z


class DeepMindFlexibleWideResNet(nn.Module):
    """Three groups of pre-activation blocks behind a 3x3 stem, without the last layer; D is the last width.

    Args:
        shape: channels, height and width of an image.
        widths: output channels of the stem and of each group, four numbers.
        blocks: blocks of each group, three numbers.
        activation: silu or relu.
        squeeze: the convolution of a block that squeeze-and-excitation follows: first or second; or none.
        mean_sparse: MeanSparse before every activation and after every block.

    Raises:
        ValueError: another number of groups, a number below 1, or an activation or squeeze that does not exist.
    """

    def __init__(
        self, shape: tuple[int, int, int], widths: Sequence[int], blocks: Sequence[int],
        activation: Activation = "silu", squeeze: Squeeze = "none", mean_sparse: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if len(blocks) != len(STRIDES) or len(widths) != len(STRIDES) + 1 or min(*widths, *blocks) < 1:
            raise ValueError(f"widths = {widths!r} and blocks = {blocks!r} are not four and three positive numbers")
        require_activation(activation)
        if squeeze not in SQUEEZE:
            raise ValueError(f"squeeze = {squeeze!r} is none of {', '.join(SQUEEZE)}")
        self.init_conv = nn.Conv2d(shape[0], widths[0], 3, padding=1, bias=False)
        groups = []
        for width, out, depth, stride in zip(widths[:-1], widths[1:], blocks, STRIDES, strict=True):
            sizes = [(width, stride), *[(out, 1)] * (depth - 1)]
            groups.append(FlexibleGroup([FlexibleBlock(w, out, s, activation, squeeze, mean_sparse) for w, s in sizes]))
        self.layer = nn.Sequential(*groups)
        self.batchnorm = nn.BatchNorm2d(widths[-1])
        self.meansparse_end = MeanSparse(widths[-1]) if mean_sparse else nn.Identity()
        self.features, self.activation = widths[-1], activation

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z = self.meansparse_end(self.batchnorm(self.layer(self.init_conv(x))))
        out: Tensor = ACTIVATIONS[self.activation](z)
        return out.mean((2, 3))


BACKBONE = DeepMindFlexibleWideResNet
