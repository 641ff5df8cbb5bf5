"""`robench list` and `robench show`: declared things, without importing torch, and any network."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

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
    Scale,
    Std,
    Variant,
    Weights,
    networks,
)
from robench.cli.options import Results
from robench.cli.screens import output, show
from robench.report import Table
from robench.specs import NetworkSpec

listing = typer.Typer(no_args_is_help=True, help="List declared defenses, attacks and more.")
showing = typer.Typer(no_args_is_help=True, help="Show one defense, attack or battery in full.")
app.add_typer(listing, name="list")
app.add_typer(showing, name="show")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _list(title: str, rows: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    rows = list(rows)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    columns = [key for key in rows[0] if key != "name"] if rows else []
    table = Table(title=f"{len(rows)} {title}", corner="name", columns=columns)
    for row in rows:
        table.add(row["name"], {key: str(row[key]) for key in columns})
    show(table, output(), wrap=True)


@listing.command("models")
def list_models(as_json: AsJson = False) -> None:
    """List registered defenses."""
    from robench.specs import find_card
    from robench.specs import list_models as names

    cards = {name: find_card(name) for name in names()}
    rows = (
        {
            "name": name,
            "head": card.head.kind,
            "framework": card.recipe.framework if card.recipe else "elsewhere",
            "weights": "yes" if card.sha256 else "no",
            "about": card.about,
        }
        for name, card in cards.items()
    )
    _list("models", rows, as_json)


@listing.command("attacks")
def list_attacks(as_json: AsJson = False) -> None:
    """List declared attacks."""
    from robench.specs import find_attack
    from robench.specs import list_attacks as names

    specs = [find_attack(name) for name in names()]
    rows = ({"name": s.name, "access": s.access, "steps": s.steps, "about": s.about} for s in specs)
    _list("attacks", rows, as_json)


@listing.command("batteries")
def list_batteries(as_json: AsJson = False) -> None:
    """List batteries, which are named lists of attacks."""
    from robench.specs import battery_attacks, find_battery
    from robench.specs import list_batteries as names

    rows = ({"name": n, "attacks": len(battery_attacks(n)), "about": find_battery(n).about} for n in names())
    _list("batteries", rows, as_json)


@listing.command("datasets")
def list_datasets(as_json: AsJson = False) -> None:
    """List known datasets."""
    from robench.data import DATASETS
    from robench.data.published import PUBLISHED

    rows = [
        {
            "name": d.name,
            "shape": "x".join(map(str, d.shape or ())),
            "classes": d.classes,
            "threat": str(d.threat),
            "about": d.about,
        }
        for d in DATASETS.values()
    ]
    for each in PUBLISHED.values():
        like = next(row for row in rows if row["name"] == each.dataset)
        rows.append(like | {"name": each.name, "threat": "", "about": each.about})
    _list("datasets", rows, as_json)


@listing.command("tables")
def list_tables(as_json: AsJson = False) -> None:
    """List the tables that `robench report` can make."""
    from robench.report.by_name import about

    _list("tables", ({"name": name, "about": text} for name, text in about().items()), as_json)


@showing.command("model")
def show_model(
    name: str,
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
    results: Results = None,
) -> None:
    """Show a defense: its card, or what its records say, and its verdicts; or any network that `robench eval` takes."""
    options = NetworkOptions(weights, mean, std, head, scale, margin, angular, feature_layer, variant, key)
    (spec,) = networks([name], options)
    if spec.plain:
        _show_defense(name, results)
    else:
        _show_network(spec)


def _show_network(spec: NetworkSpec) -> None:
    from robench.classifiers import resolve

    loaded = resolve(spec)
    head = loaded.head.model_dump()
    parameters = sum(each.numel() for each in loaded.network.parameters())
    rows = {
        "network": spec.name,
        "architecture": " ".join(
            [loaded.architecture.name, *(f"{k}={v}" for k, v in loaded.architecture.args.items())]
        ),
        "parameters": f"{parameters:,}",
        "head": " ".join(f"{key}={value}" for key, value in head.items()) if head["kind"] == "he" else "linear",
        "images": str(loaded.normalisation).removeprefix("images "),
        "features": loaded.feature_layer or "",
        "remark": loaded.remark,
    }
    for key, value in rows.items():
        if value:
            typer.echo(f"{key:14}{value}")


def _show_defense(typed: str, results: Path | None) -> None:
    """Show a card, or what the records of a network without a card say; then the verdicts of each group."""
    from robench.report import load, robustness
    from robench.report.groups import groups
    from robench.report.names import card_of, defense_name
    from robench.specs import CARD, Normalisation

    records = load(results)
    name = defense_name(typed, (record.header.model for record in records))
    card = card_of(name, typed)
    found = groups(records, [name])
    if card is not None:
        typer.echo(f"# {card.folder / CARD}")
        typer.echo((card.folder / CARD).read_text(encoding="utf-8").strip())
        typer.echo(f"\n{Normalisation.of(card.input, 'of the card').sentence}")
    else:
        header = next(record.header for record in records if record.header.model == name)
        typer.echo(f"# {name}, from its records; it has no card")
        typer.echo(f"network {header.model_identity}")
        if header.normalisation:
            typer.echo(f"\n{header.normalisation.sentence}")
    for group in found:
        typer.echo()
        show(robustness(group).transposed(), output())


@showing.command("attack")
def show_attack(name: str) -> None:
    """Show an attack: its stanza in full."""
    from robench.specs import find_attack

    typer.echo(json.dumps(find_attack(name).model_dump(), indent=2))


@showing.command("battery")
def show_battery(name: str) -> None:
    """Show a battery: its attacks in order."""
    from robench.specs import battery_attacks, find_battery
    from robench.specs.corruption import corruptions, extra_corruptions, find_corruption
    from robench.specs.corruption_3d import CORRUPTIONS_3D

    typer.echo(f"{name}: {find_battery(name).about}")
    listed = {"published": corruptions, "generated": corruptions, "extra": extra_corruptions}
    for each in listed.get(find_battery(name).corruptions, list)():
        typer.echo(f"  {each:20} {find_corruption(each).about}")
    for each, meaning in CORRUPTIONS_3D.items() if find_battery(name).corruptions == "3d" else ():
        typer.echo(f"  {each:20} {meaning}")
    for spec in battery_attacks(name):
        typer.echo(f"  {spec.name:20} {spec.about}")
