"""Wide residual networks with a width and a depth for each group (Huang et al., NeurIPS 2021, arXiv:2110.03825).

Blocks are those of `wide_resnet`; submodules are named as in the published code, so its checkpoints fit by name.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from robench.classifiers.architectures.wide_resnet import Group

STRIDES = (1, 2, 2)


class FlexibleWideResNet(nn.Module):
    """Three groups of pre-activation blocks behind a 3x3 stem, without the last layer; D is the last width.

    Args:
        shape: channels, height and width of an image.
        widths: output channels of the stem and of each group, four numbers.
        blocks: blocks of each group, three numbers.

    Raises:
        ValueError: another number of groups, or a number below 1.
    """

    def __init__(self, shape: tuple[int, int, int], widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        if len(blocks) != len(STRIDES) or len(widths) != len(STRIDES) + 1 or min(*widths, *blocks) < 1:
            raise ValueError(f"widths = {widths!r} and blocks = {blocks!r} are not four and three positive numbers")
        self.stem_conv = nn.Conv2d(shape[0], widths[0], 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(
            Group(depth, width, out, stride, 0.0)
            for depth, width, out, stride in zip(blocks, widths[:-1], widths[1:], STRIDES, strict=True)
        )
        self.bn1 = nn.BatchNorm2d(widths[-1])
        self.features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z = self.stem_conv(x)
        for group in self.blocks:
            z = group(z)
        return F.relu(self.bn1(z)).mean((2, 3))


BACKBONE = FlexibleWideResNet
