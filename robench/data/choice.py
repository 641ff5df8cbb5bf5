"""The choice of the test examples that are evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robench.data import Dataset
from robench.errors import InputError

if TYPE_CHECKING:
    from robench.data.split import Split


@dataclass(frozen=True)
class ExampleChoice:
    """All test examples, some with every class in proportion, or some by their ids.

    Attributes:
        limit: number of examples to take, with every class in proportion.
        sample: another word for `limit`.
        ids: ids of the examples to take.

    Raises:
        InputError: more than one of limit, sample and ids is given.
    """

    limit: int | None = None
    sample: int | None = None
    ids: Sequence[int] = ()

    def __post_init__(self) -> None:
        asked = {"--limit": self.limit is not None, "--sample": self.sample is not None, "--example": bool(self.ids)}
        both = [name for name, given in asked.items() if given]
        if len(both) > 1:
            raise InputError(f"{' and '.join(both)} both choose examples: leave one out.")

    def of(self, data: Dataset, data_dir: Path | None) -> "Split":
        """Return the chosen examples of the test part.

        Raises:
            InputError: the data is not there or damaged, or has no such examples.
        """
        if self.ids and data.in_files:
            raise InputError(f"'{data.name}' is read from files in their order: use --limit, not --example.")
        split = data.load("test", data_dir, self.sample if self.limit is None else self.limit)
        return split.only(self.ids) if self.ids else split
