"""`robench diff`: two defenses or two runs, paired by example. Never imports torch."""

from typing import Annotated

import typer

from robench.cli.app import app
from robench.cli.options import Results
from robench.cli.report import Format
from robench.cli.screens import output, show


@app.command("diff")
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A defense, a file of records, or a results folder.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The one to compare with.")],
    format_: Annotated[Format | None, typer.Option("--format", help="Output format; by default the screen.")] = None,
    battery: Annotated[str | None, typer.Option(help="Only attacks of this battery; by default all.")] = None,
    results: Results = None,
) -> None:
    """Compare stored verdicts of two defenses or two runs, example by example."""
    from robench.check import DiffInput, diff_table, pairs, unpaired
    from robench.report import FORMATS
    from robench.specs import battery_attacks

    attacks = {spec.name for spec in battery_attacks(battery)} if battery else None
    sides = [DiffInput.of(name, results, attacks) for name in (first, second)]
    table = diff_table((first, second), list(pairs(*sides)))
    table.notes += unpaired(*sides)
    if format_ is None:
        show(table, output())
    else:
        typer.echo(FORMATS[format_](table), nl=False)
