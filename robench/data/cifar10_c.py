"""CIFAR-10-C (Hendrycks and Dietterich, ICLR 2019), from the published archive or its unpacked folder.

Each corruption has one `.npy` file with the test images five times, severity 1 first; `labels.npy` belongs to all.
The archive has a published checksum, the files in it have none. In a folder, therefore, the order of the labels is
checked, and a sample of the images is compared with the clean ones or, without those, with another severity.
"""

import hashlib
import math
import tarfile
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from robench.data import cifar10
from robench.data.corrupted import DatasetNotFound, in_order, require, summary
from robench.data.split import Split
from robench.errors import InputError
from robench.specs.corruption import SEVERITIES

FOLDER, ARCHIVE, LABELS = "CIFAR-10-C", "CIFAR-10-C.tar", "labels.npy"
MD5 = "56bf5dcef84df0e2308c6dcbcbbd8499"
COUNT, SHAPE, CLASSES = 10_000, (32, 32, 3), 10
MEND = "get CIFAR-10-C again from Zenodo, record 2535967"
MALFORMED = (ValueError, KeyError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)
"""Errors that NumPy raises for an invalid header."""

SAMPLE, FEWEST, Z = 1000, 100, 4.0
"""Number of images to compare, fewest images that can be compared, and standard errors by which they must agree."""

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


def find(data_dir: Path, count: int = COUNT, md5: str = MD5) -> "Cifar10C":
    """Find the folder CIFAR-10-C below the data folder, else files in the data folder itself, else the archive there.

    Args:
        data_dir: folder to search.
        count: number of images per severity.
        md5: the archive's checksum.

    Raises:
        DatasetNotFound: none of the three is there.
        InputError: the archive is not the published one.
    """
    for folder in (data_dir / FOLDER, data_dir):
        if source := _Folder.find(folder):
            return Cifar10C(source, data_dir, count)
    if (data_dir / ARCHIVE).is_file():
        return Cifar10C(_Archive(data_dir / ARCHIVE, md5), data_dir, count)
    raise DatasetNotFound(
        f"CIFAR-10-C is not in '{data_dir}': put {ARCHIVE} (Zenodo, record 2535967) or its folder {FOLDER} there, "
        "or name its folder with --data-dir."
    )


class Cifar10C:
    """CIFAR-10-C, read one corruption and severity at a time."""

    name = "cifar10-c"

    def __init__(self, source: "_Source", data_dir: Path, count: int) -> None:
        self.source, self.data_dir, self.count = source, data_dir, count
        self.corruptions = in_order(name.removesuffix(".npy") for name in source.names)

    def load(self, corruption: str, severity: int, limit: int | None = None, ids: Sequence[int] | None = None) -> Split:
        """Load one corruption at one severity, in the order of the clean test images.

        Raises:
            InputError: it is not there, damaged or reordered.
        """
        require(self.source.path, self.corruptions, corruption, severity, limit)
        labels = self.labels
        name = f"{corruption}.npy"
        with self.source.open(name) as file:
            offset = self._check(file, name)
            images = self._rows(file, name, offset, severity)
            if self.count >= FEWEST and not self.source.verified:
                self._check_order(file, name, offset, severity, images)
        x = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
        x /= 255  # in place: the floats are four times as large as what was read
        split = Split.checked(f"{self.name}/{corruption}/{severity}", x, labels).limit(limit)
        return split if ids is None else split.only(ids)

    def fingerprint(self, corruption: str, limit: int | None = None, ids: Sequence[int] | None = None) -> str:
        """Return the SHA-256 of a corruption's whole file, whatever examples are chosen.

        Raises:
            InputError: it is not there.
        """
        with self.source.open(f"{corruption}.npy") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def describe(self) -> str:
        """Describe in one line what is there; dtype, shape and size of every file are checked.

        Raises:
            InputError: a file is damaged.
        """
        _ = self.labels
        for corruption in self.corruptions:
            name = f"{corruption}.npy"
            with self.source.open(name) as file:
                self._check(file, name)
        found = summary(self.source.path, self.corruptions, f"{self.count:,} images each")
        return f"{found}, checksum holds" if self.source.verified else found

    @cached_property
    def labels(self) -> Labels:
        """Read the test labels.

        Raises:
            InputError: the labels are not there, damaged, reordered, or not those of the clean test images.
        """
        where = self.source.where(LABELS)
        if LABELS not in self.source.names:
            raise InputError(f"{where} is missing: {MEND}.")
        with self.source.open(LABELS) as file:
            dtype, shape, offset = _header(file, where)
            _require(dtype.kind in "iu", where, f"holds {dtype}, expected integers")
            wanted = (len(SEVERITIES) * self.count,)
            _require(shape == wanted, where, f"has shape {shape}, expected {wanted}")
            _require_size(file, where, offset + math.prod(shape) * dtype.itemsize)
            labels = _array(file, where, offset, dtype, shape).astype(np.int64)
        blocks = labels.reshape(len(SEVERITIES), self.count)
        fits = labels.min() >= 0 and labels.max() < CLASSES
        _require(fits, where, f"holds labels from {labels.min()} to {labels.max()}, expected 0 to {CLASSES - 1}")
        for severity, block in zip(SEVERITIES, blocks, strict=True):
            same = np.array_equal(block, blocks[0])
            _require(same, where, f"is reordered or damaged (severity {severity} has other labels than severity 1)")
        if self._clean is not None:
            same = np.array_equal(blocks[0], self._clean[0])
            _require(same, where, "has other labels than the test images of CIFAR-10")
        first: Labels = blocks[0]
        return first

    @cached_property
    def _clean(self) -> tuple[Labels, NDArray[np.float64]] | None:
        """Return labels and thumbnails of the sample of clean test images, or None if they are not there."""
        try:
            split = cifar10.load("test", self.data_dir)
        except InputError:
            return None
        if len(split) != self.count:
            return split.y.numpy(), np.empty(0)
        sample = split.x[torch.from_numpy(self._sample)].permute(0, 2, 3, 1).numpy()
        return split.y.numpy(), _thumbnails(sample)

    @property
    def _sample(self) -> NDArray[np.intp]:
        return np.linspace(0, self.count - 1, min(SAMPLE, self.count)).astype(np.intp)

    def _check(self, file: IO[bytes], name: str) -> int:
        """Check everything but the images; return the byte at which they begin."""
        where = self.source.where(name)
        dtype, shape, offset = _header(file, where)
        _require(dtype == np.uint8, where, f"holds {dtype}, expected uint8")
        wanted = (len(SEVERITIES) * self.count, *SHAPE)
        _require(shape == wanted, where, f"has shape {shape}, expected {wanted}")
        _require_size(file, where, offset + math.prod(shape))
        return offset

    def _rows(self, file: IO[bytes], name: str, offset: int, severity: int) -> Images:
        begin = offset + (severity - 1) * self.count * math.prod(SHAPE)
        return _array(file, self.source.where(name), begin, np.dtype(np.uint8), (self.count, *SHAPE))

    def _check_order(self, file: IO[bytes], name: str, offset: int, severity: int, images: Images) -> None:
        """Check that images resemble their counterparts more than other images, on average."""
        if self._clean is not None:
            other, what = self._clean[1], "the clean test images"
        else:
            beside = 2 if severity == 1 else 1
            other = _thumbnails(self._rows(file, name, offset, beside)[self._sample])
            what = f"severity {beside}"
        gain = _agreement(_thumbnails(images[self._sample]), other)
        problem = f"is reordered or damaged (the images of severity {severity} are not in the order of {what})"
        _require(gain > Z, self.source.where(name), problem)


class _Source(Protocol):
    """The folder or archive with the files.

    Attributes:
        path: of the folder or archive.
        names: the files in it.
        verified: whether the published checksum holds.
    """

    path: Path
    names: frozenset[str]
    verified: bool

    def where(self, name: str) -> str:
        """Return the name of a file for messages."""

    def open(self, name: str) -> Any:
        """Return a context with the file, which can be read from any position."""


class _Folder:
    """Files in a folder."""

    verified = False

    def __init__(self, path: Path, names: frozenset[str]) -> None:
        self.path, self.names = path, names

    @classmethod
    def find(cls, path: Path) -> "_Folder | None":
        """Return the folder if it holds a corruption, else None."""
        names = frozenset(file.name for file in path.glob("*.npy"))
        return cls(path, names) if in_order(name.removesuffix(".npy") for name in names) else None

    def where(self, name: str) -> str:
        return f"'{self.path / name}'"

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with (self.path / name).open("rb") as file:
                yield file
        except OSError as error:
            raise InputError(f"{self.where(name)} cannot be read ({error.strerror or error}): {MEND}.") from error


class _Archive:
    """Files in the published archive, which is not unpacked."""

    verified = True

    def __init__(self, path: Path, md5: str) -> None:
        self.path = path
        self._members = _members(path)
        self.names = frozenset(self._members)
        status = path.stat()
        found = _md5(path, status.st_size, status.st_mtime_ns)
        _require(found == md5, f"'{path}'", f"has md5 {found[:12]}, the published archive {md5[:12]}")
        _require(bool(in_order(name.removesuffix(".npy") for name in self.names)), f"'{path}'", "has no corruption")

    def where(self, name: str) -> str:
        return f"'{name}' in '{self.path}'"

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with tarfile.open(self.path, "r:") as archive:
                file = archive.extractfile(self._members[name])
                if file is None:
                    raise InputError(f"{self.where(name)} is no file: {MEND}.")
                with file:
                    yield file
        except (OSError, tarfile.TarError) as error:
            raise InputError(f"{self.where(name)} cannot be read ({error}): {MEND}.") from error


def _members(path: Path) -> dict[str, tarfile.TarInfo]:
    """Return the archive's files by name, without the folder.

    Raises:
        InputError: the file is not an archive or truncated, or has a member whose path leads out of its folder.
    """
    found = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                pure = PurePosixPath(member.name)
                inside = not pure.is_absolute() and ".." not in pure.parts and "\\" not in member.name
                _require(inside, f"'{path}'", f"has a member '{member.name}' whose path leads out of its folder")
                _require(member.isreg() or member.isdir(), f"'{path}'", f"has a link or device '{member.name}'")
                if member.isreg() and pure.parts[:-1] in ((), (FOLDER,)):
                    found[pure.name] = member
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"'{path}' is truncated or no tar archive ({error}): {MEND}.") from error
    return found


@cache
def _md5(path: Path, size: int, changed: int) -> str:
    """Return the MD5 of a file, computed once per process while the file does not change: the archive has 2.9 GB."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _header(file: IO[bytes], where: str) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Read dtype, shape and the byte at which the values begin; nothing is unpickled."""
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        file.seek(0)
        shape, fortran, dtype = readers[npy.read_magic(file)](file)
    except MALFORMED as error:
        raise InputError(f"{where} is no array in NumPy's format: {MEND}.") from error
    _require(not dtype.hasobject, where, "holds Python objects, which can carry code")
    _require(not fortran, where, "is stored column by column")
    return dtype, shape, file.tell()


def _array(file: IO[bytes], where: str, begin: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Read only some values of a file."""
    size = math.prod(shape) * dtype.itemsize
    file.seek(begin)
    raw = file.read(size)
    _require(len(raw) == size, where, "is truncated")
    return np.frombuffer(raw, dtype).reshape(shape)


def _require_size(file: IO[bytes], where: str, size: int) -> None:
    found = file.seek(0, 2)
    kind = "is truncated" if found < size else "has something behind its end"
    _require(found == size, where, f"{kind} ({found:,} bytes, expected {size:,})")


def _require(holds: bool, where: str, problem: str) -> None:
    if not holds:
        raise InputError(f"{where} {problem}: {MEND}.")


def _thumbnails(images: NDArray[Any]) -> NDArray[np.float64]:
    """Reduce images (N, 32, 32, 3) to 8x8, flat, centred and of length 1."""
    small = images.reshape(len(images), 8, 4, 8, 4, 3).mean((2, 4)).reshape(len(images), -1)
    small = small - small.mean(1, keepdims=True)
    return np.asarray(small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-12))


def _agreement(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Return the gain in agreement of counterparts over neighbours, in standard errors."""
    gain = (left * right).sum(1) - (left * np.roll(right, 1, axis=0)).sum(1)
    return float(gain.mean() / max(gain.std() / math.sqrt(len(gain)), 1e-12))
