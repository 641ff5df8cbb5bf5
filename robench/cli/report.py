"""`robench report` and `robench publish`: tables from stored verdicts. Never imports torch."""

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.app import app
from robench.cli.screens import output, show
from robench.data import find_dataset
from robench.errors import IncompleteError, InputError, unknown
from robench.paths import default_results, require_writable, write_text
from robench.report import FORMATS, TABLES, Table, latex_document, load, select, stem
from robench.report.paper import PAPER_TABLES, Source, View, paper_table
from robench.report.selection import current_lines
from robench.specs import EMBEDDED, battery_attacks, find_card

Results = Annotated[Path | None, typer.Option(help="Where records are kept.  [default: results]")]
Models = Annotated[list[str] | None, typer.Option("--model", help="Only these defenses. Repeatable.")]


@app.command("report")
def report(
    tables: Annotated[
        list[str] | None, typer.Argument(help="Which tables: robustness, table2, ...; by default the main ones.")
    ] = None,
    model: Models = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="md, csv, latex or html; the screen by default.")
    ] = None,
    battery: Annotated[str | None, typer.Option(help="Only its attacks; all by default.")] = None,
    against: Annotated[
        str | None, typer.Option(help="paper: the published value and the difference beside each cell.")
    ] = None,
    intervals: Annotated[bool, typer.Option(help="95% Wilson intervals, in the paper's tables too.")] = False,
    dataset: Annotated[str, typer.Option(help="Whose defenses the paper's tables show.")] = EMBEDDED,
    everything: Annotated[
        bool, typer.Option("--all", help="Write every table as Markdown and CSV below RESULTS/tables.")
    ] = False,
    results: Results = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
) -> None:
    """Make tables from stored verdicts, without running anything."""
    if everything:
        _write_everything(results, asked=bool(tables or model or format_ or battery or against or out))
        return
    for name in tables or []:
        if name not in TABLES and name not in PAPER_TABLES:
            raise unknown("table", name, [*TABLES, *PAPER_TABLES])
    if format_ is not None and format_ not in FORMATS:
        raise unknown("format", format_, list(FORMATS))
    if against not in (None, "paper"):
        raise InputError(f"--against '{against}': only the paper's numbers are known, --against paper.")
    if out is not None and format_ is None:
        raise InputError("--out needs --format md, csv, latex or html.")
    if format_ == "csv" and len(tables or TABLES) > 1:
        raise InputError(f"a CSV file holds one table: name one, {' or '.join(TABLES)}.")
    find_dataset(dataset)
    made = _main_tables(tables, model, battery, results)
    source, view = Source(dataset, results), View(against is not None, intervals)
    made += [paper_table(name, source, view) for name in tables or () if name in PAPER_TABLES]
    if format_ is None:
        for table in made:
            show(table, output())
        return
    text = latex_document(made) if format_ == "latex" else "\n".join(FORMATS[format_](table) for table in made)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, text)
    typer.echo(f"wrote {out}")


def _main_tables(
    tables: list[str] | None, model: list[str] | None, battery: str | None, results: Path | None
) -> list[Table]:
    """The tables of whatever is stored; without names those that have rows.

    Raises:
        IncompleteError: there are no records.
    """
    names = [name for name in tables or TABLES if name in TABLES]
    if not names:
        return []
    models = [find_card(name).name for name in model] if model else None
    wanted = {spec.name for spec in battery_attacks(battery)} if battery else None
    records = [record for record in load(results) if wanted is None or stem(record.header.attack.name) in wanted]
    selection = select(records, models, current_lines(results))
    if not selection.defenses and not selection.corrupted:
        defense, options = models[0] if models else "NAME", f" --battery {battery}" if battery else ""
        raise IncompleteError(
            f"'{results or default_results()}' has no records of {defense}{' under ' + battery if battery else ''} to "
            f"show: run `robench eval --model {defense}{options}` first."
        )
    made = [TABLES[name](selection) for name in names]
    return made if tables else [table for table in made if table.rows]


def _write_everything(results: Path | None, *, asked: bool) -> None:
    """Every committed table of every dataset with published records."""
    from robench.report.everything import datasets, everything
    from robench.report.write import write_table

    if asked:
        raise InputError("--all writes every table as it is committed: take the other options out.")
    folder = results or default_results()
    require_writable(folder / "tables", "--results")
    for dataset in datasets(folder):
        for name, table in everything(dataset, folder):
            for path in write_table(folder, dataset, name, table):
                typer.echo(f"wrote {path}")


@app.command("leaderboard")
def leaderboard(
    results: Results = None,
    out: Annotated[Path | None, typer.Option(help="The CSV file.  [default: RESULTS/leaderboard.csv]")] = None,
) -> None:
    """Rank all defenses with published records; writes CSV, and the table of the README.md beside it."""
    from robench.report.leaderboard import leaderboard as make
    from robench.report.leaderboard import short, write_leaderboard

    folder = results or default_results()
    table = make(folder)
    if not table.rows:
        raise IncompleteError(f"'{folder}' has no published records: run `robench eval`, then `robench publish`.")
    out = out or folder / "leaderboard.csv"
    require_writable(out.parent, "--out")
    show(short(table), output())
    for path in write_leaderboard(table, out):
        typer.echo(f"wrote {path}")


@app.command("publish")
def publish(model: Models = None, results: Results = None) -> None:
    """Turn raw records into published ones: results/<dataset>/<model>.jsonl."""
    from robench.publish import publish as run

    models = [find_card(name).name for name in model] if model else None
    for path in run(results or default_results(), models):
        typer.echo(f"wrote {path}")
