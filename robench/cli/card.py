"""`robench card init`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from robench.cli.app import app
from robench.cli.network_options import (
    Angular,
    FeatureLayer,
    HeadKind,
    Key,
    Margin,
    Mean,
    NetworkOptions,
    RejectsBy,
    Scale,
    SingleLogit,
    Std,
    Variant,
    Weights,
    networks,
)
from robench.cli.options import Classes, Crop, DataDir, Resize, reading_of
from robench.cli.screens import errors
from robench.cli.selecting import card_data, select_threat
from robench.data.card_reading import with_library
from robench.errors import InputError
from robench.paths import data_root
from robench.specs import Norm as NormName
from robench.specs import find_card

card_app = typer.Typer(help="Write cards, from which networks are rebuilt.", no_args_is_help=True)
app.add_typer(card_app, name="card")


@card_app.command("init")
def init(
    model: Annotated[
        str,
        typer.Option(
            help="Network: file.py:make_model, a file of weights of a known kind, timm:NAME, torchvision:NAME, "
            "robustbench:NAME, or a card with other --weights."
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset that the network classifies, e.g. cifar10 or npz:FILE; by default the card's."),
    ] = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    head: HeadKind = None,
    scale: Scale = None,
    margin: Margin = None,
    angular: Angular = None,
    feature_layer: FeatureLayer = None,
    variant: Variant = None,
    key: Key = None,
    single_logit: SingleLogit = False,
    rejects: RejectsBy = None,
    name: Annotated[str | None, typer.Option(help="Name of the defense.  [default: the file's name]")] = None,
    about: Annotated[str | None, typer.Option(help="One line about the defense.  [default: trained elsewhere]")] = None,
    norm: Annotated[
        NormName | None, typer.Option(case_sensitive=False, help="Norm of the perturbation, for the card.")
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(help="Radius of the perturbation, e.g. 8/255, for the card: eval and check take it from there."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace card, weights and code that are there already, all or none.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for <dataset>/<name>/; models/ of a checkout is the registry.  [default: models, or the place "
            "of the card that gets other weights]"
        ),
    ] = None,
    data_dir: DataDir = None,
    resize: Resize = None,
    crop: Crop = None,
    classes: Classes = None,
) -> None:
    """Write a card for a network that was trained elsewhere.

    The network is tried on two images; then card, weights and code are written to one folder. In the registry (--out
    is models/ of a checkout) the name of the defense is <dataset>/<name>, elsewhere the path of its folder.
    """
    (network,) = networks(
        [model],
        NetworkOptions(
            weights, mean, std, head, scale, margin, angular, feature_layer, variant, key, single_logit, rejects=rejects
        ),
    )
    if network.plain:
        raise InputError(f"--model {model}: a card is there already; give other weights with --weights.")
    old = find_card(network.name) if network.kind == "card" else None
    named = dataset or (old.data if old is not None else None)
    if named is None:
        raise InputError(f"--model {model} does not say its data: add --dataset, e.g. npz:FILE.")
    data = card_data(dataset, old, with_library(reading_of(resize, crop, classes), network, old))
    declared = old.threat if old is not None else None
    threat = select_threat(data, norm, eps, declared) if norm or eps else declared

    # Errors above are reported at once; torch is loaded only now.
    from robench.classifiers.place import Place
    from robench.classifiers.register import register, samples

    beside = old.folder.parent.parent if old is not None and "@" in old.name else Path("models")
    usual = old.about if old is not None else "trained elsewhere"
    place = Place(out or beside, name or network.label, about or usual, replace=force)
    tried, why = samples(data, data_dir)
    card = register(network, data, named, tried, place, threat)
    if why:
        errors().print(f"Tried on noise: {why}", markup=False)
    known = card.folder.parent.parent == data_root() / "models"
    where = "it is in the registry" if known else "it is outside the registry and goes by its path"
    shown = card.name if known else shlex.quote(str(card.folder))
    missing = " --eps EPS" if data.threat is None and threat is None else ""
    typer.echo(f"wrote {card.folder}\n{where}: `robench eval --model {shown}{missing}`")
