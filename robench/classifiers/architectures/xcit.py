"""Cross-covariance image transformers (El-Nouby et al.: XCiT, NeurIPS 2021, arXiv:2106.09681).

Attention mixes channels, not positions: its weights are the correlations of channels over the positions (Sec. 3.2).
Submodules are named as in timm, so its checkpoints fit by name, and so do those of Debenedetti et al. 2022
(arXiv:2209.07399), who take patches of 4 pixels on CIFAR by strides of 1 in the first convolutions.
"""

from itertools import pairwise
from math import log2, pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-6
"""Added to the variance in layer norm, and to the side of the image in the encoding of positions."""
WAVES, LONGEST = 16, 10_000.0
"""Number of wavelengths of each axis in the encoding of positions, and ratio of the longest to the shortest."""
CLASS_BLOCKS, SHALLOW = 2, 12
"""Number of class blocks, and of blocks up to which residual branches start with scale 1; with more, with 1e-5."""


class Positions(nn.Module):
    """Sines and cosines of the rows and columns, projected to the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token_projection = nn.Conv2d(4 * WAVES, width, 1)
        self.register_buffer("waves", (LONGEST ** (torch.arange(WAVES) / WAVES)).view(1, -1, 1, 1), persistent=False)
        self.waves: Tensor

    def forward(self, z: Tensor) -> Tensor:
        """Map (N, width, H, W), of which only the shape counts, to (1, width, H, W)."""
        ones = torch.ones_like(z[:1, :1])
        row, column = ones.cumsum(2), ones.cumsum(3)
        turns = row / (row[:, :, -1:] + EPS), column / (column[:, :, :, -1:] + EPS)
        angles = [2 * pi * turn / self.waves for turn in turns]
        encoded = [torch.stack((angle.sin(), angle.cos()), 2).flatten(1, 2) for angle in angles]
        out: Tensor = self.token_projection(torch.cat(encoded, 1))
        return out


class CrossCovariance(nn.Module):
    """Attention among the channels of each head; queries and keys have length 1 over the positions (Eq. 3)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, width) to (N, T, width)."""
        parts = self.qkv(x).transpose(1, 2).unflatten(1, (3, self.heads, -1))
        q, k = (F.normalize(parts[:, at], dim=-1) for at in (0, 1))
        weights = (self.temperature * (q @ k.transpose(-2, -1))).softmax(-1)
        out: Tensor = self.proj((weights @ parts[:, 2]).flatten(1, 2).transpose(1, 2))
        return out


class ClassAttention(nn.Module):
    """Attention of the class token to all tokens (Touvron et al., ICCV 2021)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.proj = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 1 + T, width), the class token first, to (N, 1, width)."""
        parts = self.q(x[:, :1]), self.k(x), self.v(x)
        heads = (each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in parts)
        out: Tensor = self.proj(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return out


class LocalPatches(nn.Module):
    """Two depthwise 3x3 convolutions, which let neighbouring patches interact."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.bn = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, z: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, width, H, W)."""
        out: Tensor = self.conv2(self.bn(F.gelu(self.conv1(z))))
        return out


class Mlp(nn.Module):
    """A hidden layer of four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, width) to (N, T, width)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Cross-covariance attention, local patch interaction and an MLP, each normalised before and scaled after."""

    def __init__(self, width: int, heads: int, scale: float) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width, EPS) for _ in range(3))
        self.attn, self.local_mp, self.mlp = CrossCovariance(width, heads), LocalPatches(width), Mlp(width)
        self.gamma1, self.gamma2, self.gamma3 = (nn.Parameter(torch.full((width,), scale)) for _ in range(3))

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """Map (N, H * W, width) to the same shape; `like` (N, width, H, W) gives height and width."""
        x = x + self.gamma1 * self.attn(self.norm1(x))
        local = self.local_mp(self.norm3(x).transpose(1, 2).reshape_as(like)).flatten(2).transpose(1, 2)
        x = x + self.gamma3 * local
        out: Tensor = self.gamma2 * self.mlp(self.norm2(x))
        return x + out


class ClassBlock(nn.Module):
    """Class attention and an MLP for the class token; patches are only normalised and added, as in published code."""

    def __init__(self, width: int, heads: int, scale: float, class_norm: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)
        self.attn, self.mlp = ClassAttention(width, heads), Mlp(width)
        self.gamma1, self.gamma2 = (nn.Parameter(torch.full((width,), scale)) for _ in range(2))
        self.class_norm = class_norm

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 1 + T, width), the class token first, to the same shape."""
        z = self.norm1(x)
        x = x + self.gamma1 * torch.cat((self.attn(z), z[:, 1:]), 1)
        x = torch.cat((self.norm2(x[:, :1]), x[:, 1:]), 1) if self.class_norm else self.norm2(x)
        return x + torch.cat((self.gamma2 * self.mlp(x[:, :1]), x[:, 1:]), 1)


class Xcit(nn.Module):
    """An XCiT without its last layer; D = width. Images may have any size that the patches divide.

    Args:
        shape: channels, height and width of an image.
        width: channels of a token; a multiple of 8 and of `heads`.
        depth: number of cross-covariance blocks; two class blocks follow.
        heads: heads of attention.
        patch: side of a patch in pixels, a power of 2: the last log2(patch) convolutions of the stem have stride 2.
        convolutions: 3x3 convolutions of the stem, which double the channels up to the width.
        class_norm: class blocks normalise only the class token before the MLP, as in XCiT-N12.

    Raises:
        ValueError: no such stem, or a width that the heads do not divide.
    """

    def __init__(
        self, shape: tuple[int, int, int], width: int, depth: int, heads: int, patch: int,
        convolutions: int = 4, class_norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if min(heads, convolutions) < 1 or width % heads or width % 2 ** (convolutions - 1):
            raise ValueError(f"width = {width} is no multiple of heads = {heads} and of {2 ** (convolutions - 1)}")
        if patch not in [2**power for power in range(1, convolutions + 1)]:
            raise ValueError(f"patch = {patch!r} is no power of 2 up to {2**convolutions}")
        scale = 1.0 if depth <= SHALLOW else 1e-5
        widths = [shape[0], *(width // 2**power for power in range(convolutions - 1, -1, -1))]
        stem: list[nn.Module] = []
        for at, (before, after) in enumerate(pairwise(widths)):
            stride = 2 if at >= convolutions - log2(patch) else 1
            conv = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
            stem += nn.Sequential(conv, nn.BatchNorm2d(after)), nn.GELU()
        self.patch_embed = nn.ModuleDict({"proj": nn.Sequential(*stem[:-1])})
        self.pos_embed = Positions(width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, scale) for _ in range(depth))
        self.cls_attn_blocks = nn.ModuleList(ClassBlock(width, heads, scale, class_norm) for _ in range(CLASS_BLOCKS))
        self.norm = nn.LayerNorm(width, EPS)
        self.features = width
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z = self.patch_embed["proj"](x)
        tokens = (z + self.pos_embed(z)).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, z)
        tokens = torch.cat((self.cls_token.expand(tokens.shape[0], -1, -1), tokens), 1)
        for block in self.cls_attn_blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens[:, 0])
        return out


BACKBONE = Xcit
