"""The common corruptions of Hendrycks & Dietterich (ICLR 2019), for images of any size. Listing needs no torch."""

from collections.abc import Sequence
from numbers import Integral
from operator import index
from typing import TYPE_CHECKING

from robench.errors import InputError
from robench.specs.corruption import SEVERITIES, corruptions, extra_corruptions, find_corruption

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SEVERITIES", "VERSION", "corrupt", "corruptions", "extra_corruptions"]

VERSION = 1
"""Version of the corruptions, raised when an image can come out differently."""
LARGEST = 2**63
"""Upper bound of ids, exclusive."""
IMAGE_DIMS, CHANNELS = 4, (1, 3)


def corrupt(x: "Tensor", name: str, severity: int, ids: "Sequence[int] | Tensor", seed: int = 0) -> "Tensor":
    """Corrupt images in the way of the published sets: from 8 bits, and truncated to 8 bits as by np.uint8.

    Images whose shorter side is below 64 pixels get CIFAR-10-C's constants, others ImageNet-C's. Grey images and images
    with a side below 32 are corrupted as RGB of at least 32 pixels a side and converted back
    (`robench.corruptions.size`). Random numbers belong to (seed, name, severity, id): the corruption of an example does
    not depend on the others.

    Args:
        x: images in [0, 1], float32, (N, 1 or 3, H, W).
        name: one of `corruptions()` or `extra_corruptions()`.
        severity: 1 to 5.
        ids: stable numbers of the examples, not negative, (N,).
        seed: not negative.

    Returns:
        Images of the same shape in [0, 1], float32.

    Raises:
        InputError: unknown corruption or severity, unsuitable images or ids, or no frost photographs.
    """
    find_corruption(str(name))
    if isinstance(severity, bool) or not isinstance(severity, Integral) or severity not in SEVERITIES:
        raise InputError(f"'{name}': severity {severity!r} must be 1, 2, 3, 4 or 5.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed {seed!r} must be a whole number from 0 on.")
    _check_images(x)
    try:
        numbers = tuple(index(each) for each in ids)
    except TypeError as error:
        raise InputError("ids must be whole numbers, one per image.") from error
    if len(numbers) != len(x):
        raise InputError(f"there are {len(x)} images but {len(numbers)} ids: give one id per image.")
    if min(numbers) < 0:
        raise InputError(f"id {min(numbers)} is negative: number the examples from 0.")
    if max(numbers) >= LARGEST:
        raise InputError(f"id {max(numbers)} is too large: number the examples from 0.")
    from robench.corruptions.generate import generate

    return generate(x, name, int(severity), numbers, seed)


def _check_images(x: "Tensor") -> None:
    """Check that images can be corrupted.

    Raises:
        InputError: dtype, shape or range do not fit.
    """
    import torch

    if not isinstance(x, torch.Tensor) or x.dtype != torch.float32:
        found = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
        raise InputError(f"images are {found}, expected a float32 tensor in [0, 1]: divide by 255.")
    if x.dim() != IMAGE_DIMS or x.shape[1] not in CHANNELS or 0 in x.shape:
        raise InputError(f"images have shape {tuple(x.shape)}, expected (N, 1 or 3, H, W): grey or RGB, at least one.")
    if not (x.amin() >= 0 and x.amax() <= 1):  # NaN fails too
        raise InputError("images hold values outside [0, 1], or NaN: divide by 255 before corrupting.")
