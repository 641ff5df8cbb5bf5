"""Run a network that takes only some numbers of images at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.classifiers.outputs import check_rows


@dataclass(frozen=True)
class GroupSize:
    """Numbers of images that a network takes at once.

    Attributes:
        least: smallest number, at least 1.
        most: largest number; `least` for a network that takes exactly one number of images.
    """

    least: int
    most: int


class Grouped(nn.Module):
    """Run a network on groups of images (`in_groups`)."""

    def __init__(self, network: nn.Module, size: GroupSize) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, K)."""
        return in_groups(self.network, x, self.size)


def tried_size(network: nn.Module, shape: Sequence[int]) -> GroupSize | None:
    """Return the number of images that a network takes at once; None if it takes one more than it was made with.

    Args:
        network: maps images to logits.
        shape: shape (N, C, H, W) of the images with which the network was made.
    """
    n = shape[0]
    with torch.no_grad():
        try:
            answer = network(torch.zeros(n + 1, *shape[1:]))
        except (RuntimeError, TypeError, ValueError):
            return GroupSize(n, n)
    return None if isinstance(answer, Tensor) and answer.dim() and len(answer) == n + 1 else GroupSize(n, n)


def in_groups(network: Callable[[Tensor], object], x: Tensor, size: GroupSize) -> Tensor:
    """Return the logits (N, K) of images in groups that the network takes.

    Too small a group is filled with copies of its last image, and the logits of the copies are cut off. Gradients flow
    to the images themselves.

    Raises:
        InputError: the network does not return one row for each image.
    """
    starts = range(0, max(len(x), 1), size.most)
    return torch.cat([_filled(network, x[start : start + size.most], size.least) for start in starts])


def _filled(network: Callable[[Tensor], object], group: Tensor, least: int) -> Tensor:
    missing = least - len(group)
    if missing <= 0:
        return check_rows(network(group), len(group))
    last = group[-1:].detach() if len(group) else group.new_zeros(1, *group.shape[1:])
    full = torch.cat([group, last.expand(missing, *group.shape[1:])])
    return check_rows(network(full), least)[: len(group)]
