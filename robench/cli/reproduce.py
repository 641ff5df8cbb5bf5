"""`robench reproduce`."""

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.app import app
from robench.cli.options import DataDir, Device
from robench.cli.screens import errors, output, show
from robench.data import find_dataset
from robench.paths import default_results, require_writable
from robench.report.write import write_table
from robench.specs import EMBEDDED

NAMES = ("table2", "table3", "table4", "table5", "table6", "table7", "table8", "ablation", "appendix-table1",
         "appendix-table2", "transfer", "fig2", "fig3", "seeds")  # fmt: skip
"""Names of tables and figures that can be reproduced, written here so that help needs no torch."""


@app.command("reproduce")
def reproduce(
    targets: Annotated[list[str], typer.Argument(help=f"Tables and figures: {', '.join(NAMES)}.")],
    dataset: Annotated[str, typer.Option(help="Dataset whose defenses are measured.")] = EMBEDDED,
    results: Annotated[Path | None, typer.Option(help="Folder for tables and figures.  [default: results]")] = None,
    trained: Annotated[Path, typer.Option(help="Folder for derived defenses.")] = Path("trained"),
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Measure the paper's tables and figures; train what is missing, reuse what exists."""
    find_dataset(dataset)
    folder = results or default_results()
    require_writable(folder / "tables", "--results")

    from robench.devices import pick_device
    from robench.report.paper import PAPER_TABLES, View
    from robench.reproduce import ReproductionRun, find_reproduction

    chosen = [find_reproduction(name) for name in targets]
    console = errors()
    run = ReproductionRun(
        dataset, folder, trained, pick_device(device), data_dir, lambda text: console.print(text, markup=False)
    )
    for target in chosen:
        target.need(run)
        for name in target.tables:
            table = PAPER_TABLES[name](run.source, View(against=True))
            show(table, output())
            for path in write_table(folder, dataset, name, table):
                typer.echo(f"wrote {path}")
        for name, draw in target.pictures.items():
            for suffix in (".png", ".svg"):
                path = folder / "figures" / dataset / f"{name}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                draw(run.source, path)
                typer.echo(f"wrote {path}")
