"""`robench download` and `robench doctor`."""

import platform
import shutil
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import typer

from robench.cli.app import app
from robench.cli.options import DataDir
from robench.data import Dataset
from robench.data.published import PublishedSet
from robench.errors import IncompleteError, RobenchError
from robench.paths import require_writable


@app.command("download")
def download(
    dataset: Annotated[Literal["cifar10", "cifar100"], typer.Argument(help="Dataset to fetch.")],
    data_dir: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path("data"),
) -> None:
    """Fetch a published dataset and check its checksums."""
    from robench.data import find_dataset

    require_writable(data_dir, "--data-dir")
    split = find_dataset(dataset).module.load("test", data_dir, download=True)
    typer.echo(f"{dataset}: {len(split)} test examples in {data_dir}")


@app.command("doctor")
def doctor(
    data_dir: DataDir = None,
    results: Annotated[Path | None, typer.Option(help="Folder of records.  [default: results]")] = None,
) -> None:
    """Show versions, devices, data and models, and what is missing."""
    import torch

    from robench.data import DATASETS
    from robench.data.published import PUBLISHED
    from robench.paths import data_root, default_results
    from robench.specs import EMBEDDED, list_models

    folder = results or default_results()
    say = typer.echo
    say(f"{'python':22} {platform.python_version()}\n{'platform':22} {platform.platform()}")
    for name in ("robench", "torch", "torchvision", "numpy", "scikit-learn", "pyarrow", "pandas", "safetensors"):
        say(f"{name:22} {_version(name)}")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    say(f"{'cpu':22} {torch.get_num_threads()} threads")
    say(f"{'gpu':22} {', '.join(gpus) or 'none found; everything works on the CPU'}")
    say(f"{'declared in':22} {data_root()}")
    sound = True
    for name, dataset in DATASETS.items():
        found, what = _attempt(partial(_examples, dataset, data_dir))
        if name != EMBEDDED:  # the others must be fetched first
            found, what = True, what.replace("PROBLEM", "not ready")
        sound &= found
        say(f"{'data ' + name:22} {what}")
    for name, published in PUBLISHED.items():
        what = _attempt(partial(_corrupted, published, data_dir))[1].replace("PROBLEM", "not ready")
        say(f"{'data ' + name:22} {what}")
    for name in list_models():
        found, what = _attempt(partial(_weights, name))
        sound &= found
        say(f"{'model ' + name:22} {what}")
    found, what = _attempt(partial(_room, folder))
    say(f"{'results':22} {what}")
    if not (sound and found):
        raise IncompleteError("something is missing or damaged: mend the lines marked PROBLEM.")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing: pip install robench again"


def _attempt(look: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, look()
    except RobenchError as error:
        return False, f"PROBLEM: {error}"


def _examples(dataset: Dataset, data_dir: Path | None) -> str:
    split = dataset.load("test", data_dir, limit=100 if dataset.partly else None)
    return f"{len(split)} test examples{' looked at' if dataset.partly else ''}, checksum holds"


def _corrupted(published: PublishedSet, data_dir: Path | None) -> str:
    return published.open(data_dir).describe()


def _weights(name: str) -> str:
    from robench.classifiers import load_card
    from robench.specs import find_card

    card = find_card(name)
    if not card.sha256:
        return f"no weights yet: {card.how_to_train}"
    load_card(card)
    return "weights found, checksum holds"


def _room(folder: Path) -> str:
    from robench.paths import require_writable

    require_writable(folder / "raw", "--results")
    return f"{folder}, {shutil.disk_usage(folder).free / 2**30:.0f} GiB free"
