"""`robench verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from robench.cli.options import DataDir, Results, require_file_place, require_folder
from robench.cli.screens import output, show
from robench.cli.verify_published import verify_published
from robench.errors import InputError
from robench.report import Table

if TYPE_CHECKING:
    from robench.evaluation.verify import Verification

FAILED = 1


@app.command("verify")
def verify(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Check only this defense, by a name that robench prints; or a network as in `robench eval`, with its "
            "options, if it is no longer where it was evaluated. Repeatable.",
        ),
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
    published: Annotated[
        bool,
        typer.Option(
            "--published", help='Judge every published verdict "broken" again, from the points published with it.'
        ),
    ] = False,
    dataset: Annotated[str | None, typer.Option(help="With --published: only this dataset.")] = None,
    data_dir: DataDir = None,
    results: Results = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="With --published: write the result to this file; - for standard output."),
    ] = None,
) -> None:
    """Judge stored adversarial examples again, from disk; exit 1 if one is not confirmed.

    A user's network is loaded from the place where it was evaluated; its Python code is run only if it is unchanged.
    """
    from robench.paths import default_results
    from robench.report.names import card_of, full_names

    require_folder("--data-dir", data_dir)
    require_file_place("--json", None if str(json_file) == "-" else json_file)
    said = NetworkOptions(
        weights, mean, std, head, scale, margin, angular, feature_layer, variant, key, single_logit, rejects=rejects
    )
    if published:
        if said != NetworkOptions():
            raise InputError("--published is for defenses by name: leave the options that describe a network out.")
        if not verify_published(model or [], dataset, results, data_dir, json_file):
            raise typer.Exit(FAILED)
        return
    if dataset is not None or json_file is not None:
        raise InputError("--dataset and --json are for published records: add --published.")
    folder = results or default_results()
    if not model and said != NetworkOptions():
        raise InputError("the options describe the network of --model: name it, e.g. --model FILE.py:FUNCTION.")
    asked = networks(model or [], said)
    typed = [each.name for each in asked if each.plain]
    names = full_names(typed, folder)
    cards = [card for card in map(card_of, names or (), typed) if card is not None]

    # Errors above are reported at once; torch is loaded only now.
    from robench.evaluation.request import NetworkUnderTest
    from robench.evaluation.verify import verify as run

    described = [NetworkUnderTest.of_user(each, "any") for each in asked if not each.plain]
    checked = run(folder, cards, names, described, data_dir)
    show(_table(checked), output())
    faults, unchecked = any(v.faults for v in checked), _unchecked(checked)
    for name, reason in unchecked:
        typer.echo(f"robench: {name} is not checked: {reason}.", err=True)
    if faults:
        typer.echo("robench: some stored examples do not hold: do not trust these records.", err=True)
    if faults or unchecked:
        raise typer.Exit(FAILED)


def _table(checked: "list[Verification]") -> Table:
    table = Table("Stored adversarial examples, judged again", "record", ["examples", "confirmed", "faults"])
    for v in checked:
        faults = ", ".join(f"{count}x {fault}" for fault, count in v.faults.items())
        reason = "not checked, see below" if v.header.has_adversarial and v.reason else v.reason
        name = f"{v.header.model} {v.header.attack.name}"
        table.add(
            f"{name} ({v.header.hash[:8]})",
            {
                "examples": str(v.examples),
                "confirmed": str(v.confirmed),
                "faults": ", ".join(each for each in (faults, reason) if each) or "none",
            },
        )
    return table


def _unchecked(checked: "list[Verification]") -> list[tuple[str, str]]:
    """Return each network with points that could not be judged, once for each reason."""
    return list(dict.fromkeys((v.header.model, v.reason) for v in checked if v.header.has_adversarial and v.reason))
