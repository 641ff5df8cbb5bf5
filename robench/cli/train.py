"""`robench train`."""

import os
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robench.cli.app import app
from robench.cli.options import DataDir, Device, require_folder
from robench.cli.screens import errors
from robench.errors import InputError

if TYPE_CHECKING:
    from robench.training import Epoch


@app.command("train")
def train(
    model: Annotated[
        list[str] | None, typer.Option(help="A registered defense, or the path of a card.toml. Repeatable.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Train all registered defenses, or those of --dataset.")] = False,
    dataset: Annotated[str | None, typer.Option(help="With --all: only the defenses of this dataset.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for <dataset>/<name>/.")] = Path("trained"),
    resume: Annotated[bool, typer.Option(help="Continue after the last finished epoch.")] = True,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Retrain what cards declare; after an interruption the same command goes on.

    On several GPUs: torchrun --nproc-per-node N -m robench train --model NAME
    """
    from robench.paths import require_writable
    from robench.specs import find_card

    cards = [find_card(name) for name in _names(model, all_, dataset)]
    require_folder("--data-dir", data_dir)
    folders = [out / card.label / card.folder.name for card in cards]
    for folder in folders:
        require_writable(folder, "--out")

    from robench.devices import pick_device
    from robench.training import train as run
    from robench.training.processes import leave

    speaks = os.environ.get("RANK", "0") == "0"
    for card, folder in zip(cards, folders, strict=True):
        with _Lines(card.name, card.require_recipe().epochs, speaks) as lines:
            path = run(card, folder, pick_device(device), lines.show, data_dir=data_dir, resume=resume)
        if speaks:
            typer.echo(f"wrote {path}\nevaluate it with `robench eval --model {path}`")
    leave()


def _names(model: list[str] | None, everything: bool, dataset: str | None) -> list[str]:
    from robench.data import find_dataset
    from robench.specs import list_models

    if bool(model) == everything:
        raise InputError("give --model NAME, or --all, perhaps with --dataset.")
    if model:
        if dataset:
            raise InputError("--dataset goes with --all; a card names its own dataset.")
        return model
    if dataset:
        find_dataset(dataset)
    return [name for name in list_models() if dataset is None or name.startswith(f"{dataset}/")]


class _Lines:
    """Print one line per epoch with the remaining time; on a terminal also a bar."""

    def __init__(self, name: str, epochs: int, speaks: bool) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console = errors()
        self.name, self.epochs, self.speaks = name, epochs, speaks
        self.bar = Progress(
            TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not (speaks and self.console.is_terminal),
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
        if not self.speaks:
            return
        self.seconds.append(epoch.seconds)
        left = (self.epochs - epoch.epoch) * sum(self.seconds) / len(self.seconds)
        robust = "" if isnan(epoch.robust_accuracy) else f"  robust {epoch.robust_accuracy:.1f}%"
        self.console.print(
            f"{self.name} epoch {epoch.epoch:3d}/{self.epochs}  loss {epoch.loss:.4f}"
            f"  held-out clean {epoch.clean_accuracy:.1f}%"
            f"{robust}  {epoch.seconds:.1f} s  ETA {left:.0f} s"
        )
        self.bar.update(self.task, completed=epoch.epoch)
