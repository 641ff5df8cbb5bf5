"""Image files below a folder, and what else lies there."""

import os
from collections import Counter
from pathlib import Path

from robench.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
SYSTEM = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"}
"""Files and folders that operating systems leave, in lower case, besides those that begin with a dot."""
KINDS_NAMED = 4
"""Number of kinds of files that a note names."""


def hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or left by an operating system."""
    return name.startswith(".") or name.lower() in SYSTEM


class LeftOut:
    """Count files and folders that are not read."""

    def __init__(self) -> None:
        self.hidden: list[str] = []
        self.outside = 0
        self.others: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count a file that is not read."""
        if hidden(name):
            self.hidden.append(name)
        elif name.lower().endswith(SUFFIXES):
            self.outside += 1
        else:
            self.others[Path(name).suffix.lower() or "without suffix"] += 1

    def notes(self) -> list[str]:
        """Describe what was left out; empty if nothing was."""
        kinds = self.others.most_common(KINDS_NAMED)
        more = sum(self.others.values()) - sum(count for _, count in kinds)
        said = [f"{count:,} {kind}" for kind, count in kinds] + ([f"{more:,} others"] if more else [])
        found = [f"files that are not read ({', '.join(said)})"] if said else []
        if self.outside:
            found.append(f"{self.outside:,} images outside the class folders")
        if self.hidden:
            found.append(f"{len(self.hidden):,} hidden files or folders ({sorted(self.hidden)[0]})")
        return [f"left out: {each}" for each in found]


def folders(where: Path, left: LeftOut) -> list[str]:
    """Return the names of the visible folders in a folder, sorted; count everything else as left out."""
    found = []
    with os.scandir(where) as entries:
        for entry in entries:
            if entry.is_dir() and not hidden(entry.name):
                found.append(entry.name)
            else:
                left.add(entry.name)
    return sorted(found)


def image_files(folder: Path, left: LeftOut) -> list[str]:
    """Return the paths of the images in a folder and its subfolders, sorted; text, as there may be millions.

    Raises:
        InputError: a folder cannot be read.
    """
    found: list[str] = []
    seen = set()

    def refuse(error: OSError) -> None:
        raise InputError(f"folder '{error.filename}' cannot be read ({error.strerror}): allow it.") from error

    for where, inner, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:  # a link to a folder around it
            inner.clear()
            continue
        seen.add(real)
        for name in inner:
            if hidden(name):
                left.add(name)
        inner[:] = [name for name in inner if not hidden(name)]
        for name in names:
            if name.lower().endswith(SUFFIXES) and not hidden(name):
                found.append(os.path.join(where, name))  # noqa: PTH118 - a Path takes several times as long
            else:
                left.add(name)
    return sorted(found)
