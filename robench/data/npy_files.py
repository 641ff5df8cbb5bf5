"""NumPy files of a published set, in a folder or in an archive that is not unpacked; single ranges of them are read."""

import hashlib
import math
import tarfile
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from robench.errors import InputError

MALFORMED = (ValueError, KeyError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)
"""Errors that NumPy raises for an invalid header."""


@dataclass(frozen=True)
class Publication:
    """A published set of `.npy` files.

    Attributes:
        title: the set's name, which is also the name of its folder.
        record: number of its record at Zenodo.
        md5: checksum of its archive there.
    """

    title: str
    record: str
    md5: str

    @property
    def archive(self) -> str:
        """Name of the published archive."""
        return f"{self.title}.tar"

    @property
    def mend(self) -> str:
        """Mend of a damaged file."""
        return f"get {self.title} again from Zenodo, record {self.record}"

    def refuse(self, where: str, problem: str) -> NoReturn:
        """Raise an InputError about a file or archive."""
        raise InputError(f"{where} {problem}: {self.mend}.")

    def require(self, holds: bool, where: str, problem: str) -> None:
        """Raise an InputError about a file or archive unless something holds."""
        if not holds:
            self.refuse(where, problem)


class Source(Protocol):
    """The folder or archive with the files.

    Attributes:
        publication: the set that the files belong to.
        path: of the folder or archive.
        names: the files in it.
        verified: whether the published checksum holds.
    """

    publication: Publication
    path: Path
    names: frozenset[str]
    verified: bool

    def where(self, name: str) -> str:
        """Return the name of a file for messages."""

    def open(self, name: str) -> Any:
        """Return a context with the file, which can be read from any position."""


class Folder:
    """Files in a folder."""

    verified = False

    def __init__(self, publication: Publication, path: Path) -> None:
        self.publication, self.path = publication, path
        self.names = frozenset(file.name for file in path.glob("*.npy"))

    def where(self, name: str) -> str:
        return f"'{self.path / name}'"

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with (self.path / name).open("rb") as file:
                yield file
        except OSError as error:
            self.publication.refuse(self.where(name), f"cannot be read ({error.strerror or error})")


class Archive:
    """Files in the published archive, which is not unpacked.

    Raises:
        InputError: the file is no archive, or not the published one.
    """

    verified = True

    def __init__(self, publication: Publication, path: Path) -> None:
        self.publication, self.path = publication, path
        self._members = _members(publication, path)
        self.names = frozenset(self._members)
        status = path.stat()
        found, expected = _md5(path, status.st_size, status.st_mtime_ns), publication.md5
        publication.require(
            found == expected, f"'{path}'", f"has md5 {found[:12]}, the published archive {expected[:12]}"
        )

    def where(self, name: str) -> str:
        return f"'{name}' in '{self.path}'"

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with tarfile.open(self.path, "r:") as archive:
                file = archive.extractfile(self._members[name])
                if file is None:
                    self.publication.refuse(self.where(name), "is no file")
                with file:
                    yield file
        except (OSError, tarfile.TarError) as error:
            self.publication.refuse(self.where(name), f"cannot be read ({error})")


@dataclass(frozen=True)
class NpyFile:
    """An open file of a source, with what its header says.

    Attributes:
        file: the open file.
        where: its name for messages.
        publication: the set that it belongs to.
        dtype, shape: of the array in it.
        offset: the byte at which the values begin.
    """

    file: IO[bytes]
    where: str
    publication: Publication
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def opened(cls, source: Source, name: str, file: IO[bytes]) -> "NpyFile":
        """Read the header of an open file; nothing is unpickled.

        Raises:
            InputError: the header is damaged, or the array holds objects or is stored column by column.
        """
        where, publication = source.where(name), source.publication
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        try:
            file.seek(0)
            shape, fortran, dtype = readers[npy.read_magic(file)](file)
        except MALFORMED as error:
            raise InputError(f"{where} is no array in NumPy's format: {publication.mend}.") from error
        publication.require(not dtype.hasobject, where, "holds Python objects, which can carry code")
        publication.require(not fortran, where, "is stored column by column")
        return cls(file, where, publication, dtype, shape, file.tell())

    def require(self, holds: bool, problem: str) -> None:
        """Raise an InputError about this file unless something holds."""
        self.publication.require(holds, self.where, problem)

    def require_whole(self, shape: tuple[int, ...]) -> None:
        """Check that the array has a shape, and the file the size that follows from it.

        Raises:
            InputError: the shape or the size differs.
        """
        self.require(self.shape == shape, f"has shape {self.shape}, expected {shape}")
        size = self.offset + math.prod(shape) * self.dtype.itemsize
        found = self.file.seek(0, 2)
        kind = "is truncated" if found < size else "has something behind its end"
        self.require(found == size, f"{kind} ({found:,} bytes, expected {size:,})")

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """Read only some rows of the array.

        Raises:
            InputError: the file ends before.
        """
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        size = (end - begin) * row
        self.file.seek(self.offset + begin * row)
        raw = self.file.read(size)
        self.require(len(raw) == size, "is truncated")
        return np.frombuffer(raw, self.dtype).reshape(end - begin, *self.shape[1:])


def _members(publication: Publication, path: Path) -> dict[str, tarfile.TarInfo]:
    """Return the archive's files by name, without the folder.

    Raises:
        InputError: the file is not an archive or truncated, or has a member whose path leads out of its folder.
    """
    found = {}
    require = publication.require
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                pure = PurePosixPath(member.name)
                inside = not pure.is_absolute() and ".." not in pure.parts and "\\" not in member.name
                require(inside, f"'{path}'", f"has a member '{member.name}' whose path leads out of its folder")
                require(member.isreg() or member.isdir(), f"'{path}'", f"has a link or device '{member.name}'")
                if member.isreg() and pure.parts[:-1] in ((), (publication.title,)):
                    found[pure.name] = member
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"'{path}' is truncated or no tar archive ({error}): {publication.mend}.") from error
    return found


@cache
def _md5(path: Path, size: int, changed: int) -> str:
    """Return the MD5 of a file, computed once per process while the file does not change: the archive has 2.9 GB."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
