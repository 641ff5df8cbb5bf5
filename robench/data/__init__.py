"""Datasets by name. Listing them imports neither torch nor scikit-learn."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robench.errors import InputError, unknown
from robench.specs import Card, ThreatModel

if TYPE_CHECKING:
    from robench.data.corrupted import CorruptedSet
    from robench.data.split import Split
    from robench.store import Column

Part = Literal["train", "test"]


DEFAULT_DIR = Path("data")
"""Where downloaded datasets lie unless --data-dir says otherwise."""


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset without loading it.

    Attributes:
        name: as on the command line.
        about: one line.
        shape: channels, height, width.
        classes: how many.
        threat: the usual threat model.
        loader: a module with `load(part, data_dir) -> Split`; with `files` and `held_out` too if `in_files`.
        in_files: whether training images are decoded from files while training, not kept in memory.
    """

    name: str
    about: str
    shape: tuple[int, int, int]
    classes: int
    threat: ThreatModel
    loader: str
    in_files: bool = False

    def load(self, part: Part = "test", data_dir: Path | None = None, limit: int | None = None) -> "Split":
        """A split, checked; its first `limit` examples if there is a limit.

        Raises:
            InputError: the data is not there or damaged.
        """
        if self.in_files:
            split: Split = self.module.load(part, data_dir or DEFAULT_DIR, limit)
            return split
        split = self.module.load(part, data_dir or DEFAULT_DIR)
        return split.limit(limit)

    def images(self, ids: "Column", data_dir: Path | None = None) -> "Column":
        """The test images of some ids, float32 (N, C, H, W) in [0, 1]; those of `digits` without torch.

        Raises:
            InputError: the data is not there or damaged, or has no such example.
        """
        try:
            found: Column = self.module.images(ids, data_dir or DEFAULT_DIR)
        except IndexError as error:
            raise InputError(f"'{self.name}' has no test example {ids.max()}.") from error
        return found

    @property
    def module(self) -> Any:
        """The loader, imported only now."""
        return import_module(self.loader)


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="digits",
            about="8x8 handwritten digits, 1,257 training and 540 test scans, shipped with scikit-learn",
            shape=(1, 8, 8),
            classes=10,
            threat=ThreatModel.parse("linf", "0.2"),
            loader="robench.data.digits",
        ),
        Dataset(
            name="cifar10",
            about="32x32 colour images of 10 classes, 50,000 training and 10,000 test",
            shape=(3, 32, 32),
            classes=10,
            threat=ThreatModel.parse("linf", "8/255"),
            loader="robench.data.cifar10",
        ),
        Dataset(
            name="imagenet",
            about="ILSVRC 2012, 1,000 classes, resized to 256 and cropped to 224; validation images as test",
            shape=(3, 224, 224),
            classes=1000,
            threat=ThreatModel.parse("linf", "4/255"),
            loader="robench.data.imagenet",
            in_files=True,
        ),
    )
}


CORRUPTED = {"cifar10": "robench.data.cifar10_c", "imagenet": "robench.data.imagenet_c"}
"""Modules with `find(data_dir) -> CorruptedSet` for the published corrupted versions, by dataset."""


def find_dataset(name: str) -> Dataset:
    """A dataset by name.

    Raises:
        InputError: no such dataset, with the nearest names.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise unknown("dataset", name, list(DATASETS)) from None


def dataset_of(card: Card) -> Dataset:
    """The dataset of a card.

    Raises:
        InputError: no such dataset; names the card.
    """
    try:
        return find_dataset(card.dataset)
    except InputError as error:
        raise InputError(f"{card.where}, key 'dataset': {error}") from error


def open_corrupted(name: str, data_dir: Path | None = None) -> "CorruptedSet":
    """The published corrupted version of a dataset's test images.

    Raises:
        Absent: none was published, or it is not there.
        InputError: it is there, but damaged.
    """
    from robench.data.corrupted import Absent

    if name not in CORRUPTED:
        raise Absent(f"'{name}' has no published corrupted version, only {', '.join(CORRUPTED)} have.")
    found: CorruptedSet = import_module(CORRUPTED[name]).find(data_dir or DEFAULT_DIR)
    return found


def find_corrupted(name: str, data_dir: Path | None = None) -> "CorruptedSet | None":
    """The published corrupted version of a dataset's test images, or None where it is absent.

    Raises:
        InputError: it is there, but damaged.
    """
    from robench.data.corrupted import Absent

    try:
        return open_corrupted(name, data_dir)
    except Absent:
        return None
