"""`robench verify` and `robench doctor`."""

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from robench.cli.app import app
from robench.cli.report import Models, Results
from robench.cli.screens import output, show
from robench.errors import IncompleteError, RobenchError
from robench.report import Table

FAILED = 1


@app.command("verify")
def verify(model: Models = None, results: Results = None) -> None:
    """Judge stored adversarial examples again, from disk; exit 1 if one does not hold."""
    from robench.paths import default_results
    from robench.specs import find_card
    from robench.verify import verify as run

    folder = results or default_results()
    checked = run(folder, [find_card(name) for name in model] if model else None)
    if not any(not v.reason for v in checked):
        raise IncompleteError(
            f"'{folder}' has no stored adversarial examples to verify: run `robench eval --save-adversarial` first."
        )
    table = Table("Stored adversarial examples, judged again", "record", ["examples", "confirmed", "faults"])
    for v in checked:
        faults = ", ".join(f"{count}x {fault}" for fault, count in v.faults.items()) or v.reason or "none"
        name = f"{v.header.model} {v.header.attack.name}"
        table.add(
            f"{name} ({v.header.hash[:8]})",
            {"examples": str(v.examples), "confirmed": str(v.confirmed), "faults": faults},
        )
    show(table, output())
    if any(v.faults for v in checked):
        typer.echo("some stored examples do not hold: do not trust these records.", err=True)
        raise typer.Exit(FAILED)


@app.command("doctor")
def doctor(
    data_dir: Annotated[Path | None, typer.Option(help="Where downloaded datasets lie.")] = None,
    results: Results = None,
) -> None:
    """Versions, devices, data and models found, and what is missing."""
    import torch

    from robench.data import DATASETS
    from robench.paths import data_root, default_results, require_writable
    from robench.specs import find_card, list_models

    folder = results or default_results()
    lines = [("python", platform.python_version()), ("platform", platform.platform())]
    for name in ("robench", "torch", "numpy", "scikit-learn", "pyarrow", "pandas", "safetensors"):
        lines.append((name, _version(name)))
    lines.append(("cpu", f"{torch.get_num_threads()} threads"))
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    lines.append(("gpu", ", ".join(gpus) or "none found; everything works on the CPU"))
    lines.append(("declared in", str(data_root())))
    for name, dataset in DATASETS.items():
        lines.append(
            (
                f"data {name}",
                _attempt(lambda d=dataset: f"{len(d.load('test'))} test examples, checksum holds"),
            )
        )
    for name in list_models():
        lines.append((f"model {name}", _attempt(lambda n=name: _weights(find_card(n)))))
    free = shutil.disk_usage(folder if folder.is_dir() else Path()).free / 2**30
    require_writable(folder / "raw")
    lines.append(("results", f"{folder}, {free:.0f} GiB free"))
    if data_dir is not None:
        lines.append(("data dir", str(data_dir) if data_dir.is_dir() else f"'{data_dir}' is not a folder"))
    for name, what in lines:
        typer.echo(f"{name:22} {what}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing: pip install robench again"


def _attempt(look: "object") -> str:
    assert callable(look)
    try:
        return str(look())
    except RobenchError as error:
        return f"PROBLEM: {error}"


def _weights(card: "object") -> str:
    from robench.classifiers import load_card
    from robench.specs import Card

    assert isinstance(card, Card)
    if not card.sha256:
        return f"no weights; make them with `robench train --model {card.name}`"
    load_card(card)
    return "weights found, checksum holds"
