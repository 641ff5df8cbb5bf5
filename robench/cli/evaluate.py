"""`robench eval`."""

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robench.cli.app import app
from robench.cli.corrupt import wanted
from robench.cli.dry import plans_json, show_plans
from robench.cli.network_options import (
    Angular,
    BackwardName,
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
    Title,
    Variant,
    Weights,
    networks,
)
from robench.cli.options import (
    BatchSize,
    Classes,
    Crop,
    DataDir,
    Device,
    Draws,
    Eps,
    Limit,
    MaskFile,
    Norm,
    Resize,
    Results,
    batch_size_of,
    reading_of,
    require_file_place,
    require_folder,
)
from robench.cli.screens import errors, output
from robench.cli.selecting import select_attacks, select_data, select_defense, select_substitutes
from robench.cli.target import TargetText
from robench.data.choice import ExampleChoice
from robench.data.mask_values import read_mask
from robench.engine.executors import make_executor, require_engine
from robench.errors import InputError
from robench.paths import default_results, require_writable, write_text
from robench.report import evaluations_json
from robench.specs import COUNTED
from robench.specs.settings import Engine, Precision, Search
from robench.store.outcome import Planned

if TYPE_CHECKING:
    from robench.evaluation.request import NetworkUnderTest


@app.command("eval")
def evaluate(
    model: Annotated[
        list[str],
        typer.Option(
            help="A registered defense, the path of a card, file.py:make_model, a file of weights of a known kind, "
            "a program (net.pt2, TorchScript, onnx:FILE), timm:NAME, torchvision:NAME or robustbench:NAME. Repeatable."
        ),
    ],
    battery: Annotated[
        list[str] | None, typer.Option(help="Named list of attacks. Repeatable.  [default: paper]")
    ] = None,
    attack: Annotated[
        list[str] | None, typer.Option(help="One attack, instead of a battery or in addition. Repeatable.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Dataset (its test split), folder:DIR, npz:FILE or parquet:FILE; by default that of the card or of "
            "RobustBench."
        ),
    ] = None,
    data_dir: DataDir = None,
    resize: Resize = None,
    crop: Crop = None,
    classes: Classes = None,
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
    name: Title = None,
    substitute: Annotated[
        list[str] | None, typer.Option(help="For transfer: craft on this defense instead of each --model. Repeatable.")
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="For transfer: craft on the mean of all substitutes' logits.")
    ] = False,
    max_queries: Annotated[
        int | None, typer.Option(help="Largest number of queries per example, for attacks on scores or decisions.")
    ] = None,
    norm: Norm = None,
    eps: Eps = None,
    target: TargetText = None,
    mask: MaskFile = None,
    backward: BackwardName = None,
    limit: Limit = None,
    sample: Annotated[int | None, typer.Option(help="Another word for --limit.")] = None,
    example: Annotated[
        list[int] | None, typer.Option(help="Evaluate only the example with this id. Repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random draws.")] = 0,
    batch_size: BatchSize = "auto",
    device: Device = "auto",
    precision: Annotated[
        Precision, typer.Option(help="Arithmetic of the search; the judge always uses fp32.")
    ] = "fp32",
    search: Annotated[
        Search,
        typer.Option(
            help="Form of the network that attacks run: plain; fused, with batch norm folded into the convolutions of "
            "robench's architectures; or compiled by torch. The judge always runs the plain network."
        ),
    ] = "fused",
    draws: Draws = None,
    engine: Annotated[
        Engine, typer.Option(help="Compute in this process, or with Ray on many cores or GPUs.")
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="Ray cluster to join, host:port or auto; by default Ray is started here.")
    ] = None,
    results: Results = None,
    save_adversarial: Annotated[
        bool, typer.Option("--save-adversarial", help="Keep the adversarial images, for `robench verify`.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be computed and how long it takes, and stop.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write verdicts as JSON to this file; - for standard output.")
    ] = None,
) -> None:
    """Run attacks on defenses and show robust accuracies, worst case first."""
    require_engine(engine, ray_address, search)
    require_folder("--data-dir", data_dir)
    choice = ExampleChoice(limit, sample, example or ())
    corruptions = wanted(battery or ())
    if corruptions:
        _require_no(example=example, target=target, mask=mask, draws=draws, backward=backward)
    given = None if mask is None else read_mask(mask)
    attacks = select_attacks(battery, attack)
    quiet = json_file is not None and str(json_file) == "-"
    asked = networks(
        model,
        NetworkOptions(
            weights, mean, std, head, scale, margin, angular, feature_layer, variant, key, single_logit, name, rejects
        ),
    )
    reading = reading_of(resize, crop, classes)
    cards = [select_defense(each.name, dataset, norm, eps, reading) for each in asked if each.plain]
    others = [(each, *select_data(each, dataset, norm, eps, reading)) for each in asked if not each.plain]
    if max_queries is not None and not any(spec.access in COUNTED for spec in attacks):
        raise InputError(
            f"--max-queries {max_queries} is for attacks on scores or decisions: add --battery blackbox, or drop it."
        )
    if ensemble and not any(spec.access == "transfer" for spec in attacks):
        raise InputError("--ensemble is for transfer attacks: add --battery transfer, or leave it out.")
    substitutes = select_substitutes(attacks, substitute, [card for card, *_ in cards])
    folder = results or default_results()
    if not dry_run:
        require_writable(folder / "raw", "--results")
    require_file_place("--json", None if quiet else json_file)

    # Errors above are reported at once; torch is loaded only now.
    from robench.cli.evaluate_run import EvalRun
    from robench.evaluation.budget import cap_queries
    from robench.evaluation.request import NetworkUnderTest, Settings
    from robench.evaluation.transfer import as_ensemble

    attacks = attacks if max_queries is None else cap_queries(attacks, max_queries)
    crafting = [NetworkUnderTest.of_card(card) for card in substitutes]
    settings = Settings(
        seed=seed,
        precision=precision,
        device=device,
        batch_size=batch_size_of(batch_size),
        save_adversarial=save_adversarial,
        search=search,
        draws=draws,
    )
    run = EvalRun(
        attacks=tuple(attacks),
        substitutes=(as_ensemble(crafting),) if ensemble and crafting else tuple(crafting),
        corruptions=corruptions,
        settings=settings,
        results=folder,
        data_dir=data_dir,
        quiet=quiet,
        choice=choice,
        executor=make_executor(engine, device, ray_address),
        target=target,
        mask=given,
        backward=backward,
    )
    tasks = [(NetworkUnderTest.of_card(card, data.name), data, threat) for card, data, threat in cards]
    tasks += [(NetworkUnderTest.of_user(each, data.name), data, threat) for each, data, threat in others]
    unique = {task[0].model: task for task in tasks}
    if dry_run:
        _forecast({name: run.plan(task) for name, task in unique.items()}, json_file, quiet)
        return
    with closing(run.executor):
        for task in unique.values():
            run.evaluate(task)
    _write_json(json_file, evaluations_json(run.evaluations) | ({"corruptions": run.cells} if corruptions else {}))
    if not quiet:
        _tell_place(folder / "raw" if attacks else folder, [under_test for under_test, *_ in unique.values()])
    if attacks:
        run.require_sound()


def _require_no(**options: object) -> None:
    """Require that no option is given that is for attacks, because corruptions are asked for.

    Raises:
        InputError: one is.
    """
    for name, value in options.items():
        if value is not None:
            raise InputError(f"--{name} is for attacks: leave the battery of corruptions out.")


def _forecast(plans: dict[str, tuple[list[Planned], list[Planned]]], json_file: Path | None, quiet: bool) -> None:
    """Show what each network's attacks would cost, and those of the cheaper battery."""
    asked_for, cheaper = ({name: each[at] for name, each in plans.items()} for at in (0, 1))
    _write_json(json_file, plans_json(asked_for, cheaper))
    if not quiet:
        show_plans(asked_for, cheaper)


def _tell_place(place: Path, networks: "list[NetworkUnderTest]") -> None:
    """Say where the records are, and what is remarkable about the networks."""
    output().print(f"Records: {place}", markup=False, soft_wrap=True)
    for each in networks:
        if each.remark:
            errors().print(f"{each.source or each.model}: {each.remark}.", markup=False, soft_wrap=True)


def _write_json(path: Path | None, data: Any) -> None:
    if path is None:
        return
    text = json.dumps(data, indent=2)
    if str(path) == "-":
        typer.echo(text)
        return
    write_text(path, text + "\n")
