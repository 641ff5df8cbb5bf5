"""Command-line options that several commands share: each with one help text."""

from pathlib import Path
from typing import Annotated

import typer

from robench.data.class_names import read_class_names
from robench.data.reading import Reading
from robench.data.sizes import read_size
from robench.errors import InputError
from robench.specs import Norm as NormName


def _no_file(place: Path | None) -> Path | None:
    """Return the folder of `--results`, which may not exist yet.

    Raises:
        InputError: a file is in its place.
    """
    if place is not None and place.is_file():
        raise InputError(f"--results '{place}' is a file: name a folder.")
    return place


DataDir = Annotated[Path | None, typer.Option(help="Folder of downloaded datasets.")]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda or cuda:N.")]
Norm = Annotated[
    NormName | None, typer.Option(case_sensitive=False, help="Norm of the perturbation; by default the dataset's.")
]
Eps = Annotated[str | None, typer.Option(help="Radius of the perturbation, e.g. 8/255; by default the dataset's.")]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        help="File of the pixels that attacks may change, 1 or white: .npy, .npz or black-and-white .png; (H, W) or "
        "(C, H, W), with N in front for one mask per example. All other pixels stay as they are.",
    ),
]
Limit = Annotated[
    int | None, typer.Option(help="Evaluate only N examples: all classes in proportion, the same for every network.")
]
Resize = Annotated[
    str | None,
    typer.Option(
        help="Resize the shorter side of images in folder: and parquet: data to N; or auto, to resize and crop as the "
        "library of timm:NAME or torchvision:NAME does for this network.",
        metavar="N|auto|LIBRARY:NAME",
    ),
]
Crop = Annotated[int | None, typer.Option(help="Take the central N x N pixels of images in folder: and parquet: data.")]
Classes = Annotated[
    Path | None,
    typer.Option(help="File of class names in the order of the labels, one per line, for folder: and parquet: data."),
]
Draws = Annotated[
    int | None,
    typer.Option(
        help="Evaluate a random network: mean of N draws of its answers in every question of an attack. The judge "
        "draws 64 answers for each point.",
        metavar="N",
    ),
]
BatchSize = Annotated[
    str, typer.Option(help="Examples per forward pass: N, or auto for a size that suits the network.")
]
Results = Annotated[
    Path | None,
    typer.Option(
        help="Folder of records.  [default: ./results; in a checkout of robench, its results]", callback=_no_file
    ),
]
Models = Annotated[
    list[str] | None, typer.Option("--model", help="Take only this defense, by a name that robench prints. Repeatable.")
]
OnlyDataset = Annotated[
    str | None, typer.Option("--dataset", help="Show only this dataset.  [default: all; digits in the paper's tables]")
]
OnlyNorm = Annotated[NormName | None, typer.Option("--norm", case_sensitive=False, help="Show only this norm.")]
OnlyEps = Annotated[str | None, typer.Option("--eps", help="Show only this radius of the perturbation, e.g. 8/255.")]
OnlySeed = Annotated[int | None, typer.Option("--seed", help="Show only this seed of the attacks.")]
OnlyAttacks = Annotated[list[str] | None, typer.Option("--attack", help="Show only this attack. Repeatable.")]
OnlyBattery = Annotated[str | None, typer.Option("--battery", help="Show only attacks of this battery.")]


def reading_of(resize: str | None, crop: int | None, classes: Path | None) -> Reading:
    """Return how the user's images are read.

    Raises:
        InputError: a size is none, or the file of class names cannot be read.
    """
    return Reading(read_size(resize), crop, () if classes is None else read_class_names(classes))


def batch_size_of(text: str) -> int | None:
    """Return the number of examples per micro-batch; None for auto.

    Raises:
        InputError: the text is neither auto nor a positive number.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--batch-size '{text}' is neither auto nor a positive number.")
    return int(text)


def require_folder(option: str, folder: Path | None) -> None:
    """Check that a folder, if one is given, exists.

    Raises:
        InputError: there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise InputError(f"{option} '{folder}' is not a folder.")


def require_file_place(option: str, file: Path | None) -> None:
    """Check that a file, if one is given, can be written before anything is computed.

    Raises:
        InputError: the path is a folder, or its folder cannot be written.
    """
    from robench.paths import require_writable

    if file is None:
        return
    if file.is_dir():
        raise InputError(f"{option} '{file}' is a folder: name a file.")
    require_writable(file.parent, option)
