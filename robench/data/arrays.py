"""Splits from arrays of images in the usual layouts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.data.pixels import Pixels
from robench.data.split import Split
from robench.errors import InputError

CHANNELS = (1, 3)
DIMS = 4


def checked(name: str, x: NDArray[Any], y: NDArray[Any], ids: NDArray[Any] | None = None) -> Split:
    """Make a split of uint8 or float images, channels first, last or left out; bytes stay bytes.

    Raises:
        InputError: the layout is ambiguous, or the examples do not pass `Split.checked`.
    """
    last = _channels_last(name, x)
    x = x[..., None] if x.ndim == DIMS - 1 else x
    if x.dtype == np.uint8:
        return Split.checked(name, Pixels(x if last else np.ascontiguousarray(x.transpose(0, 2, 3, 1))), y, ids)
    return Split.checked(name, np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if last else x, y, ids)


def _channels_last(name: str, x: NDArray[Any]) -> bool:
    """Return whether the channels are the last axis of images, or left out.

    One axis of 1 or 3 beside two others is the channels', and so is an axis of bands beside two equal ones.
    """
    if x.ndim == DIMS - 1 and x.shape[2] not in CHANNELS:
        return True
    if x.ndim == DIMS + 1:
        raise InputError(f"'{name}': images have shape {x.shape}, volumes with a depth: take slices, (N, C, H, W).")
    if x.ndim != DIMS:
        raise InputError(
            f"'{name}': images have shape {x.shape}, expected (N, C, H, W), (N, H, W, C), or (N, H, W) for grey ones."
        )
    first, last = x.shape[1] in CHANNELS, x.shape[3] in CHANNELS
    if first == last and not first:
        first, last = x.shape[2] == x.shape[3], x.shape[1] == x.shape[2]
    if first == last:
        raise InputError(
            f"'{name}': images have shape {x.shape}: neither or both of axes 1 and 3 could be the channels; "
            "save them as (N, C, H, W) with 1 or 3 channels."
        )
    return last
