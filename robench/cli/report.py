"""`robench report` and `robench publish`: tables from stored verdicts. Never imports torch."""

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.app import app
from robench.cli.screens import output, show
from robench.errors import IncompleteError, InputError, unknown

Results = Annotated[Path | None, typer.Option(help="Where records are kept.  [default: results]")]
Models = Annotated[list[str] | None, typer.Option("--model", help="Only these defenses. Repeatable.")]


@app.command("report")
def report(
    tables: Annotated[list[str] | None, typer.Argument(help="Which tables; by default all that have rows.")] = None,
    model: Models = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="md, csv, latex or html; the screen by default.")
    ] = None,
    battery: Annotated[str | None, typer.Option(help="Only its attacks; all by default.")] = None,
    results: Results = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
) -> None:
    """Make tables from stored verdicts, without running anything."""
    from robench.paths import default_results, write_text
    from robench.report import FORMATS, TABLES, load, select, stem
    from robench.specs import battery_attacks, find_card

    for name in tables or []:
        if name not in TABLES:
            raise unknown("table", name, list(TABLES))
    if format_ is not None and format_ not in FORMATS:
        raise unknown("format", format_, list(FORMATS))
    if out is not None and format_ is None:
        raise InputError("--out needs --format md, csv, latex or html.")
    if format_ == "csv" and len(tables or TABLES) > 1:
        raise InputError(f"a CSV file holds one table: name one, {' or '.join(TABLES)}.")
    models = [find_card(name).name for name in model] if model else None
    wanted = {spec.name for spec in battery_attacks(battery)} if battery else None
    records = [record for record in load(results) if wanted is None or stem(record.header.attack.name) in wanted]
    selection = select(records, models)
    if not selection.defenses:
        defense, options = models[0] if models else "NAME", f" --battery {battery}" if battery else ""
        raise IncompleteError(
            f"'{results or default_results()}' has no records of {defense}{' under ' + battery if battery else ''} to "
            f"show: run `robench eval --model {defense}{options}` first."
        )
    made = [TABLES[name](selection) for name in tables or TABLES]
    if not tables:
        made = [table for table in made if table.rows]
    if format_ is None:
        for table in made:
            show(table, output())
        return
    text = "\n".join(FORMATS[format_](table) for table in made)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, text)
    typer.echo(f"wrote {out}")


@app.command("publish")
def publish(model: Models = None, results: Results = None) -> None:
    """Turn raw records into published ones: results/<dataset>/<model>.jsonl."""
    from robench.paths import default_results
    from robench.publish import publish as run
    from robench.specs import find_card

    models = [find_card(name).name for name in model] if model else None
    for path in run(results or default_results(), models):
        typer.echo(f"wrote {path}")
