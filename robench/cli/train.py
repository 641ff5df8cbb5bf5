"""`robench train`."""

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robench.cli.app import app
from robench.cli.screens import errors

if TYPE_CHECKING:
    from robench.training import Epoch


@app.command("train")
def train(
    model: Annotated[str, typer.Option(help="A registered defense, or the path of a card.toml.")],
    out: Annotated[Path, typer.Option(help="Writes OUT/<dataset>/<name>/.")] = Path("trained"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Retrain what a card declares; interrupted, the same command goes on."""
    from robench.paths import require_writable
    from robench.specs import find_card

    card = find_card(model)
    folder = out / card.dataset / card.folder.name
    require_writable(folder)

    from robench.devices import pick_device
    from robench.training import train as run

    with _Lines(card.recipe.epochs) as lines:
        path = run(card, folder, pick_device(device), lines.show)
    typer.echo(f"wrote {path}\nevaluate it with `robench eval --model {path}`")


class _Lines:
    """One line an epoch with the time that is left; on a terminal a bar below them."""

    def __init__(self, epochs: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console = errors()
        self.epochs = epochs
        self.bar = Progress(
            TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task("", total=epochs)
        self.seconds: list[float] = []

    def __enter__(self) -> "_Lines":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, epoch: "Epoch") -> None:
        """Print a finished epoch."""
        self.seconds.append(epoch.seconds)
        left = (self.epochs - epoch.epoch) * sum(self.seconds) / len(self.seconds)
        robust = "" if isnan(epoch.robust_accuracy) else f"  robust {epoch.robust_accuracy:.1f}%"
        self.console.print(
            f"epoch {epoch.epoch:3d}/{self.epochs}  loss {epoch.loss:.4f}  held-out clean {epoch.clean_accuracy:.1f}%"
            f"{robust}  {epoch.seconds:.1f} s  ETA {left:.0f} s"
        )
        self.bar.update(self.task, completed=epoch.epoch)
