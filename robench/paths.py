"""Folders of declared data (in a checkout or an installed wheel), and files that are written whole or not at all."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from robench.errors import InputError

PACKAGE = Path(__file__).resolve().parent
TEMPORARY = ".tmp-"
OPENS_FOLDERS = os.name != "nt"
"""False on Windows, where a folder cannot be opened like a file and so cannot be synced."""

CACHE = "ROBENCH_CACHE"
"""The environment variable that names another folder for the cache."""

NAME = re.compile(r"[A-Za-z0-9_+@-][A-Za-z0-9._+@-]{0,99}")
"""Names that can be part of a file's name."""


@cache
def data_root() -> Path:
    """Return the folder with attacks/, models/ and results/: that of the checkout if there is one, else the wheel's."""
    checkout = PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "attacks" / "batteries.toml").is_file():
        return checkout
    return PACKAGE / "_data"


def default_results() -> Path:
    """Return the default folder for results: ./results; within a checkout, the checkout's results/."""
    root = data_root()
    within = not root.is_relative_to(PACKAGE) and Path.cwd().is_relative_to(root)
    return root / "results" if within else Path("results")


def results_folders(results: Path | None = None) -> list[Path]:
    """Return the folders to read records from: the given one, or that which robench ships and the default one."""
    return [results] if results else list(dict.fromkeys([data_root() / "results", default_results()]))


def user_cache() -> Path:
    """Return the user's cache folder of robench, or the folder that ROBENCH_CACHE names."""
    return Path(os.environ.get(CACHE) or user_cache_path("robench", appauthor=False))


@contextmanager
def atomic_path(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary file beside `path`; on success sync and rename it, on error remove it.

    Args:
        path: the file to write.
        mode: its permissions.

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
            temporary.chmod(mode)
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error


@contextmanager
def atomic_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; on success rename it, on error remove it.

    On error, folders above that had to be created are removed as well.

    Args:
        folder: the place of the new folder.
        replace: on success, put the new folder in the place of a folder that is already there.

    Raises:
        InputError: the disk is full, the place cannot be written, or something is already there.
    """
    made = [each for each in folder.parents if not os.path.lexists(each)]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            if replace and folder.is_dir():
                _put_in_place_of(folder, temporary)
            else:
                temporary.rename(folder)
            _sync_folder(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # gone already after a success
    except OSError as error:
        raise _unwritten(folder, error) from error
    finally:
        for each in made:
            if each.is_dir() and not any(each.iterdir()):
                each.rmdir()


def _put_in_place_of(old: Path, new: Path) -> None:
    """Move a folder to the place of another and remove the other; if the move fails, the other stays in its place."""
    aside = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=old.parent)) / old.name
    try:
        old.rename(aside)
        new.rename(old)
    finally:
        if aside.is_dir() and not old.exists():  # also after Ctrl-C between the two moves
            aside.rename(old)
        if old.exists():
            shutil.rmtree(aside.parent, ignore_errors=True)


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
    """Check that a name can be part of a file's name.

    Raises:
        InputError: the name is empty, longer than 100 characters, or has others than letters, digits and `. _ + @ -`.
    """
    if not NAME.fullmatch(name) or ".chunks" in name:
        raise InputError(
            f"{what} '{name[:40]}' must be 1 to 100 letters, digits, or . _ + @ -, and not begin with a dot."
        )


def require_writable(folder: Path, option: str) -> None:
    """Check that a folder can be written, before hours of work.

    Raises:
        InputError: the folder cannot be created or written; the message names the option that chose it.
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
