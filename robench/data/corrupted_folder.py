"""Published corrupted sets in folders of image files: corruption/severity/class/, as ImageNet-C is unpacked.

The images are test images of a clean dataset. If the clean images are there, their file names tell which images to
expect and their numbers. Otherwise the numbers of classes and of images per class must be the published ones; then the
images are numbered class by class, in the order of their file names.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from robench.data.corrupted import COMMON, DatasetNotFound, Family, named, require, summary
from robench.data.split import Split
from robench.errors import InputError
from robench.specs.corruption import SEVERITIES

GROUPS = ("", "noise", "blur", "weather", "digital", "extra")
"""Folders between the set's and a corruption's: unpacked archives may keep their name as one."""
SUFFIXES = (".jpeg", ".jpg", ".png")


@dataclass(frozen=True)
class Layout:
    """A published set of image files.

    Attributes:
        name: on the command line.
        title: the authors' name, and that of the folder.
        place: where it is published.
        classes, per_class: numbers of classes and of images per class, if the clean images are not there.
        size: pixels of a side.
        family: its corruptions.
        folders: names that its folder may have below the data folder, besides the title; "" for the data folder.
        clean: returns the clean images' folder of torchvision, or None if it is not there; their names are the set's.
        resized: whether images of another size are resized, as the published protocol does it.
    """

    name: str
    title: str
    place: str
    classes: int
    per_class: int
    size: int
    family: Family = COMMON
    folders: tuple[str, ...] = ("",)
    clean: Callable[[Path], Any] = lambda data_dir: None
    resized: bool = False

    @property
    def mend(self) -> str:
        """Mend of what is missing or damaged."""
        return f"get {self.title} again from {self.place}"


def find_folder(layout: Layout, data_dir: Path) -> "FolderSet":
    """Find the set's folder below the data folder, else corruptions in the data folder itself.

    Raises:
        DatasetNotFound: there is no corruption.
    """
    known = layout.family.known
    for path in (data_dir / folder for folder in (layout.title, *layout.folders)):
        places = {name: path / group / name for group in GROUPS for name in known if (path / group / name).is_dir()}
        if places:
            return FolderSet(layout, path, places, data_dir)
    raise DatasetNotFound(
        f"{layout.title} is not in '{data_dir}': it needs {layout.title}/<corruption>/<severity>/<class>/*.JPEG there "
        f"({layout.place}), or name its folder with --data-dir."
    )


class _File(NamedTuple):
    path: Path
    label: int
    id: int


class FolderSet:
    """A published set of image files, read one corruption and severity at a time."""

    def __init__(self, layout: Layout, path: Path, places: dict[str, Path], data_dir: Path) -> None:
        self.layout, self.path, self.places, self.data_dir = layout, path, places, data_dir
        self.name, self.family = layout.name, layout.family
        self.corruptions = layout.family.in_order(places)

    def load(self, corruption: str, severity: int, limit: int | None = None, ids: Sequence[int] | None = None) -> Split:
        """Load images of one corruption at one severity, in the order of the clean ones; all of ImageNet's need 30 GB.

        Raises:
            InputError: something is not there, or an image is damaged.
        """
        require(self.path, self.corruptions, corruption, severity, limit, self.family)
        self._require_whole([(corruption, severity)])
        files = self._files(corruption, severity, limit, ids)
        size = self.layout.size
        x = torch.empty(len(files), 3, size, size)
        for place, file in enumerate(files):
            x[place] = _image(file.path, self.layout)
        labels, numbers = (torch.tensor(column) for column in ([f.label for f in files], [f.id for f in files]))
        return Split.checked(f"{self.name}/{corruption}/{severity}", x, labels, numbers)

    def fingerprint(self, corruption: str, limit: int | None = None, ids: Sequence[int] | None = None) -> str:
        """Return the SHA-256 of the names and sizes of a corruption's files.

        Reading all files would take longer than classifying the images.

        Raises:
            InputError: images are missing.
        """
        total = hashlib.sha256()
        for severity in SEVERITIES:
            for file in self._files(corruption, severity, limit, ids):
                total.update(
                    f"{severity}/{file.path.parent.name}/{file.path.name} {file.path.stat().st_size}\n".encode()
                )
        return total.hexdigest()

    def describe(self) -> str:
        """Describe in one line what is there, from the names of all class folders and of the files of one cell.

        Raises:
            InputError: severities, classes or images are missing.
        """
        self._require_whole([(corruption, severity) for corruption in self.corruptions for severity in SEVERITIES])
        files = self._files(self.corruptions[0], SEVERITIES[0], None)
        return summary(self.path, self.corruptions, f"{len(files):,} images looked at", self.family)

    @cached_property
    def classes(self) -> list[str]:
        """Return the names of the class folders in the order of labels.

        Raises:
            InputError: there are not as many as published.
        """
        if self._clean is not None:
            return list(self._clean.classes)
        found: set[str] = set()
        for cell in (self._cell(corruption, severity) for corruption in self.corruptions for severity in SEVERITIES):
            found |= _folders(cell)
            if len(found) == self.layout.classes:
                return sorted(found)
        raise InputError(
            f"'{self.path}' has {len(found):,} class folders, expected {self.layout.classes:,}: {self.layout.mend}."
        )

    @cached_property
    def _clean(self) -> Any:
        """Return the clean images' folder, or None if it is not there."""
        return self.layout.clean(self.data_dir)

    def _require_whole(self, cells: list[tuple[str, int]]) -> None:
        absent = [f"{name}/{severity}" for name, severity in cells if not self._cell(name, severity).is_dir()]
        faults = [f"severities {named(absent)}"] if absent else []
        known = set(self.classes) if len(absent) < len(cells) else set()
        for name, severity in cells:
            if f"{name}/{severity}" in absent:
                continue
            there = _folders(self._cell(name, severity))
            if missing := sorted(known - there):
                faults.append(f"classes {named(missing)} of {name}/{severity}")
            if strange := sorted(there - known):
                cell = self._cell(name, severity)
                raise InputError(f"'{cell}' has class folders of its own ({named(strange)}): take them out.")
        if faults:
            raise InputError(f"'{self.path}' lacks {named(faults)}: {self.layout.mend}.")

    def _cell(self, corruption: str, severity: int) -> Path:
        return self.places[corruption] / str(severity)

    def _files(
        self, corruption: str, severity: int, limit: int | None, ids: Sequence[int] | None = None
    ) -> list[_File]:
        """Return the chosen files, or the first in the dataset's order; no folder behind the last one is listed."""
        cell = self._cell(corruption, severity)
        if ids is not None:
            limit = max(ids) + 1
        if self._clean is not None:
            samples = self._clean.samples
            rows = [i for i in ids if i < len(samples)] if ids is not None else range(len(samples))[:limit]
            pairs = [(i, Path(samples[i][0]), samples[i][1]) for i in rows]
            files = [_File(cell / p.parent.name / p.name, label, i) for i, p, label in pairs]
            if missing := [f"{file.path.parent.name}/{file.path.name}" for file in files if not file.path.is_file()]:
                raise InputError(f"'{cell}' lacks the images {named(missing)}: {self.layout.mend}.")
            return files
        files = []
        for label, name in enumerate(self.classes):
            paths = sorted(path for path in (cell / name).iterdir() if path.suffix.lower() in SUFFIXES)
            if len(paths) != self.layout.per_class:
                raise InputError(
                    f"'{cell / name}' has {len(paths)} images, expected {self.layout.per_class}: {self.layout.mend}."
                )
            files += [_File(path, label, len(files) + i) for i, path in enumerate(paths)]
            if limit is not None and len(files) >= limit:
                break
        return files[:limit] if ids is None else [files[i] for i in ids if i < len(files)]


def _folders(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir() if entry.is_dir()} if path.is_dir() else set()


def _image(path: Path, layout: Layout) -> Tensor:
    """Read an image in [0, 1], (3, size, size)."""
    from PIL import Image

    size = layout.size
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
            if layout.resized and image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            pixels = np.array(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"'{path}' is no readable image ({error}): {layout.mend}.") from error
    if pixels.shape != (size, size, 3):
        found = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise InputError(f"'{path}' is {found}, expected {size}x{size}: {layout.mend}.")
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255
