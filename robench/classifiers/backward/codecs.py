"""Images that leave torch, for JPEG say, and come back in the same order: their gradients wait for them."""

from collections.abc import Iterator

import torch
from torch import Tensor

BYTES = 255.0
"""Number of units of a byte in 1."""


class Travellers:
    """Gradients of the images that left torch and are not back yet, in the order in which they left."""

    def __init__(self) -> None:
        self.away: list[Tensor] = []

    def leave(self, smooth: Tensor) -> None:
        """Remember an image that leaves.

        Args:
            smooth: the image, with a gradient.
        """
        self.away.append(smooth)

    def arrive(self, value: Tensor) -> Tensor | None:
        """Return the gradient of an image that comes back: of the first that left and fits; None if none fits.

        Args:
            value: the image, perhaps with its channels elsewhere, without an axis of size 1, or in units of a byte.
        """
        for at, smooth in enumerate(self.away):
            if (found := _fitting(smooth, value)) is not None:
                del self.away[at]
                return found
            if smooth.dim() == 4 and (found := _fitting(smooth[0], value)) is not None:  # one image of a batch
                self.away[at : at + 1] = [smooth[1:]] if len(smooth) > 1 else []
                return found
        if self.away and len({each.shape for each in self.away}) == 1:  # a batch of images that left one by one
            found = _fitting(torch.stack(self.away), value)
            self.away = self.away if found is None else []
            return found
        return None


def _fitting(smooth: Tensor, value: Tensor) -> Tensor | None:
    """Return an image as it comes back; None if it is another."""
    found = next((each for each in _turned(smooth) if each.shape == value.shape), None)
    return None if found is None else found * _unit(value, found)


def _turned(image: Tensor) -> Iterator[Tensor]:
    """Yield an image (..., C, H, W) or (..., H, W, C) with its channels last, first, or without axes of size 1."""
    yield image
    if image.dim() >= 3:
        yield image.movedim(-3, -1)
        yield image.movedim(-1, -3)
    yield image.squeeze()
    yield image.unsqueeze(0)
    yield image.unsqueeze(-1)


def _unit(value: Tensor, smooth: Tensor) -> float:
    """Return the unit in which an image comes back: that in which it left, or a change between [0, 1] and bytes."""
    after, before = float(value.abs().max()), float(smooth.detach().abs().max())
    if not after or not before or BYTES**-0.5 < after / before < BYTES**0.5:
        return 1.0
    return BYTES if after > before else 1 / BYTES
