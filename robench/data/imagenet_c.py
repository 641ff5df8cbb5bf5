"""ImageNet-C (Hendrycks and Dietterich, ICLR 2019) from its folders of JPEG files: corruption/severity/class/.

The images are the validation images of ImageNet, already 224x224, with the same file names. If the clean images are
there, they tell which images to expect and their numbers. Otherwise the numbers of classes and of images per class must
be the published ones, which gives the same numbering.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from robench.data import imagenet
from robench.data.corrupted import KNOWN, DatasetNotFound, in_order, named, require, summary
from robench.data.split import Split
from robench.errors import InputError
from robench.specs.corruption import SEVERITIES

FOLDERS = ("ImageNet-C", "imagenet-c", "")
GROUPS = ("", "noise", "blur", "weather", "digital", "extra")
"""Folders between the dataset's and a corruption's: unpacked archives may keep their name as one."""

CLASSES, PER_CLASS, SIZE = 1000, 50, 224
SUFFIXES = (".jpeg", ".jpg")
MEND = "get ImageNet-C again from Zenodo, record 2235448"


def find(data_dir: Path, classes: int = CLASSES, per_class: int = PER_CLASS) -> "ImageNetC":
    """Find the folder ImageNet-C below the data folder, else corruptions in the data folder itself.

    Args:
        data_dir: folder to search; the clean images may be in val/ there.
        classes: number of classes, if the clean images are not there.
        per_class: number of images per class, if the clean images are not there.

    Raises:
        DatasetNotFound: there is no corruption.
    """
    for path in (data_dir / folder for folder in FOLDERS):
        places = {name: path / group / name for group in GROUPS for name in KNOWN if (path / group / name).is_dir()}
        if places:
            return ImageNetC(path, places, data_dir, classes, per_class)
    raise DatasetNotFound(
        f"ImageNet-C is not in '{data_dir}': it needs {FOLDERS[0]}/<corruption>/<severity>/<class>/*.JPEG there "
        "(Zenodo, record 2235448), or name its folder with --data-dir."
    )


class _File(NamedTuple):
    path: Path
    label: int
    id: int


class ImageNetC:
    """ImageNet-C, read one corruption and severity at a time."""

    name = "imagenet-c"

    def __init__(self, path: Path, places: dict[str, Path], data_dir: Path, classes: int, per_class: int) -> None:
        self.path, self.places, self.data_dir = path, places, data_dir
        self.expected, self.per_class = classes, per_class
        self.corruptions = in_order(places)

    def load(self, corruption: str, severity: int, limit: int | None = None, ids: Sequence[int] | None = None) -> Split:
        """Load images of one corruption at one severity, in the order of the clean ones; all need 30 GB.

        Raises:
            InputError: something is not there, or an image is damaged.
        """
        require(self.path, self.corruptions, corruption, severity, limit)
        self._require_whole([(corruption, severity)])
        files = self._files(corruption, severity, limit, ids)
        x = torch.empty(len(files), 3, SIZE, SIZE)
        for place, file in enumerate(files):
            x[place] = _image(file.path)
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
        return summary(self.path, self.corruptions, f"{len(files):,} images looked at")

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
            if len(found) == self.expected:
                return sorted(found)
        raise InputError(f"'{self.path}' has {len(found):,} class folders, expected {self.expected:,}: {MEND}.")

    @cached_property
    def _clean(self) -> Any:
        """Return the clean images' folder, or None if it is not there."""
        try:
            return imagenet.files("test", self.data_dir, augmented=False)
        except InputError:
            return None

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
            raise InputError(f"'{self.path}' lacks {named(faults)}: {MEND}.")

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
                raise InputError(f"'{cell}' lacks the images {named(missing)}: {MEND}.")
            return files
        files = []
        for label, name in enumerate(self.classes):
            paths = sorted(path for path in (cell / name).iterdir() if path.suffix.lower() in SUFFIXES)
            if len(paths) != self.per_class:
                raise InputError(f"'{cell / name}' has {len(paths)} images, expected {self.per_class}: {MEND}.")
            files += [_File(path, label, len(files) + i) for i, path in enumerate(paths)]
            if limit is not None and len(files) >= limit:
                break
        return files[:limit] if ids is None else [files[i] for i in ids if i < len(files)]


def _folders(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir() if entry.is_dir()} if path.is_dir() else set()


def _image(path: Path) -> Tensor:
    """Read an image in [0, 1], (3, 224, 224)."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"'{path}' is no readable image ({error}): {MEND}.") from error
    if pixels.shape != (SIZE, SIZE, 3):
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise InputError(f"'{path}' is {size}, expected {SIZE}x{SIZE}: {MEND}.")
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255
