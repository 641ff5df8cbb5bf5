"""CIFAR-10-C and CIFAR-100-C (Hendrycks and Dietterich, ICLR 2019), from the published archive or its unpacked folder.

Each corruption has one `.npy` file with the 10,000 test images five times, severity 1 first, uint8 (50000, 32, 32, 3);
`labels.npy` belongs to all. The archive has a published checksum, the files in it have none. In a folder, therefore,
the order of the labels is checked, and a sample of the images is compared with the clean ones or, without those, with
another severity.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from robench.data.corrupted import COMMON, DatasetNotFound, require, summary
from robench.data.counterparts import in_one_order, thumbnails
from robench.data.npy_files import Archive, Folder, NpyFile, Publication, Source
from robench.data.split import Split
from robench.errors import InputError
from robench.specs.corruption import SEVERITIES

COUNT, SHAPE, LABELS = 10_000, (32, 32, 3), "labels.npy"
SAMPLE, FEWEST = 1000, 100
"""Number of images to compare, and fewest images that can be compared."""


@dataclass(frozen=True)
class Edition:
    """The corrupted version of one of the two datasets.

    Attributes:
        publication: its archive and folder.
        name: the set's name on the command line.
        clean_name: the clean dataset's name for messages.
        classes: number of classes.
        clean: loads the clean test images from a data folder.
    """

    publication: Publication
    name: str
    clean_name: str
    classes: int
    clean: Callable[[Path], Split]


def find_edition(edition: Edition, data_dir: Path, count: int = COUNT) -> "CifarC":
    """Find the set's folder below the data folder, else files in the data folder itself, else the archive there.

    Args:
        edition: which of the two sets.
        data_dir: folder to search.
        count: number of images per severity.

    Raises:
        DatasetNotFound: none of the three is there.
        InputError: the archive is not the published one.
    """
    published = edition.publication
    for path in (data_dir / published.title, data_dir):
        folder = Folder(published, path)
        if _corruptions(folder):
            return CifarC(edition, folder, data_dir, count)
    path = data_dir / published.archive
    if path.is_file():
        archive = Archive(published, path)
        published.require(bool(_corruptions(archive)), f"'{path}'", "has no corruption")
        return CifarC(edition, archive, data_dir, count)
    raise DatasetNotFound(
        f"{published.title} is not in '{data_dir}': put {published.archive} (Zenodo, record {published.record}) or its "
        f"folder {published.title} there, or name its folder with --data-dir."
    )


class CifarC:
    """CIFAR-10-C or CIFAR-100-C, read one corruption and severity at a time."""

    family = COMMON

    def __init__(self, edition: Edition, source: Source, data_dir: Path, count: int) -> None:
        self.edition, self.source, self.data_dir, self.count = edition, source, data_dir, count
        self.name = edition.name
        self.corruptions = _corruptions(source)

    def load(self, corruption: str, severity: int, limit: int | None = None, ids: Sequence[int] | None = None) -> Split:
        """Load one corruption at one severity, in the order of the clean test images.

        Raises:
            InputError: it is not there, damaged or reordered.
        """
        require(self.source.path, self.corruptions, corruption, severity, limit)
        labels = self.labels
        name = f"{corruption}.npy"
        with self.source.open(name) as file:
            found = self._checked(NpyFile.opened(self.source, name, file))
            images = self._severity(found, severity)
            if self.count >= FEWEST and not self.source.verified:
                self._check_order(found, severity, images)
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
                self._checked(NpyFile.opened(self.source, name, file))
        found = summary(self.source.path, self.corruptions, f"{self.count:,} images each")
        return f"{found}, checksum holds" if self.source.verified else found

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Read the test labels.

        Raises:
            InputError: the labels are not there, damaged, reordered, or not those of the clean test images.
        """
        if LABELS not in self.source.names:
            self.edition.publication.refuse(self.source.where(LABELS), "is missing")
        with self.source.open(LABELS) as opened:
            file = NpyFile.opened(self.source, LABELS, opened)
            file.require(file.dtype.kind in "iu", f"holds {file.dtype}, expected integers")
            file.require_whole((len(SEVERITIES) * self.count,))
            labels = file.rows(0, len(SEVERITIES) * self.count).astype(np.int64)
        last = self.edition.classes - 1
        low, high = labels.min(), labels.max()
        file.require(low >= 0 and high <= last, f"holds labels from {low} to {high}, expected 0 to {last}")
        if self.count == COUNT:
            classes = len(np.unique(labels))
            file.require(classes == last + 1, f"holds labels of {classes} classes, expected {last + 1}")
        blocks = labels.reshape(len(SEVERITIES), self.count)
        for severity, block in zip(SEVERITIES, blocks, strict=True):
            same = np.array_equal(block, blocks[0])
            file.require(same, f"is reordered or damaged (severity {severity} has other labels than severity 1)")
        if self._clean is not None:
            same = np.array_equal(blocks[0], self._clean[0])
            file.require(same, f"has other labels than the test images of {self.edition.clean_name}")
        first: NDArray[np.int64] = blocks[0]
        return first

    @cached_property
    def _clean(self) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """Return labels and thumbnails of the sample of clean test images, or None if they are not there."""
        try:
            split = self.edition.clean(self.data_dir)
        except InputError:
            return None
        if len(split) != self.count:
            return split.y.numpy(), np.empty(0)
        sample = split.x[torch.from_numpy(self._sample)].permute(0, 2, 3, 1).numpy()
        return split.y.numpy(), thumbnails(sample)

    @property
    def _sample(self) -> NDArray[np.intp]:
        return np.linspace(0, self.count - 1, min(SAMPLE, self.count)).astype(np.intp)

    def _checked(self, file: NpyFile) -> NpyFile:
        """Check everything but the images."""
        file.require(file.dtype == np.uint8, f"holds {file.dtype}, expected uint8")
        file.require_whole((len(SEVERITIES) * self.count, *SHAPE))
        return file

    def _severity(self, file: NpyFile, severity: int) -> NDArray[np.uint8]:
        return file.rows((severity - 1) * self.count, severity * self.count)

    def _check_order(self, file: NpyFile, severity: int, images: NDArray[np.uint8]) -> None:
        """Check that images are in the order of the clean ones or, without those, of another severity."""
        if self._clean is not None:
            other, what = self._clean[1], "the clean test images"
        else:
            beside = 2 if severity == 1 else 1
            other = thumbnails(self._severity(file, beside)[self._sample])
            what = f"severity {beside}"
        problem = f"is reordered or damaged (the images of severity {severity} are not in the order of {what})"
        file.require(in_one_order(thumbnails(images[self._sample]), other), problem)


def _corruptions(source: Source) -> list[str]:
    """Return the names of the corruptions in a folder or archive, in the paper's order."""
    return COMMON.in_order(name.removesuffix(".npy") for name in source.names)
