"""Encoded images made bytes once, in parallel, and kept: a memory map that later runs open at once."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from platformdirs import user_cache_path

from robench.errors import InputError
from robench.paths import atomic_path

CACHE = "ROBENCH_CACHE"
"""The environment variable that names another folder for what is kept."""
VERSION = 1
"""Raised when an image can come out differently."""
AHEAD = 64
"""Images a thread decodes at a time."""

Prepare = Callable[[Image.Image], Image.Image]
"""From the decoded image to the one that is used: cropped, say."""


class Encoded(NamedTuple):
    """An encoded image: a file, or bytes.

    Attributes:
        name: of the file, or for messages.
        stamp: changes when the image does.
        data: its bytes where it is no file.
    """

    name: str
    stamp: tuple[int | str, ...]
    data: bytes | None = None

    @classmethod
    def file(cls, path: str, found: os.stat_result) -> "Encoded":
        """An image file, told from its next version by size and time of change; plain text, as there are many."""
        return cls(path, (path, found.st_size, found.st_mtime_ns))

    @classmethod
    def held(cls, name: str, data: bytes) -> "Encoded":
        """An image in memory."""
        return cls(name, (hashlib.sha256(data).hexdigest(),), data)

    def open(self) -> IO[bytes]:
        """Its bytes."""
        return Path(self.name).open("rb") if self.data is None else BytesIO(self.data)


def cache_folder() -> Path:
    """Where decoded images are kept: the user's cache folder, or the one that ROBENCH_CACHE names."""
    return Path(os.environ.get(CACHE) or user_cache_path("robench", appauthor=False)) / "images"


def decoded(images: Sequence[Encoded], prepare: Prepare | None = None, how: str = "") -> tuple[NDArray[np.uint8], Path]:
    """All images as RGB bytes (N, H, W, 3), mapped from the cache; all must have one size.

    Args:
        images: at least one.
        prepare: done to each before its bytes are taken.
        how: names `prepare` for the cache.

    Returns:
        the bytes, and the cached file, whose name tells these images from others.

    Raises:
        InputError: an image is damaged or of another size than the first, or the cache cannot be written.
    """
    text = json.dumps([VERSION, how, [image.stamp for image in images]])
    path = cache_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"
    if not path.is_file():
        _decode(images, prepare, path)
    return np.load(path, mmap_mode="r"), path


def _decode(images: Sequence[Encoded], prepare: Prepare | None, path: Path) -> None:
    first = _bytes(images[0], prepare)
    with atomic_path(path) as temporary, ThreadPoolExecutor() as pool:
        whole = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(images), *first.shape))

        def fill(start: int) -> None:
            for at, image in enumerate(images[start : start + AHEAD], start):
                pixels = _bytes(image, prepare)
                if pixels.shape != first.shape:
                    raise InputError(
                        f"image '{image.name}' is {_size(pixels)}, '{images[0].name}' {_size(first)}: "
                        "give all images one size."
                    )
                whole[at] = pixels

        for _ in pool.map(fill, range(0, len(images), AHEAD)):
            pass
        whole.flush()


def _bytes(image: Encoded, prepare: Prepare | None) -> NDArray[np.uint8]:
    try:
        with image.open() as stream, Image.open(stream) as opened:
            found = opened.convert("RGB")
            return np.asarray(prepare(found) if prepare else found)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"image '{image.name}' cannot be read ({error}): restore it or take it out.") from error


def _size(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
