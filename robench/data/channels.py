"""Grey images of three equal channels, for networks that take one."""

import hashlib
from dataclasses import replace

from robench.data.pixels import BLOCK, Images, Pixels
from robench.data.split import Split

COLOURS = 3
NOTE = "grey images given as one channel"


def with_one_channel(split: Split) -> Split | None:
    """Return grey images with the first of their three equal channels; None if an image has colours.

    The digest follows from that of the whole set, so every choice of examples has the same.
    """
    if split.x.shape[1] != COLOURS or not _grey(split.x):
        return None
    first = Pixels(split.x.raw[..., :1], split.x.rows) if isinstance(split.x, Pixels) else split.x[:, :1].contiguous()
    about = replace(split.about, notes=(NOTE, *split.about.notes))
    digest = hashlib.sha256(f"{split.sha256} with one channel".encode()).hexdigest()
    return replace(split, x=first, sha256=digest, about=about)


def _grey(x: Images) -> bool:
    """Return whether all channels of each image are equal."""
    blocks = x.blocks() if isinstance(x, Pixels) else x.split(BLOCK)
    return all(bool((block == block[:, :1]).all()) for block in blocks)
