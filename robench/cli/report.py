"""`robench report` and `robench publish`: tables and the page, from stored verdicts. Never imports torch."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robench.cli.app import app
from robench.cli.screens import output, show
from robench.errors import IncompleteError, InputError, unknown

if TYPE_CHECKING:
    from robench.report import Selection
    from robench.store import Record

Results = Annotated[Path | None, typer.Option(help="Where records are kept.  [default: results]")]
Models = Annotated[list[str] | None, typer.Option("--model", help="Only these defenses. Repeatable.")]


@app.command("report")
def report(
    tables: Annotated[list[str] | None, typer.Argument(help="Which tables; by default all that have rows.")] = None,
    model: Models = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="md, csv, latex or html, which without TABLES is a page; the screen by default."),
    ] = None,
    battery: Annotated[str | None, typer.Option(help="Only its attacks; all by default.")] = None,
    results: Results = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where downloaded datasets lie, for the clean images of a page.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
) -> None:
    """Make tables, or a page with everything, from stored verdicts, without running anything."""
    from robench.report import FORMATS, TABLES

    for name in tables or []:
        if name not in TABLES:
            raise unknown("table", name, list(TABLES))
    if format_ is not None and format_ not in FORMATS:
        raise unknown("format", format_, list(FORMATS))
    if out is not None and format_ is None:
        raise InputError("--out needs --format md, csv, latex or html.")
    if data_dir is not None and not data_dir.is_dir():
        raise InputError(f"--data-dir '{data_dir}' is not a folder.")
    if format_ == "csv" and len(tables or TABLES) > 1:
        raise InputError(f"a CSV file holds one table: name one, {' or '.join(TABLES)}.")
    with _uncollected():
        records, selection = _selected(results, model, battery)
        if format_ == "html" and not tables:
            _write(_page(records, selection, results, data_dir), out)
            return
        made = [TABLES[name](selection) for name in tables or TABLES]
    if not tables:
        made = [table for table in made if table.rows]
    if format_ is None:
        for table in made:
            show(table, output())
        return
    _write("\n".join(FORMATS[format_](table) for table in made), out)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's search for garbage: of 10,000 records there is none, and it takes a quarter of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _selected(
    results: Path | None, model: Sequence[str] | None, battery: str | None
) -> "tuple[list[Record], Selection]":
    """All records of a battery's attacks, and of them what stands together.

    Raises:
        IncompleteError: there are none.
    """
    from robench.paths import default_results
    from robench.report import load, select, stem
    from robench.specs import battery_attacks, find_card

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
    return records, selection


def _page(records: "Sequence[Record]", selection: "Selection", results: Path | None, data_dir: Path | None) -> str:
    """Everything on one page; datasets are opened only where records hold adversarial points."""
    from robench.data import find_dataset
    from robench.page import page_data, render
    from robench.page.corruptions import load_corrupted

    return render(
        page_data(
            records,
            selection,
            load_corrupted(results),
            lambda dataset, ids: find_dataset(dataset).images(ids, data_dir),
        )
    )


def _write(text: str, out: Path | None) -> None:
    from robench.paths import write_text

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
