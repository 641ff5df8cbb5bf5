"""`robench report`, `leaderboard` and `publish`: tables and the page from stored verdicts, without torch."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from robench.cli.app import app
from robench.cli.options import Models, Results, require_folder
from robench.cli.screens import output, show
from robench.data import find_dataset
from robench.errors import IncompleteError, InputError
from robench.paths import default_results, require_writable, write_text
from robench.report import FORMATS, latex_document
from robench.report.by_name import TABLES, load_selection
from robench.report.by_name import tables as named
from robench.report.paper import PAPER_TABLES, View
from robench.specs import EMBEDDED, find_card

if TYPE_CHECKING:
    from robench.report import Selection
    from robench.store import Record

Format = Literal["md", "csv", "latex", "html"]
SUFFIXES: dict[str, Format] = {".md": "md", ".csv": "csv", ".tex": "latex", ".html": "html"}
"""Formats by the suffix of a file."""


@app.command("report")
def report(
    tables: Annotated[
        list[str] | None, typer.Argument(help="Tables to make: robustness, table2, ...; by default the main ones.")
    ] = None,
    model: Models = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Output format, by default for the screen; html without TABLES makes one page."),
    ] = None,
    battery: Annotated[str | None, typer.Option(help="Only attacks of this battery; by default all.")] = None,
    against: Annotated[
        Literal["paper", "robustbench"] | None,
        typer.Option(
            help="Show the published value and the difference beside each cell: the paper's in its tables, or "
            "RobustBench's for its networks in the table robustness."
        ),
    ] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Show 95% Wilson intervals also in the paper's tables.")
    ] = False,
    dataset: Annotated[str, typer.Option(help="Dataset whose defenses the paper's tables show.")] = EMBEDDED,
    everything: Annotated[
        bool, typer.Option("--all", help="Write every table as Markdown and CSV below RESULTS/tables.")
    ] = False,
    results: Results = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of downloaded datasets, for the clean images of a page.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
) -> None:
    """Make tables, or a page with everything, from stored verdicts."""
    if everything:
        others = (tables, model, format_, battery, against, intervals, data_dir, out, dataset != EMBEDDED)
        _write_everything(results, asked=any(others))
        return
    if out is not None and format_ is None:
        format_ = SUFFIXES.get(out.suffix)
        if format_ is None:
            raise InputError(f"--out needs --format, or a file that ends in {', '.join(SUFFIXES)}.")
    beside_robustbench = against == "robustbench"
    if beside_robustbench:
        tables = tables or ["robustness"]
    if not set(tables or ()) & PAPER_TABLES.keys() and (against == "paper" or intervals or dataset != EMBEDDED):
        raise InputError("--against paper, --intervals and --dataset are for the paper's tables: name one, table2 say.")
    require_folder("--data-dir", data_dir)
    if format_ == "csv" and len(tables or TABLES) > 1:
        raise InputError(f"a CSV file holds one table: name one, {' or '.join(tables or TABLES)}.")
    find_dataset(dataset)
    with _uncollected():
        if format_ == "html" and not tables:
            records, selection = load_selection(model, battery, results)
            if not selection.defenses:
                raise IncompleteError("a page needs verdicts under attacks: run `robench eval --model NAME` first.")
            _write(_page(records, selection, data_dir), out)
            return
        view = View(against == "paper", intervals)
        made = named(tables or [], dataset, view, model, battery, results, beside_robustbench=beside_robustbench)
    if format_ is None:
        for table in made:
            show(table, output())
        return
    _write(latex_document(made) if format_ == "latex" else "\n".join(FORMATS[format_](table) for table in made), out)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause garbage collection: 10,000 records give no garbage, and looking for it takes a quarter of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _page(records: "Sequence[Record]", selection: "Selection", data_dir: Path | None) -> str:
    """Render everything on one page; datasets are opened only if records hold adversarial points."""
    from robench.report.page import page_data, render

    return render(page_data(records, selection, lambda dataset, ids: find_dataset(dataset).images(ids, data_dir)))


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, text)
    typer.echo(f"wrote {out}")


def _write_everything(results: Path | None, *, asked: bool) -> None:
    """Write every committed table of every dataset with published records."""
    from robench.report.everything import datasets, everything
    from robench.report.write import remove_others, write_table

    if asked:
        raise InputError("--all writes every table as it is committed: take the other options out.")
    folder = results or default_results()
    require_writable(folder / "tables", "--results")
    found = datasets(folder)
    if not found:
        raise IncompleteError(f"'{folder}' has no published records: run `robench eval`, then `robench publish`.")
    for dataset in found:
        made = dict(everything(dataset, folder))
        for name, table in made.items():
            for path in write_table(folder, dataset, name, table):
                typer.echo(f"wrote {path}")
        for path in remove_others(folder, dataset, made):
            typer.echo(f"removed {path}")


@app.command("leaderboard")
def leaderboard(
    results: Results = None,
    out: Annotated[Path | None, typer.Option(help="The CSV file.  [default: RESULTS/leaderboard.csv]")] = None,
) -> None:
    """Rank all defenses with published records.

    Writes a CSV file, and the table in the README.md beside it.
    """
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
    """Turn raw records into published records: results/<dataset>/<model>.jsonl."""
    from robench.report.publish import publish as run

    models = [find_card(name).name for name in model] if model else None
    for path in run(results or default_results(), models):
        typer.echo(f"wrote {path}")
