"""Datasets by name. Listing them imports neither torch nor scikit-learn."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from robench.errors import unknown
from robench.specs import ThreatModel

if TYPE_CHECKING:
    from robench.data.split import Split

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset without loading it. `loader` is a module with `load(part) -> Split`."""

    name: str
    about: str
    shape: tuple[int, int, int]
    classes: int
    threat: ThreatModel
    loader: str

    def load(self, part: Part = "test") -> "Split":
        """Load a split, checked."""
        split: Split = import_module(self.loader).load(part)
        return split


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
    )
}


def find_dataset(name: str) -> Dataset:
    """A dataset by name.

    Raises:
        InputError: no such dataset, with the nearest names.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise unknown("dataset", name, list(DATASETS)) from None
