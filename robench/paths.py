"""Where declared data lives (a checkout or an installed wheel) and how files are written whole or not at all."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from robench.errors import InputError

PACKAGE = Path(__file__).resolve().parent
TEMPORARY = ".tmp-"
OPENS_FOLDERS = os.name != "nt"
"""Whether a folder can be opened, and so synced, like a file: not on Windows."""

NAME = re.compile(r"[A-Za-z0-9_+@-][A-Za-z0-9._+@-]{0,99}")
"""What may become part of a file's name."""


@cache
def data_root() -> Path:
    """The folder that holds attacks/, models/ and results/: the checkout's if there is one, else the wheel's."""
    checkout = PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "attacks" / "batteries.toml").is_file():
        return checkout
    return PACKAGE / "_data"


def default_results() -> Path:
    """Where runs are kept unless told otherwise: the checkout's results/, else ./results."""
    root = data_root()
    return Path("results") if root.is_relative_to(PACKAGE) else root / "results"


def results_folders(results: Path | None = None) -> list[Path]:
    """Where records are read from: the given results folder, or what robench ships and the default one."""
    return [results] if results else list(dict.fromkeys([data_root() / "results", default_results()]))


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; on success it is synced and renamed, on error removed.

    Raises:
        InputError: the disk is full, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as written:  # Windows syncs only what it may write
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; on success it is renamed, on error removed.

    The folders above it that had to be made go too.

    Raises:
        InputError: the disk is full, the place cannot be written, or something is there already.
    """
    made = [each for each in folder.parents if not os.path.lexists(each)]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            temporary.rename(folder)
            _sync_folder(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # not there any more where all went well
    except OSError as error:
        raise _unwritten(folder, error) from error
    finally:
        for each in made:
            if each.is_dir() and not any(each.iterdir()):
                each.rmdir()


def _unwritten(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write '{path}' ({error.strerror or error}): free some space, mend its folder's permissions, "
        "or name another place; what was finished before is kept."
    )


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def require_name(name: str, what: str) -> None:
    """Names become parts of file names.

    Raises:
        InputError: empty, longer than 100 characters, or with others than letters, digits and `. _ + @ -`.
    """
    if not NAME.fullmatch(name) or ".chunks" in name:
        raise InputError(
            f"{what} '{name[:40]}' must be 1 to 100 letters, digits, or . _ + @ -, and not begin with a dot."
        )


def require_writable(folder: Path, option: str) -> None:
    """Fail now rather than after hours of work.

    Raises:
        InputError: the folder cannot be made, or nothing can be written in it; names the option that chose it.
    """
    probe = folder / ".writable"
    try:
        with atomic_path(probe) as temporary:
            temporary.write_bytes(b"\0" * 65536)
    except InputError as error:
        reason = getattr(error.__cause__, "strerror", None) or error.__cause__
        raise InputError(
            f"cannot write to '{folder}' ({reason}): free some space, mend its permissions, "
            f"or name another place with {option}."
        ) from error
    probe.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if not OPENS_FOLDERS:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
