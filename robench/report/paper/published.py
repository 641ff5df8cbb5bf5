"""What the paper says: its numbers (results/paper/*.csv), and which tables they stood in (tables.toml)."""

import csv
from functools import cache

from pydantic import Field

from robench.paths import data_root
from robench.specs import list_models
from robench.specs.base import Declared, build, read_stanzas

PAPER = "cifar10, WRN-34-10, linf 0.031 with step 0.003, trained at 8/255"
"""What the published numbers were measured on, unless a table says otherwise."""


class Layout(Declared):
    """A table with a row a defense and a column an attack; see the head of `tables.toml`."""

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
    notes: list[str] = Field(default_factory=list)

    def rows(self, dataset: str) -> dict[str, dict[str, str]]:
        """The published numbers by our defense and column; also of our defenses that the paper has no numbers of.

        Where the dataset has a defense for each published network, every row of the paper has its own.
        """
        each = {self.cards.format(**row): row for row in published(self.numbers)} if self.cards else {}
        if any(f"{dataset}/{name}" in list_models() for name in each):
            return {name: self._cells([row]) for name, row in each.items()}
        taken = [row for row in published(self.numbers) if all(row[key] == value for key, value in self.row.items())]
        return {name: self._cells([row for row in taken if row["defense"] == name]) for name in self.defenses}

    def _cells(self, rows: list[dict[str, str]]) -> dict[str, str]:
        """One defense's numbers by column."""
        cells: dict[str, str] = {}
        for row in rows:
            if "attack" in row:  # one attack a line
                cells |= {"clean": cells.get("clean") or row["clean"], row["attack"]: row["accuracy"]}
            else:
                cells |= {self.names.get(key, key): value for key, value in row.items()}
        return cells


@cache
def layouts() -> dict[str, Layout]:
    """The declared tables by name.

    Raises:
        InputError: a malformed stanza.
    """
    path = data_root() / "results" / "paper" / "tables.toml"
    return {name: build(Layout, stanza, f"'{path}', table '{name}'") for name, stanza in read_stanzas(path)}


def published(table: str) -> list[dict[str, str]]:
    """The rows of one of the paper's tables (results/paper/*.csv)."""
    with (data_root() / "results" / "paper" / f"{table}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
