"""torchvision's residual networks with the reduction of resolution in another place; names and shapes stay the same.

Average: timm's `resnetaa*`, as in ResNet-D's pooling (He et al., CVPR 2019). Blur: timm's `resnetblur*` (Zhang: Making
Convolutional Networks Shift-Invariant Again, ICML 2019). First: the bottlenecks of the original ResNet in Caffe
(He et al., CVPR 2016), whose first 1x1 convolution has the stride; torchvision's 3x3 convolution has it.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

from robench.classifiers.architectures.torchvision_resnet import TorchvisionResNet

Downsampling = Literal["average", "blur", "first"]
DOWNSAMPLING = ("average", "blur", "first")


class Blur(nn.Module):
    """Depthwise convolution with the binomial kernel (1, 2, 1) / 4 in both directions, stride 2, reflected edges."""

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", line[:, None] * line, persistent=False)
        self.kernel: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / 2, W / 2), rounded up."""
        channels = x.shape[1]
        return F.conv2d(
            F.pad(x, (1, 1, 1, 1), mode="reflect"), self.kernel.repeat(channels, 1, 1, 1), stride=2, groups=channels
        )


class PooledConv2d(nn.Conv2d):
    """A convolution without bias that pools its input first; its weight keeps the name of the plain convolution."""

    def __init__(self, plain: nn.Conv2d, pool: nn.Module) -> None:
        size, padding = plain.kernel_size[0], plain.padding[0]
        assert isinstance(padding, int)  # only torchvision's own convolutions come here
        super().__init__(plain.in_channels, plain.out_channels, size, padding=padding, groups=plain.groups, bias=False)
        self.weight = plain.weight
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, H / 2, W / 2)."""
        return super().forward(self.pool(x))


def _pool(downsampling: str) -> nn.Module:
    return nn.AvgPool2d(2) if downsampling == "average" else Blur()


class StridedResNet(TorchvisionResNet):
    """A ResNet of torchvision with other downsampling, without its last layer; maps (N, C, H, W) to (N, D).

    Args:
        shape: channels, height and width of an image.
        name: torchvision's name, such as "resnet50".
        downsampling: average or blur: convolve with stride 1, then pool after batch norm and ReLU, also in the stem;
            first: the stride is in the first convolution of every block.

    Raises:
        ValueError: torchvision has no ResNet of that name, or there is no such downsampling.
    """

    def __init__(self, shape: tuple[int, int, int], name: str, downsampling: Downsampling) -> None:
        super().__init__(shape, name)
        if downsampling not in DOWNSAMPLING:
            raise ValueError(f"downsampling = {downsampling!r} is none of {', '.join(DOWNSAMPLING)}")
        if downsampling == "average":
            self.add_module("maxpool", nn.AvgPool2d(2))
        if downsampling == "blur":
            self.add_module("maxpool", nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), Blur()))
        blocks: list[Any] = [each for each in self.modules() if isinstance(each, BasicBlock | Bottleneck)]
        for block in blocks:
            strided, after = (block.conv2, "conv3") if isinstance(block, Bottleneck) else (block.conv1, "conv2")
            if strided.stride == (1, 1):
                continue
            if downsampling == "first":
                block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
            else:
                strided.stride = (1, 1)
                setattr(block, after, PooledConv2d(getattr(block, after), _pool(downsampling)))


BACKBONE = StridedResNet
