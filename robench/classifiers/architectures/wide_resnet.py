"""Wide residual networks (Zagoruyko & Komodakis: Wide Residual Networks, BMVC 2016).

Submodules are named as in the TRADES family, so its checkpoints fit by name. That family also builds a `sub_block1`
that its forward pass never reads; `sub_block1` is not built here.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Pre-activation block: (batch norm, ReLU, 3x3 convolution) twice.

    If the width changes, the shortcut is a 1x1 convolution of the activated input; else it is the input itself.
    """

    def __init__(self, width: int, out: int, stride: int, drop_rate: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.convShortcut = nn.Conv2d(width, out, 1, stride, bias=False) if width != out else None
        self.dropout = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        z = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(z)
        z = self.dropout(F.relu(self.bn2(self.conv1(z))))
        out: Tensor = shortcut + self.conv2(z)
        return out


class Group(nn.Module):
    """Blocks of one width; the first changes width and resolution."""

    def __init__(self, blocks: int, width: int, out: int, stride: int, drop_rate: float) -> None:
        super().__init__()
        first = Block(width, out, stride, drop_rate)
        self.layer = nn.Sequential(first, *(Block(out, out, 1, drop_rate) for _ in range(1, blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, out, H / stride, W / stride)."""
        z: Tensor = self.layer(x)
        return z


class WideResNet(nn.Module):
    """WRN-depth-widen_factor without its last layer; D = 64 * widen_factor.

    Args:
        shape: channels, height and width of an image.
        depth: 6n + 4, where n is the number of blocks in each of the three groups.
        widen_factor: multiplies the widths 16, 32, 64 of the groups.
        drop_rate: probability of dropout between the convolutions of a block.

    Raises:
        ValueError: a depth or widen factor that no such network has, or a drop rate that is no probability.
    """

    def __init__(self, shape: tuple[int, int, int], depth: int, widen_factor: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        if not isinstance(depth, int) or depth < 10 or depth % 6 != 4:
            raise ValueError(f"depth = {depth!r} is not 6n + 4, such as 16, 28 or 34")
        if not isinstance(widen_factor, int) or widen_factor < 1:
            raise ValueError(f"widen_factor = {widen_factor!r} is not an integer of 1 or more")
        blocks = (depth - 4) // 6
        narrow, middle, wide = 16 * widen_factor, 32 * widen_factor, 64 * widen_factor
        self.conv1 = nn.Conv2d(shape[0], 16, 3, padding=1, bias=False)
        self.block1 = Group(blocks, 16, narrow, 1, drop_rate)
        self.block2 = Group(blocks, narrow, middle, 2, drop_rate)
        self.block3 = Group(blocks, middle, wide, 2, drop_rate)
        self.bn1 = nn.BatchNorm2d(wide)
        self.features = wide
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z = self.block3(self.block2(self.block1(self.conv1(x))))
        return F.relu(self.bn1(z)).mean((2, 3))


BACKBONE = WideResNet
