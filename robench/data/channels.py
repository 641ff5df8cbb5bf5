"""Grey images with one channel or with three, as a network takes them."""

import hashlib
from dataclasses import replace

import numpy as np
from torch import Tensor

from robench.data.pixels import BLOCK, Images, Pixels
from robench.data.split import Split

COLOURS = 3
WORDS = {1: "grey images given as one channel", COLOURS: "grey images given as three equal channels"}
"""Notes on changed channels, by the number of channels."""


def with_other_channels(split: Split) -> Split | None:
    """Return grey images of three equal channels with one, or of one channel with three equal ones.

    The digest follows from that of the whole set, so every choice of examples has the same.

    Returns:
        the changed split; None if there is another number of channels or an image has colours.
    """
    if split.x.shape[1] not in WORDS or not _grey(split.x):
        return None
    channels = COLOURS if split.x.shape[1] == 1 else 1
    about = replace(split.about, notes=(WORDS[channels], *split.about.notes))
    digest = hashlib.sha256(f"{split.sha256} with {channels} channels".encode()).hexdigest()
    return replace(split, x=_with(split.x, channels), sha256=digest, about=about)


def _grey(x: Images) -> bool:
    """Return whether all channels of each image are equal."""
    blocks = x.blocks() if isinstance(x, Pixels) else x.split(BLOCK)
    return all(bool((block == block[:, :1]).all()) for block in blocks)


def _with(x: Images, channels: int) -> Images:
    """Return the first channel, once or several times."""
    if isinstance(x, Pixels):
        return Pixels(np.broadcast_to(x.raw[..., :1], (*x.raw.shape[:3], channels)), x.rows)
    first: Tensor = x[:, :1]
    return first.expand(-1, channels, -1, -1).contiguous()
