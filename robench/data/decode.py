"""A cache of decoded images: decoded once, in parallel, and kept as a memory map that later runs open."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from typing import IO

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from platformdirs import user_cache_path

from robench.data.colours import as_rgb
from robench.errors import InputError
from robench.paths import atomic_path

CACHE = "ROBENCH_CACHE"
"""The environment variable that names another folder for the cache."""
VERSION = 2
"""Version of the cache, raised when an image can come out differently."""
MEND = "restore it or take it out"
"""Mend of an image that cannot be read."""
AHEAD = 64
"""Number of images that a thread decodes at a time."""

Prepare = Callable[[Image.Image], Image.Image]
"""Turns a decoded image into the one that is used, e.g. by cropping."""


@dataclass(frozen=True)
class Encoded:
    """Encoded images, files or bytes, in columns: 60,000 objects would take longer than the disk does.

    Attributes:
        names: file names, or names for messages.
        stamps: one text per image, which changes when the image does.
        data: the bytes of each image; None if the images are files.
    """

    names: Sequence[str]
    stamps: Sequence[str]
    data: Sequence[bytes] | None = None

    @classmethod
    def files(cls, paths: Sequence[str]) -> "Encoded":
        """Take image files; size and time of change tell two versions of a file apart.

        Raises:
            InputError: a file is not there, e.g. a link to a file that was removed.
        """
        try:
            found = [os.stat(path) for path in paths]  # noqa: PTH116 - a Path takes four times as long
        except OSError as error:
            raise InputError(f"image '{error.filename}' cannot be read ({error.strerror}): {MEND}.") from error
        for path, each in zip(paths, found, strict=True):
            if not S_ISREG(each.st_mode):
                raise InputError(f"image '{path}' is no file: {MEND}.")
        return cls(paths, [f"{each.st_size} {each.st_mtime_ns}" for each in found])

    @classmethod
    def held(cls, names: Sequence[str], data: Sequence[bytes]) -> "Encoded":
        """Take images in memory."""
        return cls(names, [hashlib.sha256(each).hexdigest() for each in data], data)

    def __len__(self) -> int:
        return len(self.names)

    def open(self, at: int) -> IO[bytes]:
        """Open the bytes of one image."""
        return Path(self.names[at]).open("rb") if self.data is None else BytesIO(self.data[at])

    def digest(self, how: str) -> str:
        """Return a digest of these images and of `how` they are prepared."""
        names = self.names if self.data is None else ()
        return hashlib.sha256(json.dumps([VERSION, how, names, self.stamps]).encode()).hexdigest()[:32]


def cache_folder() -> Path:
    """Return the folder of decoded images, in the user's cache folder or in the one that ROBENCH_CACHE names."""
    return Path(os.environ.get(CACHE) or user_cache_path("robench", appauthor=False)) / "images"


def decoded(
    images: Encoded, prepare: Prepare | None = None, how: str = "", *, upright: bool = True
) -> tuple[NDArray[np.uint8], Path]:
    """Return all images as RGB bytes (N, H, W, 3), mapped from the cache; all must have one size.

    Args:
        images: at least one.
        prepare: applied to each decoded image.
        how: a name of `prepare` for the cache.
        upright: turn each image as its EXIF orientation says.

    Returns:
        the bytes, and the cached file, whose name tells these images from others.

    Raises:
        InputError: an image is damaged or of another size than the first, or the cache cannot be written.
    """
    path = cache_folder() / f"{images.digest(how if upright else f'{how}, as stored')}.npy"
    if not path.is_file():
        _decode(images, prepare or _same, upright, path)
    return np.load(path, mmap_mode="r"), path


def _same(image: Image.Image) -> Image.Image:
    return image


def _decode(images: Encoded, prepare: Prepare, upright: bool, path: Path) -> None:
    first = _bytes(images, 0, prepare, upright)
    with atomic_path(path) as temporary, ThreadPoolExecutor() as pool:
        whole = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(images), *first.shape))

        def fill(start: int) -> None:
            for at in range(start, min(start + AHEAD, len(images))):
                pixels = _bytes(images, at, prepare, upright)
                if pixels.shape != first.shape:
                    raise InputError(
                        f"image '{images.names[at]}' is {_size(pixels)}, '{images.names[0]}' {_size(first)}: "
                        "give all images one size."
                    )
                whole[at] = pixels

        for _ in pool.map(fill, range(0, len(images), AHEAD)):
            pass
        whole.flush()


def _bytes(images: Encoded, at: int, prepare: Prepare, upright: bool) -> NDArray[np.uint8]:
    try:
        with images.open(at) as stream, Image.open(stream) as opened:
            return np.asarray(prepare(as_rgb(opened, upright)))
    except InputError as error:
        raise InputError(f"image '{images.names[at]}' {error}") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"image '{images.names[at]}' cannot be read ({error}): {MEND}.") from error


def _size(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
