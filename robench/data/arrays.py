"""Splits from arrays of images, channels first or last."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.data.pixels import Pixels
from robench.data.split import Split
from robench.errors import InputError

CHANNELS = (1, 3)
DIMS = 4


def checked(name: str, x: NDArray[Any], y: NDArray[Any], ids: NDArray[Any] | None = None) -> Split:
    """Make a split of uint8 or float images, channels first or last; bytes stay bytes.

    Raises:
        InputError: the layout is ambiguous, or the examples do not pass `Split.checked`.
    """
    if x.ndim != DIMS:
        raise InputError(f"'{name}': images have shape {x.shape}, expected (N, C, H, W) or (N, H, W, C).")
    first, last = x.shape[1] in CHANNELS, x.shape[3] in CHANNELS
    if first == last:
        raise InputError(
            f"'{name}': images have shape {x.shape}: neither or both of axes 1 and 3 could be 1 or 3 channels; "
            "save them as (N, C, H, W) with 1 or 3 channels."
        )
    if x.dtype == np.uint8:
        return Split.checked(name, Pixels(x if last else np.ascontiguousarray(x.transpose(0, 2, 3, 1))), y, ids)
    return Split.checked(name, np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if last else x, y, ids)
