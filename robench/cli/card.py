"""`robench card init`."""

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.app import app
from robench.cli.own import FeatureLayer, HeadKind, Margin, Mean, Scale, Std, Weights, networks
from robench.errors import InputError
from robench.paths import data_root, require_writable

card_app = typer.Typer(help="Cards, which make a network part of the registry.", no_args_is_help=True)
app.add_typer(card_app, name="card")


@card_app.command("init")
def init(
    model: Annotated[
        str,
        typer.Option(
            help="file.py:make_model, a file of weights of a known kind, timm:NAME, torchvision:NAME, or a card "
            "with other --weights."
        ),
    ],
    dataset: Annotated[str, typer.Option(help="What it classifies: a known dataset, or npz:FILE and the like.")],
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    head: HeadKind = None,
    scale: Scale = None,
    margin: Margin = None,
    feature_layer: FeatureLayer = None,
    name: Annotated[str | None, typer.Option(help="Of the defense.  [default: the file's]")] = None,
    about: Annotated[str, typer.Option(help="One line on it.")] = "trained elsewhere",
    out: Annotated[Path, typer.Option(help="Writes OUT/<dataset>/<name>/.")] = Path("models"),
) -> None:
    """Write card and weights of a network that was trained elsewhere, so that it joins the registry."""
    from robench.data import find_dataset

    data = find_dataset(dataset)
    (network,) = networks([model], weights, mean, std, head, scale, margin, feature_layer)
    if network.plain:
        raise InputError(f"--model {model}: a card is there already; give other weights with --weights.")
    require_writable(out, "--out")

    from robench.register import register

    card = register(network, dataset, name or network.label, about, out)
    known = card.folder.is_relative_to(data_root() / "models")
    eps = " --eps EPS" if data.threat is None else ""
    shown = card.name if known else card.folder
    typer.echo(f"wrote {card.folder}\nevaluate it with `robench eval --model {shown}{eps}`")
