"""`robench verify --published`: published verdicts judged again, from the points that are published with them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from robench.cli.screens import output, show
from robench.errors import InputError
from robench.paths import results_folders, write_text
from robench.report import Table
from robench.report.names import defense_name
from robench.specs import dataset_label
from robench.store import Record, read_file

if TYPE_CHECKING:
    from robench.evaluation.verify_published import PublishedVerification, Unconfirmed

SCHEMA = 1
COLUMNS = ["records", "broken verdicts", "confirmed", "without a point", "other faults"]
FEW_IDS, FEW_LINES = 12, 20
"""Numbers of ids in a line, and of lines for a network; JSON names all."""


def verify_published(
    models: list[str], dataset: str | None, results: Path | None, data_dir: Path | None, json_file: Path | None
) -> bool:
    """Judge published records again and show the result; return whether everything is confirmed.

    Raises:
        InputError: there are no such records, or a file or a dataset is missing.
    """
    folders = results_folders(results)
    chosen = {folder: _chosen(folder, models, dataset) for folder in folders}
    if not any(chosen.values()):
        of = f" of {', '.join(models)}" if models else ""
        on = f" on {dataset}" if dataset else ""
        raise InputError(
            f"'{folders[-1]}' has no published records{of}{on}: name others, or run `robench publish` first."
        )

    # Errors above are reported at once; torch is loaded only now.
    from robench.evaluation.verify_published import verify_published as run

    found = [each for folder, records in chosen.items() if records for each in run(folder, records, data_dir)]
    quiet = str(json_file) == "-"
    if json_file is not None:
        text = json.dumps({"schema": SCHEMA, "models": [_as_json(each) for each in found]}, indent=2)
        typer.echo(text) if quiet else write_text(json_file, text + "\n")
    if not quiet:
        show(_table(found), output())
    for each in found:
        for line in _lines(each):
            typer.echo(f"robench: {line}.", err=True)
    return not any(each.unconfirmed for each in found)


def _chosen(folder: Path, models: list[str], dataset: str | None) -> list[Record]:
    label = None if dataset is None else dataset_label(dataset)
    paths = sorted(folder.glob(f"{label or '*'}/[!.]*.jsonl"))
    if not models:
        return [record for path in paths for record in read_file(path)]
    # A file is named like its defense; only a shortened name needs all files.
    named = [path for path in paths if path.stem in {name.rpartition("/")[2] for name in models}]
    records = [record for path in named or paths for record in read_file(path)]
    stored = {record.header.model for record in records}
    names = {defense_name(name if "/" in name or not label else f"{label}/{name}", stored) for name in models}
    return [record for record in records if record.header.model in names]


def _table(found: "list[PublishedVerification]") -> Table:
    table = Table('Published verdicts "broken", judged again from their points', "defense", COLUMNS)
    for each in found:
        others = sum(len(fault.ids) for fault in each.unconfirmed) - each.without_point
        numbers = each.records, each.broken, each.confirmed, each.without_point, others
        table.add(each.model, dict(zip(COLUMNS, (f"{number:,}" for number in numbers), strict=True)))
    return table


def _lines(found: "PublishedVerification") -> list[str]:
    """Name what is not confirmed: model, attack, seed, ids and reason."""
    lines = [f"{found.model} {_what(each)}: {each.reason}" for each in found.unconfirmed]
    more = len(lines) - FEW_LINES
    return lines if more <= 0 else [*lines[:FEW_LINES], f"{found.model}: {more} more lines, --json FILE writes all"]


def _what(fault: "Unconfirmed") -> str:
    shown = ", ".join(map(str, fault.ids[:FEW_IDS]))
    more = f" and {len(fault.ids) - FEW_IDS} more" if len(fault.ids) > FEW_IDS else ""
    return f"{fault.header.attack.name} (seed {fault.header.seed}), examples {shown or 'none'}{more}"


def _as_json(found: "PublishedVerification") -> dict[str, Any]:
    return {
        "model": found.model,
        "records": found.records,
        "broken": found.broken,
        "confirmed": found.confirmed,
        "without_point": found.without_point,
        "unconfirmed": [
            {
                "attack": each.header.attack.name,
                "norm": each.header.threat.norm,
                "eps": each.header.threat.text,
                "seed": each.header.seed,
                "record": each.header.hash,
                "ids": list(each.ids),
                "reason": each.reason,
            }
            for each in found.unconfirmed
        ],
    }
