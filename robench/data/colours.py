"""Decoded images as RGB bytes: by Pillow's rules, and by the range of the type where Pillow has none."""

import numpy as np
from PIL import Image, ImageOps

from robench.errors import InputError

SEVERAL = "MPO"
"""The format of cameras that keep a preview behind the photograph; the photograph is the image."""
BITS, INTERPRETATION, FORMAT = 258, 262, 339
"""Tags of TIFF: bits of a sample; 0 if white is zero, 1 if black is zero; 1 if a sample has no sign."""
SIXTEEN = "I;16"
"""Beginning of Pillow's modes for 16-bit grey images."""
WIDER = {"I": "32-bit or signed whole numbers", "F": "floating-point numbers"}
"""Pillow's modes of pixels whose range no file tells, with what they hold."""


def as_rgb(image: Image.Image, upright: bool) -> Image.Image:
    """Return an opened image as RGB bytes: grey values three times, palettes looked up, transparency left out.

    16-bit values keep their upper 8 bits, for grey images as Pillow does it for colour.

    Args:
        image: opened, not yet decoded.
        upright: turn the image as its EXIF orientation says.

    Raises:
        InputError: the file holds several images, or values of an unknown range; the message lacks the file's name.
    """
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != SEVERAL:
        raise InputError(f"holds {frames} images, an animation or pages: save the one to use alone.")
    signed = set(getattr(image, "tag_v2", {}).get(FORMAT, (1,))) != {1}
    image.load()
    if upright:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith(SIXTEEN):
        return _upper_bits(image).convert("RGB")
    if image.mode in WIDER:
        raise InputError(f"holds {WIDER[image.mode]}, whose range is unknown: save it with 8 or 16 bits.")
    if signed:
        raise InputError("holds numbers with a sign, whose range is unknown: save it with 8 or 16 bits.")
    return image.convert("RGB")


def _upper_bits(image: Image.Image) -> Image.Image:
    tags = getattr(image, "tag_v2", {})
    bits, black_is_zero = tuple(tags.get(BITS, (16,))), tags.get(INTERPRETATION, 1) == 1
    if bits != (16,) or not black_is_zero:
        what = f"{bits[0]}-bit values" if black_is_zero else "16-bit values whose zero is white"
        raise InputError(f"holds {what}, which are not read: save it with 8 or 16 bits, black as 0.")
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
