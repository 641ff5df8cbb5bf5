"""The paper's published numbers (results/paper/*.csv), and the layouts of its tables (tables.toml)."""

import csv
from functools import cache
from typing import NamedTuple

from pydantic import Field

from robench.paths import data_root
from robench.specs import is_registered
from robench.specs.base import Declared, build, read_stanzas


class PaperSetting(NamedTuple):
    """The setting of published numbers; norm and eps are empty for accuracy on corrupted images.

    Attributes:
        dataset, norm, eps: as in a record; eps as text.
    """

    dataset: str = "cifar10"
    norm: str = "linf"
    eps: str = "0.031"

    def __str__(self) -> str:
        return f"{self.dataset}, {self.norm} {self.eps}" if self.eps else f"{self.dataset}, published corrupted images"


PAPER = "cifar10, WRN-34-10, linf 0.031 with step 0.003, trained at 8/255"
"""The setting of the published numbers, unless a table says otherwise."""


class Layout(Declared):
    """The layout of a table with one row per defense and one column per attack; see the head of `tables.toml`."""

    name: str
    title: str
    numbers: str
    defenses: list[str]
    attacks: list[str]
    also: list[str] = Field(default_factory=list)
    names: dict[str, str] = Field(default_factory=dict)
    row: dict[str, str] = Field(default_factory=dict)
    cards: str = ""
    training: bool = False
    paper: str = PAPER
    dataset: str = PaperSetting().dataset
    norm: str = PaperSetting().norm
    eps: str = PaperSetting().eps
    notes: list[str] = Field(default_factory=list)

    @property
    def setting(self) -> PaperSetting:
        """The dataset, norm and eps of the published numbers."""
        return PaperSetting(self.dataset, self.norm, self.eps)

    def rows(self, dataset: str) -> dict[str, dict[str, str]]:
        """Return the published numbers by our defense and column; for defenses without published numbers, no cells.

        If the dataset has a defense for each published network, every row of the paper becomes a row.
        """
        each = {self.cards.format(**row): row for row in published(self.numbers)} if self.cards else {}
        if any(is_registered(f"{dataset}/{name}") for name in each):
            return {name: self._cells([row]) for name, row in each.items()}
        taken = [row for row in published(self.numbers) if all(row[key] == value for key, value in self.row.items())]
        return {name: self._cells([row for row in taken if row["defense"] == name]) for name in self.defenses}

    def _cells(self, rows: list[dict[str, str]]) -> dict[str, str]:
        """Return the published numbers of one defense by column."""
        cells: dict[str, str] = {}
        for row in rows:
            if "attack" in row:  # one attack per line
                cells |= {"clean": cells.get("clean") or row["clean"], row["attack"]: row["accuracy"]}
            else:
                cells |= {self.names.get(key, key): value for key, value in row.items()}
        return cells


@cache
def layouts() -> dict[str, Layout]:
    """Return the layouts of the declared tables by name.

    Raises:
        InputError: a stanza is malformed.
    """
    path = data_root() / "results" / "paper" / "tables.toml"
    return {name: build(Layout, stanza, f"'{path}', table '{name}'") for name, stanza in read_stanzas(path)}


def published(table: str) -> list[dict[str, str]]:
    """Read the rows of one of the paper's tables (results/paper/*.csv)."""
    with (data_root() / "results" / "paper" / f"{table}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
