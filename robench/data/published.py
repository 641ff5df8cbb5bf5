"""Published corrupted test sets by name, and the datasets whose test images they corrupt."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from robench.data.corrupted import CorruptedSet

DEFAULT_DIR = Path("data")
"""The folder of downloaded datasets unless --data-dir names another."""
Kind = Literal["common", "3d"]
"""Kinds of corruptions: common ones, or those that take the depth of the scene into account."""


@dataclass(frozen=True)
class PublishedSet:
    """A corrupted test set that others have published.

    Attributes:
        name: the set's name.
        dataset: name of the dataset whose test images it corrupts.
        loader: module with `find(data_dir) -> CorruptedSet`.
        battery: battery that evaluates on it.
        kind: kind of its corruptions.
    """

    name: str
    dataset: str
    loader: str
    battery: str = "corruptions"
    kind: Kind = "common"

    @property
    def about(self) -> str:
        """One line for lists."""
        return f"published corrupted test images of {self.dataset}: `--dataset {self.dataset} --battery {self.battery}`"

    def open(self, data_dir: Path | None = None) -> "CorruptedSet":
        """Open the set.

        Raises:
            DatasetNotFound: it is not there.
            InputError: it is there, but damaged.
        """
        found: CorruptedSet = import_module(self.loader).find(data_dir or DEFAULT_DIR)
        return found


PUBLISHED = {
    each.name: each
    for each in (
        PublishedSet("cifar10-c", "cifar10", "robench.data.cifar10_c"),
        PublishedSet("cifar100-c", "cifar100", "robench.data.cifar100_c"),
        PublishedSet("imagenet-c", "imagenet", "robench.data.imagenet_c"),
        PublishedSet("tiny-imagenet-c", "tiny-imagenet", "robench.data.tiny_imagenet_c"),
        PublishedSet("imagenet-3dcc", "imagenet", "robench.data.imagenet_3dcc", "corruptions-3d", "3d"),
    )
}


def open_corrupted(name: str, data_dir: Path | None = None, kind: Kind = "common") -> "CorruptedSet":
    """Open the published corrupted version of a dataset's test images.

    Raises:
        DatasetNotFound: none was published, or it is not there.
        InputError: it is there, but damaged.
    """
    from robench.data.corrupted import DatasetNotFound

    fitting = {each.dataset: each for each in PUBLISHED.values() if each.kind == kind}
    if name not in fitting:
        what = "published corrupted version" if kind == "common" else "published 3D corruptions"
        raise DatasetNotFound(f"'{name}' has no {what}, only {', '.join(fitting)}.")
    return fitting[name].open(data_dir)


def find_corrupted(name: str, data_dir: Path | None = None) -> "CorruptedSet | None":
    """Open the published commonly corrupted version of a dataset's test images; return None if it is not there.

    Raises:
        InputError: it is there, but damaged.
    """
    from robench.data.corrupted import DatasetNotFound

    try:
        return open_corrupted(name, data_dir)
    except DatasetNotFound:
        return None
