"""`robench report` and `robench publish`: tables from stored verdicts. Never imports torch."""

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.app import app
from robench.cli.screens import output, show
from robench.data import find_dataset
from robench.errors import IncompleteError, InputError, unknown
from robench.paths import default_results, require_writable, write_text
from robench.report import FORMATS, latex_document
from robench.report.named import TABLES, check_against
from robench.report.named import tables as named
from robench.report.paper import View
from robench.specs import EMBEDDED, find_card

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
    if format_ is not None and format_ not in FORMATS:
        raise unknown("format", format_, list(FORMATS))
    if out is not None and format_ is None:
        raise InputError("--out needs --format md, csv, latex or html.")
    if format_ == "csv" and len(tables or TABLES) > 1:
        raise InputError(f"a CSV file holds one table: name one, {' or '.join(TABLES)}.")
    find_dataset(dataset)
    made = named(tables or [], dataset, View(check_against(against), intervals), model, battery, results)
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
