"""All committed tables, from published records only, so that a clean clone regenerates them."""

from collections.abc import Iterator
from pathlib import Path

from robench.report.overestimate import overestimate
from robench.report.paper import PAPER_TABLES, VerdictSource, View, has_ours, paper_table
from robench.report.robustness import robustness
from robench.report.selection import Selection, base_name, load, select
from robench.report.table import Table
from robench.specs import battery_attacks
from robench.store import Record

BATTERIES = ("paper", "adaptive", "autoattack", "fast")
"""The batteries that have a committed table each."""


def datasets(results: Path | None = None) -> list[str]:
    """Return the names of the datasets with published records."""
    return sorted({record.header.dataset for record in load(results, published=True)})


def everything(dataset: str, results: Path | None = None) -> Iterator[tuple[str, Table]]:
    """Yield the committed tables of a dataset that have measured cells, each with its name."""
    records = [record for record in load(results, published=True) if record.header.dataset == dataset]
    made: dict[str, Table] = {name: robustness(_within(records, name)) for name in BATTERIES}
    made["overestimate"] = overestimate(select(records))
    source = VerdictSource(dataset, results, published=True)
    made |= {name: paper_table(name, source, View(against=True)) for name in PAPER_TABLES}
    return ((name, table) for name, table in made.items() if has_ours(table))


def _within(records: list[Record], battery: str) -> Selection:
    wanted = {spec.name for spec in battery_attacks(battery)}
    return select(record for record in records if base_name(record.header.attack.name) in wanted)
