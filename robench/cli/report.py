"""`robench report`, `leaderboard` and `publish`: tables and the page from stored verdicts, without torch."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from robench.cli.app import app
from robench.cli.options import (
    Models,
    OnlyAttacks,
    OnlyBattery,
    OnlyDataset,
    OnlyEps,
    OnlyNorm,
    OnlySeed,
    Results,
    require_file_place,
    require_folder,
)
from robench.cli.screens import show_all
from robench.data import DATASETS, find_dataset
from robench.errors import IncompleteError, InputError
from robench.paths import default_results, require_writable, write_text
from robench.report import FORMATS, latex_document
from robench.report.by_name import TABLES, Stored, check_against
from robench.report.by_name import tables as named
from robench.report.narrowing import Narrowing
from robench.report.paper import PAPER_TABLES, View

if TYPE_CHECKING:
    from robench.report import Table
    from robench.store import Column

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
    norm: OnlyNorm = None,
    eps: OnlyEps = None,
    seed: OnlySeed = None,
    attack: OnlyAttacks = None,
    battery: OnlyBattery = None,
    all_attacks: Annotated[
        bool, typer.Option("--all-attacks", help="Show every column on the screen, not only those that fit.")
    ] = False,
    against: Annotated[
        Literal["paper", "robustbench"] | None,
        typer.Option(
            help="Show the published value beside each cell, and the difference if dataset, norm and eps agree: the "
            "paper's in its tables, or RobustBench's for its networks in the table robustness."
        ),
    ] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Show 95% Wilson intervals also in the paper's tables.")
    ] = False,
    dataset: OnlyDataset = None,
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
        others = (tables, model, format_, norm, eps, attack, battery, against, intervals, data_dir, out, dataset)
        _write_everything(results, asked=any(others) or all_attacks or seed is not None)
        return
    if out is not None and format_ is None:
        format_ = SUFFIXES.get(out.suffix)
        if format_ is None:
            raise InputError(f"--out needs --format, or a file that ends in {', '.join(SUFFIXES)}.")
    beside_robustbench = against == "robustbench"
    if beside_robustbench:
        tables = tables or ["robustness"]
    if not set(tables or ()) & PAPER_TABLES.keys() and (against == "paper" or intervals):
        raise InputError("--against paper and --intervals are for the paper's tables: name one, table2 say.")
    require_folder("--data-dir", data_dir)
    require_file_place("--out", out)
    if format_ == "csv" and len(tables or TABLES) > 1:
        raise InputError(f"a CSV file holds one table: name one, {' or '.join(tables or TABLES)}.")
    narrowing = Narrowing(dataset, model, norm, eps, seed, attack, battery)
    with _uncollected():
        if format_ == "html" and not tables:
            _write(_page(Stored.of(narrowing, results), results, data_dir), out)
            return
        brief = format_ is None and not all_attacks and not narrowing.names_attacks
        made = named(
            tables or [],
            View(check_against(against) == "paper", intervals),
            narrowing,
            results,
            screen=brief,
            beside_robustbench=beside_robustbench,
        )
    if format_ is None:
        show_all(made)
        return
    if format_ == "csv":
        require_one(made)
    _write(latex_document(made) if format_ == "latex" else "\n".join(FORMATS[format_](table) for table in made), out)


def require_one(tables: "Sequence[Table]") -> None:
    """Check that the records that a CSV file shows compare with each other.

    Raises:
        InputError: there are several groups; the message lists them.
    """
    if len(tables) > 1:
        names = "; ".join(table.title.rpartition(": ")[2] for table in tables)
        raise InputError(
            f"a CSV file holds one table, and these do not compare: {names}: choose one with --dataset, --norm, --eps "
            "or --seed."
        )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause garbage collection: 10,000 records give no garbage, and looking for it takes a quarter of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _page(stored: Stored, results: Path | None, data_dir: Path | None) -> str:
    """Render everything on one page; datasets are opened only if records hold adversarial points.

    Raises:
        IncompleteError: there are no verdicts under attacks.
    """
    from robench.report.page import page_data, render
    from robench.report.sweeps import sweeps

    if not stored.groups:
        raise IncompleteError("a page needs verdicts under attacks: run `robench eval --model NAME` first.")
    corrupted = sweeps(results, list(dict.fromkeys(name for group in stored.groups for name in group.defenses)))

    def clean(dataset: str, ids: "Column") -> "Column":
        if dataset not in DATASETS:
            raise InputError("repeat `robench eval` with `--save-adversarial`, which keeps them and computes nothing.")
        return find_dataset(dataset).images(ids, data_dir)

    return render(page_data(stored.records, stored.groups, clean, corrupted))


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
    dataset: OnlyDataset = None,
    model: Models = None,
    norm: OnlyNorm = None,
    eps: OnlyEps = None,
    seed: OnlySeed = None,
    attack: OnlyAttacks = None,
    battery: OnlyBattery = None,
    results: Results = None,
    out: Annotated[Path | None, typer.Option(help="The CSV file.  [default: RESULTS/leaderboard.csv]")] = None,
) -> None:
    """Rank all defenses with published records.

    Writes a CSV file, the table in the README.md beside it, and ledger.csv, the verdicts of batteries that another
    attack overturned; if you choose records, only the CSV file, with --out.
    """
    from robench.report.leaderboard import by_group, short, write_leaderboard
    from robench.report.leaderboard import leaderboard as make
    from robench.report.ledger import write_ledger
    from robench.report.publish import unsealed

    folder = results or default_results()
    require_file_place("--out", out)
    narrowing = Narrowing(dataset, model, norm, eps, seed, attack, battery)
    table = make(folder, narrowing)
    if not table.rows:
        raise IncompleteError(f"'{folder}' has no published records: run `robench eval`, then `robench publish`.")
    whole = narrowing == Narrowing()
    if out is None and whole:
        out = folder / "leaderboard.csv"
        require_file_place("--out", out)
    show_all(map(short, by_group(table)))
    if found := unsealed(folder):
        names = ", ".join(path.name for path in found[:3]) + (", ..." if len(found) > 3 else "")
        typer.echo(f"no seal: {names}; run `robench publish`, so that changes are noticed.", err=True)
    if out is None:
        return
    for path in write_leaderboard(table, out, whole=whole):
        typer.echo(f"wrote {path}")
    if whole and out == folder / "leaderboard.csv":
        typer.echo(f"wrote {write_ledger(folder)}")


@app.command("publish")
def publish(
    model: Models = None,
    results: Results = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of downloaded datasets, for the clean images of points.")
    ] = None,
) -> None:
    """Turn raw records into published records: results/<dataset>/<model>.jsonl.

    Points of records that were made with --save-adversarial are put on file beside them, if the judge confirms them
    now, for `robench verify --published`.
    """
    from robench.report.names import full_names
    from robench.report.publish import publish as run

    require_folder("--data-dir", data_dir)
    folder = results or default_results()
    models = full_names(model, folder)
    for path in run(folder, models):
        typer.echo(f"wrote {path}")
    _publish_points(folder, models, data_dir)


def _publish_points(folder: Path, models: list[str] | None, data_dir: Path | None) -> None:
    """Put points of raw records on file, and tell how many are missing; torch is loaded only to judge new points."""
    from robench.report.points_on_file import lacks, offers, raw_headers, raw_ids
    from robench.store.points import points_path

    headers = raw_headers(folder)
    stored = {(header.dataset, header.model) for header in headers.values()}
    chosen = {(dataset, name) for dataset, name in stored if models is None or name in models}
    names, ids_of = sorted({name for _, name in chosen}), raw_ids(headers)
    files = sorted({folder / dataset / f"{name.rpartition('/')[2]}.jsonl" for dataset, name in chosen})
    files = [path for path in files if path.is_file()]
    found = lacks(files, names, ids_of)
    if offering := [(lack, offered) for lack in found if (offered := offers(headers, lack))]:
        from robench.evaluation.points import file_points
        from robench.evaluation.published import Bench

        bench = Bench(folder, data_dir)
        for lack, offered in offering:
            try:
                added = file_points(offered, lack, bench)
            except InputError as error:  # the records are published all the same
                typer.echo(f"robench: no points of {lack.model} were put on file: {error}", err=True)
                continue
            if added:
                typer.echo(f"wrote {points_path(lack.published)}: {added} new points")
        found = lacks(files, names, ids_of)
    for lack in found:
        if lack.number:
            typer.echo(str(lack))
