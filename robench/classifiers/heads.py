"""Last layers, which map penultimate features (N, D) to logits (N, K).

A head's attributes `scale` and `margin` are the constants that objectives use; the logits themselves are
never scaled, so predictions are those of the paper's Eq. (5).
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robench.errors import InputError
from robench.specs import Head

CLAMP = 1e-6
"""Distance that cosines keep from +-1 before arccos, whose gradient is infinite there."""


class Constants(Protocol):
    """Constants of a head that objectives need."""

    scale: float
    margin: float


class LinearHead(nn.Module):
    """Linear layer, W^T z + b (Eq. 1)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.scale, self.margin = 1.0, 0.0

    def forward(self, z: Tensor) -> Tensor:
        """Map features (N, D) to logits (N, K)."""
        return F.linear(z, self.weight, self.bias)

    def normalized(self, z: Tensor) -> Tensor:
        """Return the logits W^T z/|z| for attacks with feature normalisation (paper, Sec. 3.3 and Table 7)."""
        return F.linear(F.normalize(z, dim=1), self.weight)


class HypersphereHead(nn.Module):
    """Hypersphere embedding, Eqs. (4) and (5): feature and weight normalisation, no bias.

    Both are functional: the stored weights are never overwritten. With `fn` and `wn` the logits are
    cosines in [-1, 1]; with `angular="arccos"` they are minus the angles, in [-pi, 0] (Sec. 3.5).
    """

    def __init__(self, features: int, classes: int, spec: Head) -> None:
        super().__init__()
        if spec.angular == "arccos" and not (spec.fn and spec.wn):
            raise InputError("'arccos' needs the cosines that fn = true and wn = true give.")
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.fn, self.wn, self.angular = spec.fn, spec.wn, spec.angular
        self.scale, self.margin = spec.scale, spec.margin

    def forward(self, z: Tensor) -> Tensor:
        """Map features (N, D) to logits (N, K)."""
        z = F.normalize(z, dim=1) if self.fn else z
        weight = F.normalize(self.weight, dim=1) if self.wn else self.weight
        logits = F.linear(z, weight)
        if self.angular == "arccos":
            return -logits.clamp(-1 + CLAMP, 1 - CLAMP).arccos()
        return logits

    def normalized(self, z: Tensor) -> Tensor:
        """Return the logits with feature normalisation, also if the head has none."""
        logits: Tensor = self(F.normalize(z, dim=1))
        return logits


def make_head(spec: Head, features: int, classes: int) -> LinearHead | HypersphereHead:
    """Build the head that a card declares."""
    return LinearHead(features, classes) if spec.kind == "linear" else HypersphereHead(features, classes, spec)
