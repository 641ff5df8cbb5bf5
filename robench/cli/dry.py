"""Output of `--dry-run`: cost and time of each attack, and a cheaper battery."""

from dataclasses import asdict
from typing import Any

from robench.cli.screens import output, show
from robench.report import Table
from robench.store.outcome import Planned

CHEAPER = "fast"
"""Battery that reaches the same verdict at the lowest cost."""
COLUMNS = ["source", "forwards", "backwards", "at most", "time"]


def show_plans(plans: dict[str, list[Planned]], cheaper: dict[str, list[Planned]]) -> None:
    """Show one table per defense."""
    for name, rows in plans.items():
        show(_table(name, rows, cheaper.get(name, [])), output())


def plans_json(plans: dict[str, list[Planned]], cheaper: dict[str, list[Planned]]) -> dict[str, Any]:
    """Return the plans as JSON values; seconds are null if the speed is unknown."""
    return {
        "schema": 2,
        "plans": {name: [asdict(row) for row in rows] for name, rows in plans.items()},
        "cheaper": {name: [asdict(row) for row in rows] for name, rows in cheaper.items()},
    }


def span(seconds: float) -> str:
    """Write a time for people: seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _table(model: str, rows: list[Planned], cheaper: list[Planned]) -> Table:
    table = Table(f"{model}: what would be computed", "attack", COLUMNS)
    for row in rows:
        table.add(row.attack, _cells(row))
    table.add("all", _total(rows))
    spent, instead = _seconds(rows), _seconds(cheaper)
    if spent is not None:
        table.notes.append(
            "Expected from one micro-batch, measured now, and from what the attacks took elsewhere; "
            "the clean pass and the diagnostics are not included."
        )
        if cheaper and instead is not None and instead < spent:
            table.notes.append(f"Cheaper: --battery {CHEAPER}, about {span(instead)} instead of {span(spent)}.")
    return table


def _cells(row: Planned) -> dict[str, str]:
    if not row.source.startswith("compute"):
        return {"source": row.source, "time": span(0)}
    known = row.seconds is not None
    return {
        "source": row.source,
        "forwards": f"{row.forwards:,}" if known else "",
        "backwards": f"{row.backwards:,}" if known else "",
        "at most": f"{row.most:,}",
        "time": span(row.seconds) if row.seconds is not None else "",
    }


def _total(rows: list[Planned]) -> dict[str, str]:
    seconds = _seconds(rows)
    return {
        "forwards": f"{sum(row.forwards for row in rows):,}" if seconds is not None else "",
        "backwards": f"{sum(row.backwards for row in rows):,}" if seconds is not None else "",
        "at most": f"{sum(row.most for row in rows):,}",
        "time": span(seconds) if seconds is not None else "",
    }


def _seconds(rows: list[Planned]) -> float | None:
    """Return the seconds of all rows together; None if one is unknown."""
    known = [row.seconds for row in rows if row.seconds is not None]
    return sum(known) if len(known) == len(rows) else None
