"""The ledger of overturned verdicts: examples that a battery called robust and that a published attack breaks.

A claim is the worst case of a battery of `CLAIMS` under one seed, if every attack of the battery is published. It is
overturned by any published record of the same network, examples, threat model, target and mask, whatever its seed or
precision; of several records the oldest is named.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robench.paths import write_text
from robench.report.selection import CurrentCatalogue, in_order, latest_per_key, load, of_current_weights
from robench.report.trust import trust
from robench.specs import battery_attacks, catalogue_order
from robench.store import SHORT, Record, robust_to_all

CLAIMS = ("fast", "paper", "autoattack")
"""The batteries whose worst case is quoted."""
FILE = "ledger.csv"
COLUMNS = ["dataset", "defense", "threat model", "example", "claimed by", "claim seed", "trust", "claimed", "broken by",
           "seed", "record", "broken"]  # fmt: skip


def ledger(results: Path | None = None) -> list[dict[str, str]]:
    """Return one row for each claim and example; `example` is the place among the examples of the record, from 0."""
    rows: list[dict[str, str]] = []
    catalogue = CurrentCatalogue()
    mine = of_current_weights(load(results, published=True))
    for name in sorted(mine, key=catalogue_order):
        groups: dict[tuple[Any, ...], list[Record]] = {}
        for record in in_order(each for each in latest_per_key(mine[name]) if each in catalogue):
            groups.setdefault((record.network, record.comparison_key._replace(seed=0, precision="")), []).append(record)
        rows += [row for group in groups.values() for row in _overturned(group)]
    return rows


def write_ledger(folder: Path) -> Path:
    """Write the ledger of a results folder; return the path of the file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(ledger(folder))
    write_text(folder / FILE, text.getvalue())
    return folder / FILE


def _overturned(records: Sequence[Record]) -> Iterator[dict[str, str]]:
    """Yield one row for each claim and example, of records that share all but seed and precision."""
    oldest = sorted(records, key=lambda r: (r.header.created, r.header.attack.name, r.header.seed, r.header.hash))
    for battery, claim in _claims(records):
        header, level = claim[0].header, trust(claim).level
        claimed = max(record.header.created for record in claim)
        for place in np.flatnonzero(robust_to_all(claim)).tolist():
            breaker = next((record.header for record in oldest if not record.robust[place]), None)
            if breaker is not None:
                yield {
                    "dataset": header.dataset,
                    "defense": header.model.removeprefix(f"{header.dataset}/"),
                    "threat model": header.goal,
                    "example": str(place),
                    "claimed by": battery,
                    "claim seed": str(header.seed),
                    "trust": level,
                    "claimed": claimed,
                    "broken by": breaker.attack.name,
                    "seed": str(breaker.seed),
                    "record": breaker.hash[:SHORT],
                    "broken": breaker.created,
                }


def _claims(records: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """Yield the published records of each battery and seed of which no attack is missing."""
    for battery in CLAIMS:
        names = [spec.name for spec in battery_attacks(battery)]
        for seed, precision in sorted({(record.header.seed, record.header.precision) for record in records}):
            there = {
                record.header.attack.name: record
                for record in records
                if (record.header.seed, record.header.precision) == (seed, precision)
            }
            if all(name in there for name in names):
                yield battery, [there[name] for name in names]
