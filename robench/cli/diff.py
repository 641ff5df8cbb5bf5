"""`robench diff`: two defenses or two runs, paired by example. Never imports torch."""

from typing import Annotated

import typer

from robench.cli.app import app
from robench.cli.options import Models, OnlyAttacks, OnlyBattery, OnlyDataset, OnlyEps, OnlyNorm, OnlySeed, Results
from robench.cli.report import Format, require_one
from robench.cli.screens import show_all


@app.command("diff")
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A defense, a file of records, or a results folder.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The one to compare with.")],
    format_: Annotated[Format | None, typer.Option("--format", help="Output format; by default the screen.")] = None,
    dataset: OnlyDataset = None,
    model: Models = None,
    norm: OnlyNorm = None,
    eps: OnlyEps = None,
    seed: OnlySeed = None,
    attack: OnlyAttacks = None,
    battery: OnlyBattery = None,
    results: Results = None,
) -> None:
    """Compare stored verdicts of two defenses or two runs, example by example."""
    from robench.check import DiffInput, diff_tables, pairs, unpaired
    from robench.report import FORMATS
    from robench.report.narrowing import Narrowing

    narrowing = Narrowing(dataset, model, norm, eps, seed, attack, battery)
    sides = [DiffInput.of(name, results, narrowing) for name in (first, second)]
    tables = diff_tables((first, second), pairs(*sides))
    if format_ == "csv":
        require_one(tables)
    tables[-1].notes += unpaired(*sides)
    if format_ is None:
        show_all(tables)
    else:
        typer.echo("\n".join(FORMATS[format_](table) for table in tables), nl=False)
