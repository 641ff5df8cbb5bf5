"""`robench eval`."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robench.cli.app import app
from robench.cli.corrupt import Kind, corrupt, corruption_plan, wanted
from robench.cli.dry import CHEAPER, plans_json, show_plans
from robench.cli.network_options import FeatureLayer, HeadKind, Margin, Mean, Scale, Std, Weights, networks
from robench.cli.screens import Screen, errors, output, show
from robench.data import Dataset, dataset_of, find_dataset
from robench.data.choice import ExampleChoice
from robench.engine.executors import make_executor, require_engine
from robench.errors import IncompleteError, InputError
from robench.paths import data_root, default_results, require_writable, write_text
from robench.report import Evaluation, evaluations_json
from robench.report.corruptions import as_json, shown
from robench.report.sweeps import Sweep
from robench.specs import NORMS, AttackSpec, Card, NetworkSpec, ThreatModel, battery_attacks, find_attack, find_card
from robench.store.outcome import Planned

if TYPE_CHECKING:
    from robench.data.split import Split
    from robench.engine.executors.base import Executor
    from robench.evaluation.request import NetworkUnderTest, Settings


@app.command("eval")
def evaluate(
    model: Annotated[
        list[str],
        typer.Option(
            help="A registered defense, the path of a card, file.py:make_model, a file of weights of a known kind, "
            "timm:NAME or torchvision:NAME. Repeatable."
        ),
    ],
    battery: Annotated[
        list[str] | None, typer.Option(help="A named list of attacks. Repeatable.  [default: paper]")
    ] = None,
    attack: Annotated[
        list[str] | None, typer.Option(help="One attack, instead of a battery or on top of it. Repeatable.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Its test split, or folder:DIR, npz:FILE, parquet:FILE; the card's by default."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where downloaded datasets lie.")] = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    head: HeadKind = None,
    scale: Scale = None,
    margin: Margin = None,
    feature_layer: FeatureLayer = None,
    substitute: Annotated[
        list[str] | None, typer.Option(help="For transfer: craft on this defense, not on each --model. Repeatable.")
    ] = None,
    ensemble: Annotated[bool, typer.Option(help="For transfer: craft on the mean of all substitutes' logits.")] = False,
    max_queries: Annotated[
        int | None, typer.Option(help="Cut attacks on scores or decisions to so many queries an example.")
    ] = None,
    norm: Annotated[str | None, typer.Option(help="linf or l2; the dataset's by default.")] = None,
    eps: Annotated[str | None, typer.Option(help="Like 8/255 or 0.031; the dataset's by default.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N examples.")] = None,
    sample: Annotated[
        int | None, typer.Option(help="Only N examples, every class in proportion, chosen by --seed.")
    ] = None,
    example: Annotated[list[int] | None, typer.Option(help="Only the example with this id. Repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Of all random draws.")] = 0,
    batch_size: Annotated[str, typer.Option(help="Of micro-batches: N, or auto for what suits the network.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of the search: fp32, tf32 or bf16; the judge keeps fp32.")] = "fp32",
    search: Annotated[
        str,
        typer.Option(
            help="How attacks run the network: plain; fused, with batch norm folded into the convolutions of robench's "
            "own architectures; or compiled by torch. Verdicts are given on the plain network, records kept as one."
        ),
    ] = "fused",
    engine: Annotated[
        str, typer.Option(help="Where chunks are computed: local, or ray for many cores or GPUs.")
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster to join, host:port or auto; without it Ray is started here.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Where records are kept.  [default: results]")] = None,
    save_adversarial: Annotated[bool, typer.Option(help="Keep the adversarial images, for `robench verify`.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be computed and how long it takes, and stop.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write verdicts as JSON; - for standard output.")
    ] = None,
) -> None:
    """Run attacks on defenses and show robust accuracies, worst case first."""
    require_engine(engine, ray_address, search)
    if data_dir is not None and not data_dir.is_dir():
        raise InputError(f"--data-dir '{data_dir}' is not a folder.")
    choice = ExampleChoice(limit, sample, example or (), seed)
    if example and wanted(battery or ()):
        raise InputError("--example is for attacks: leave the battery of corruptions out.")
    specs = select_attacks(battery, attack)
    quiet = json_file is not None and str(json_file) == "-"
    asked = networks(model, weights, mean, std, head, scale, margin, feature_layer)
    cards = [subject_of(each.name, dataset, norm, eps) for each in asked if each.plain]
    own = [(each, *_own_data(each, dataset, norm, eps)) for each in asked if not each.plain]
    folder = results or default_results()
    _require_places(None if dry_run else folder, None if quiet else json_file)

    # Everything above answers at once; torch is loaded only now.
    from robench.evaluation.budget import cap_queries
    from robench.evaluation.request import NetworkUnderTest, Settings
    from robench.evaluation.transfer import as_ensemble

    specs = specs if max_queries is None else cap_queries(specs, max_queries)
    crafting = [
        NetworkUnderTest.of_card(card) for card in _substitutes(specs, substitute, [card for card, *_ in cards])
    ]
    crafting = [as_ensemble(crafting)] if ensemble and crafting else crafting
    settings = Settings(
        seed, precision, device, batch_size_of(batch_size), save_adversarial=save_adversarial, search=search  # type: ignore[arg-type]
    )  # fmt: skip
    executor = make_executor(engine, device, ray_address)
    run = _Run(specs, crafting, wanted(battery or ()), settings, folder, data_dir, quiet, choice, executor)
    targets = [(NetworkUnderTest.of_card(card), each, threat) for card, each, threat in cards]
    targets += [(NetworkUnderTest.of_own(each, data.name), data, threat) for each, data, threat in own]
    unique = {target[0].model: target for target in targets}
    if dry_run:
        plans = {name: run.plan(*target) for name, target in unique.items()}
        asked_for, cheaper = ({name: each[at] for name, each in plans.items()} for at in (0, 1))
        _write_json(json_file, plans_json(asked_for, cheaper))
        if not quiet:
            show_plans(asked_for, cheaper)
        return
    with closing(executor):
        for target in unique.values():
            run.evaluate(*target)
    _write_json(json_file, evaluations_json(run.evaluations) | ({"corruptions": run.cells} if run.corruptions else {}))
    if not quiet:
        output().print(f"Records: {folder / 'raw' if specs else folder}", markup=False, soft_wrap=True)
    for under_test, *_ in () if quiet else unique.values():
        if under_test.remark:
            errors().print(under_test.remark, markup=False, soft_wrap=True)
    if specs:
        _require_sound(run.evaluations)


@dataclass
class _Run:
    """What is the same for every defense of a command, and what came of it."""

    specs: list[AttackSpec]
    substitutes: "list[NetworkUnderTest]"
    corruptions: list[Kind]
    settings: "Settings"
    results: Path
    data_dir: Path | None
    quiet: bool
    choice: ExampleChoice
    executor: "Executor"
    evaluations: list[Evaluation] = field(default_factory=list)
    cells: list[dict[str, Any]] = field(default_factory=list)

    def plan(
        self, under_test: "NetworkUnderTest", data: Dataset, threat: ThreatModel
    ) -> tuple[list[Planned], list[Planned]]:
        """What would be computed, and what the cheaper battery would compute instead."""
        from robench.evaluation.cost import CostHistory
        from robench.evaluation.run import plan
        from robench.store import Store, read_published

        split = self.choice.of(data, self.data_dir)
        history = CostHistory(read_published(data_root() / "results"), without=under_test.model)
        others = [spec for spec in battery_attacks(CHEAPER) if spec not in self.specs] if self.specs else []
        specs, store = [*self.specs, *others], Store(self.results)
        rows = plan(under_test, split, specs, threat, self.settings, store, self.substitutes, history)
        names, extra = {spec.name for spec in battery_attacks(CHEAPER)}, {spec.name for spec in others}
        asked = [row for row in rows if row.attack not in extra]
        asked += [
            corruption_plan(under_test, split, kind, self.data_dir, self.settings, self.results)
            for kind in self.corruptions
        ]
        return asked, [row for row in rows if row.attack in names]

    def evaluate(self, under_test: "NetworkUnderTest", data: Dataset, threat: ThreatModel) -> None:
        """Attack, corrupt, show."""
        split = self.choice.of(data, self.data_dir)
        if self.specs:
            self._attack(under_test, split, threat)
        if self.corruptions:
            made = corrupt(under_test, split, self.corruptions, self.data_dir, self.settings, self.results)
            for lines in made.values():
                self.cells += as_json(lines)
                if not self.quiet:
                    show(shown({under_test.model: Sweep(tuple(lines))}), output())

    def _attack(self, under_test: "NetworkUnderTest", split: "Split", threat: ThreatModel) -> None:
        from robench.evaluation.run import evaluate
        from robench.store import Store

        with Screen(errors(), under_test.model) as screen:
            outcome = evaluate(
                under_test,
                split,
                self.specs,
                threat,
                self.settings,
                Store(self.results),
                screen,
                self.substitutes,
                self.executor,
            )
        self.evaluations.append(Evaluation.of(outcome))
        for skipped in outcome.skipped:
            errors().print(f"{under_test.model} {skipped.name}: skipped, {skipped.reason}.")
        if not self.quiet:
            show(self.evaluations[-1].table(), output())


def select_attacks(
    batteries: Sequence[str] | None, attacks: Sequence[str] | None, default: str = "paper"
) -> list[AttackSpec]:
    """Each attack once, in the order asked for; those of the default battery where none is asked for."""
    if not batteries and not attacks:
        batteries = [default]
    specs = [spec for name in batteries or () for spec in battery_attacks(name)] + [*map(find_attack, attacks or ())]
    return list({spec.name: spec for spec in specs}.values())


def _substitutes(specs: list[AttackSpec], named: list[str] | None, models: list[Card]) -> list[Card]:
    """On which defenses transfer attacks are crafted; nothing where there are no such attacks."""
    if not any(spec.access == "transfer" for spec in specs):
        if named:
            raise InputError("--substitute is for transfer attacks: add --battery transfer, or take it out.")
        return []
    cards = {card.name: card for card in (map(find_card, named) if named else models)}
    if not named and len(cards) < 2:
        raise InputError("transfer needs another network: repeat --model, or name one with --substitute.")
    for card in cards.values():
        card.require_weights()
    return list(cards.values())


def _own_data(own: NetworkSpec, dataset: str | None, norm: str | None, eps: str | None) -> tuple[Dataset, ThreatModel]:
    """On what a network of one's own is evaluated: unless a card does, that has to be said."""
    if dataset is None and not own.registered:
        raise InputError(f"--model {own.name} does not say its data: add --dataset, npz:FILE say.")
    data = find_dataset(dataset) if dataset else dataset_of(find_card(own.name))
    return data, _threat(data, norm, eps)


def _threat(data: Dataset, norm: str | None, eps: str | None) -> ThreatModel:
    """What is asked for, else what is usual for a dataset."""
    usual = data.threat
    if eps is None and (usual is None or (norm in NORMS and norm != usual.norm)):
        raise InputError(f"'{data.name}' has no default eps{f' for {norm}' if norm else ''}: give one with --eps.")
    if usual is None:
        return ThreatModel.parse(norm or NORMS[0], eps or "")
    return ThreatModel.parse(norm or usual.norm, usual.text if eps is None else eps)


def subject_of(name: str, dataset: str | None, norm: str | None, eps: str | None) -> tuple[Card, Dataset, ThreatModel]:
    """The card, the data and the threat model that one --model stands for."""
    card = find_card(name)
    card.require_weights()
    data = find_dataset(dataset) if dataset else dataset_of(card)
    return card, data, _threat(data, norm, eps)


def _require_places(results: Path | None, json_file: Path | None) -> None:
    """Be sure that everything can be written before anything is computed."""
    if results is not None:
        require_writable(results / "raw", "--results")
    if json_file is not None:
        if json_file.is_dir():
            raise InputError(f"--json '{json_file}' is a folder: name a file.")
        require_writable(json_file.parent, "--json")


def _write_json(path: Path | None, data: Any) -> None:
    if path is None:
        return
    text = json.dumps(data, indent=2)
    if str(path) == "-":
        typer.echo(text)
        return
    write_text(path, text + "\n")


def _require_sound(evaluations: list[Evaluation]) -> None:
    """No verdict at all is an incomplete run; an attack all of whose verdicts are void is an internal fault."""
    if not any(evaluation.results for evaluation in evaluations):
        raise IncompleteError("no attack applies, so there is no verdict: choose others with --attack.")
    for evaluation in evaluations:
        evaluation.require_sound()


def batch_size_of(text: str) -> int | None:
    """Of micro-batches; None where it is to be found."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--batch-size '{text}' is neither auto nor a positive number.")
    return int(text)
