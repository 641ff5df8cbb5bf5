"""Datasets by name. Listing the datasets imports neither torch nor scikit-learn."""

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robench.data.card_reading import reading_of
from robench.data.class_names import CLASS_NAMES
from robench.data.published import DEFAULT_DIR as DEFAULT_DIR
from robench.data.published import PUBLISHED
from robench.data.published import find_corrupted as find_corrupted
from robench.data.published import open_corrupted as open_corrupted
from robench.data.reading import AS_IT_IS, Reading
from robench.data.sizes import ENCODED
from robench.errors import InputError, unknown
from robench.paths import require_name
from robench.specs import Card, ThreatModel, dataset_label

if TYPE_CHECKING:
    from robench.data.split import Split
    from robench.store import Column

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Dataset:
    """A dataset as far as it is known before it is loaded.

    Attributes:
        name: as on the command line, or the name of the file or folder that was given there.
        about: one line for lists.
        loader: a module with `load(part, data_dir) -> Split`; if `partly`, with a third argument, how many examples;
            if there is a `place`, as `USER_DATA` says. If `in_files`, with `files` and
            `held_out` too.
        shape: channels, height, width; None if only the files tell.
        classes: number of classes; None if only the files tell.
        threat: the default threat model; None if there is none.
        in_files: whether training images are decoded from files during training, not kept in memory.
        partly: whether the loader decodes no more examples than it is asked for.
        place: the user's file or folder; None for a dataset of `DATASETS`.
        reading: sizes and class names of the user's images.
    """

    name: str
    about: str
    loader: str
    shape: tuple[int, int, int] | None = None
    classes: int | None = None
    threat: ThreatModel | None = None
    in_files: bool = False
    partly: bool = False
    place: Path | None = None
    reading: Reading = AS_IT_IS

    def load(self, part: Part = "test", data_dir: Path | None = None, limit: int | None = None) -> "Split":
        """Load and check a split, or only `limit` examples with every class in proportion (`Split.first`).

        Raises:
            InputError: the data is not there or damaged, or the limit is below 1.
        """
        if limit is not None and limit < 1:
            raise InputError(f"--limit {limit} must be at least 1.")
        split: Split
        if self.place is not None:
            split = self.module.load(self.name, self.place, part, limit, self.reading)
        elif self.partly:
            split = self.module.load(part, data_dir or DEFAULT_DIR, limit)
        else:
            split = self.module.load(part, data_dir or DEFAULT_DIR)
        if split.about.total is None and not self.partly:
            split = replace(split, about=replace(split.about, total=len(split)))
        # User data may be renamed or saved again: the same examples must be chosen.
        return split.first(limit, None if self.place is None else "")

    def images(self, ids: "Column", data_dir: Path | None = None) -> "Column":
        """Return the test images with these ids, float32 (N, C, H, W) in [0, 1]; torch is not needed for `digits`.

        Raises:
            InputError: the data is not there or damaged, or has no such example.
        """
        without_torch = getattr(self.module, "images", None)
        try:
            if without_torch is not None:
                found: Column = without_torch(ids)
                return found
            return self.load("test", data_dir).images(ids)
        except (IndexError, KeyError) as error:
            raise InputError(f"'{self.name}' has no test example {ids.max()}.") from error

    def class_names(self) -> list[str]:
        """Return the names of the classes in the order of their numbers; empty if the dataset has no names.

        Raises:
            InputError: the names are those of folders that are not there.
        """
        if self.name in CLASS_NAMES or self.reading.classes:
            return list(self.reading.classes or CLASS_NAMES[self.name])
        named = getattr(self.module, "class_names", None)
        if named is None or self.place is None:
            return []
        found: list[str] = named(self.place)
        return found if self.reading.labels(found, str(self.place)) is None else list(self.reading.known)

    def named(self, known: tuple[str, ...]) -> "Dataset":
        """Return the same data with labels by these class names, which are in the order of the labels."""
        return replace(self, reading=replace(self.reading, known=known))

    @property
    def sizes(self) -> tuple[tuple[int, int, int], int]:
        """Return shape and number of classes, for networks that are built to fit them.

        Raises:
            InputError: only the files tell.
        """
        if self.shape is None or self.classes is None:
            raise InputError(
                f"'{self.name}' is user data: name a network that brings its shape and classes, or use one of "
                f"{', '.join(DATASETS)}."
            )
        return self.shape, self.classes

    @property
    def usual(self) -> ThreatModel:
        """Return the default threat model.

        Raises:
            InputError: the dataset has none.
        """
        if self.threat is None:
            raise InputError(f"'{self.name}' has no default eps: give one with --eps.")
        return self.threat

    @property
    def module(self) -> Any:
        """Import and return the loader."""
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
            name="cifar10-jpeg",
            about="cifar10 re-encoded as JPEG, for use where the original is not available",
            shape=(3, 32, 32),
            classes=10,
            threat=ThreatModel.parse("linf", "8/255"),
            loader="robench.data.cifar10_jpeg",
        ),
        Dataset(
            name="cifar100",
            about="32x32 colour images of 100 classes, 50,000 training and 10,000 test",
            shape=(3, 32, 32),
            classes=100,
            threat=ThreatModel.parse("linf", "8/255"),
            loader="robench.data.cifar100",
        ),
        Dataset(
            name="imagenet",
            about="ILSVRC 2012, 1,000 classes, resized to 256 and cropped to 224; validation images as test",
            shape=(3, 224, 224),
            classes=1000,
            threat=ThreatModel.parse("linf", "4/255"),
            loader="robench.data.imagenet",
            in_files=True,
            partly=True,
        ),
        Dataset(
            name="tiny-imagenet",
            about="64x64 colour images of 200 classes of ImageNet, 100,000 training; 10,000 validation images as test",
            shape=(3, 64, 64),
            classes=200,
            threat=ThreatModel.parse("linf", "8/255"),
            loader="robench.data.tiny_imagenet",
            partly=True,
        ),
    )
}


USER_DATA = {"folder": "robench.data.folder", "npz": "robench.data.npz", "parquet": "robench.data.parquet"}
"""Modules with `load(name, place, part, limit, reading) -> Split` for user data, by the word before the colon."""


def is_user_data(name: str) -> bool:
    """Return whether a dataset's name is `folder:DIR`, `npz:FILE` or `parquet:FILE`."""
    return ":" in name


def find_dataset(name: str, reading: Reading = AS_IT_IS) -> Dataset:
    """Find a dataset by name, or user data by `folder:DIR`, `npz:FILE`, `parquet:FILE`.

    Args:
        name: as on the command line.
        reading: sizes and class names of the user's images.

    Raises:
        InputError: no such dataset, with the nearest names; nothing lies at the place, or its images have one size.
    """
    kind, colon, place = name.partition(":")
    if kind not in ENCODED and (reading.sized or reading.classes):
        raise InputError(
            f"--dataset {name}: --resize, --crop and --classes are for folder: and parquet: data, leave them out."
        )
    if colon:
        return replace(_user_data(kind, Path(place)), reading=reading)
    try:
        return DATASETS[name]
    except KeyError:
        if name in PUBLISHED:
            held = PUBLISHED[name]
            raise InputError(
                f"'{name}' holds corrupted test images of {held.dataset}: use --dataset {held.dataset} --battery "
                f"{held.battery}."
            ) from None
        kind = "folder" if Path(name).is_dir() else Path(name).suffix[1:]
        if kind in USER_DATA:
            raise InputError(f"unknown dataset '{name}': did you mean {kind}:{name}?") from None
        raise unknown("dataset", name, [*DATASETS, *(f"{kind}:PATH" for kind in USER_DATA)]) from None


def _user_data(kind: str, place: Path) -> Dataset:
    if kind not in USER_DATA:
        raise unknown("kind of dataset", kind, list(USER_DATA))
    there = {"folder": place.is_dir(), "npz": place.is_file(), "parquet": place.exists()}
    if not there[kind]:
        what = {"folder": "folder", "npz": "file", "parquet": "file or folder"}[kind]
        raise InputError(f"--dataset {kind}:{place}: there is no {what} '{place}'.")
    name = dataset_label(f"{kind}:{place}")
    require_name(name, f"the name of '{place}'")
    if name in DATASETS:
        raise InputError(f"--dataset {kind}:{place}: '{name}' is another dataset's name; rename it.")
    return Dataset(name, f"user data, {kind}:{place}", USER_DATA[kind], place=place)


def dataset_of(card: Card, reading: Reading = AS_IT_IS) -> Dataset:
    """Find the dataset of a card.

    Args:
        card: names the dataset.
        reading: sizes and class names of the user's images; by default those of the card.

    Raises:
        InputError: no such dataset; names the card.
    """
    try:
        return find_dataset(card.data, reading_of(card, reading, card.data))
    except InputError as error:
        raise InputError(f"{card.where}, key 'dataset': {error}") from error
