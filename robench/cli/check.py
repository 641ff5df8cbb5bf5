"""`robench check`: the gate for continuous integration."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from robench.check import Baseline, gate_table
from robench.check.baseline import LINES
from robench.check.github import add_summary, add_text, annotations, error, present
from robench.check.junit import write_junit, write_refusal
from robench.check.table import smallest_drop
from robench.cli.app import app
from robench.cli.network_options import Key
from robench.cli.options import (
    BatchSize,
    Classes,
    Crop,
    DataDir,
    Device,
    Draws,
    Resize,
    batch_size_of,
    require_file_place,
    require_folder,
)
from robench.cli.screens import Screen, errors, output, show
from robench.cli.selecting import select_attacks
from robench.cli.subjects import SubjectOptions
from robench.cli.target import TargetText
from robench.errors import IncompleteError, InputError, RobenchError, StoppedError
from robench.paths import require_writable
from robench.report.publish import republish
from robench.specs import Norm as NormName
from robench.specs import list_models
from robench.specs.settings import Precision

if TYPE_CHECKING:
    from robench.check.fresh import Candidate, GateResult

FAILED = 1
BATTERY = "quick"


@app.command("check")
def check(
    baseline: Annotated[
        Path | None, typer.Option(help="A file of published records, or a results folder.  [default: results]")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A defense, or the path of its card. Repeatable.  [default: all defenses of the baseline]"),
    ] = None,
    battery: Annotated[list[str] | None, typer.Option(help="Battery of attacks. Repeatable.  [default: quick]")] = None,
    attack: Annotated[
        list[str] | None, typer.Option(help="One attack, instead of a battery or in addition. Repeatable.")
    ] = None,
    max_drop: Annotated[float, typer.Option(help="Largest drop that a cell may show, in points of accuracy.")] = 1.0,
    alpha: Annotated[float, typer.Option(help="Probability of a false alarm over all cells together.")] = 0.05,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Make the fresh verdicts the baseline, and show what changes.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="Place of the card's data on this machine, e.g. npz:FILE; by default the card's.")
    ] = None,
    resize: Resize = None,
    crop: Crop = None,
    classes: Classes = None,
    weights: Annotated[
        Path | None, typer.Option(help="Judge these weights in place of those of the card, e.g. freshly trained ones.")
    ] = None,
    key: Key = None,
    norm: Annotated[
        NormName | None,
        typer.Option(
            case_sensitive=False, help="Norm of the perturbation; by default that of the card, dataset or baseline."
        ),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(help="Radius of the perturbation, e.g. 8/255; by default that of the card, dataset or baseline."),
    ] = None,
    target: TargetText = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Evaluate only N examples, all classes in proportion; by default as many as the baseline has."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random draws; the baseline may have another.")] = 0,
    precision: Annotated[
        Precision, typer.Option(help="Arithmetic of the search; the judge always uses fp32.")
    ] = "fp32",
    draws: Draws = None,
    batch_size: BatchSize = "auto",
    device: Device = "auto",
    data_dir: DataDir = None,
    results: Annotated[
        Path | None, typer.Option(help="Keep records in this folder and reuse them; by default all are computed.")
    ] = None,
) -> None:
    """Compare fresh verdicts with published records; exit 1 on a significant drop."""
    _require_sane(max_drop, alpha, data_dir)
    specs = select_attacks(battery, attack, BATTERY)
    if not specs:
        raise InputError(f"--battery {', '.join(battery or ())} has no attacks to compare: choose another.")
    if results is not None:
        require_writable(results / "raw", "--results")
    require_file_place("--junit", junit)
    if baseline is not None and not baseline.exists() and baseline.suffix not in ("", LINES):
        raise InputError(f"--baseline '{baseline}': name a file that ends in {LINES}, or a results folder.")
    with _refusals(junit), _folder(results) as folder:
        held = Baseline.read(baseline)
        asked = SubjectOptions(dataset, resize, crop, classes, norm, eps, limit, target, weights, key)
        subjects = asked.subjects(model or _models(held), held)

        foreign = [each.card.name for each in subjects if each.foreign]
        if update and baseline is None and foreign:
            raise InputError(f"{foreign[0]} is not registered: name the file of its baseline with --baseline.")
        if baseline is None and (unknown := [name for name in foreign if not held.of(name)]):
            raise IncompleteError(
                f"'{held.path}' has no records of {unknown[0]}: name the file of its baseline, or make one with "
                "--baseline robustness.jsonl --update."
            )

        # Errors above are reported at once; torch is loaded only now.
        from robench.check.fresh import GateRequest, candidates, judge, power, require_power
        from robench.evaluation.request import Settings
        from robench.store import Store

        settings = Settings(seed, precision, device, batch_size_of(batch_size), draws=draws)
        store = Store(folder)
        found = candidates(subjects, GateRequest(specs, settings, data_dir, asked.words()), held, store)
        for each in found:
            if update and baseline is not None:
                _require_all(held, each)
            elif not update:
                each.match.require()
        require_power(found, alpha)
        verdict = judge(found, store, max_drop, alpha, partial(Screen, errors()))
    _show(verdict, max_drop, alpha, junit, accepted=update)
    if update:
        _update(held, found, verdict)
        if not verdict.cell_results and (least := smallest_drop(*power(found), max_drop, alpha)):
            typer.echo(f"{least[0].upper()}{least[1:]}.")
    elif verdict.failed:
        raise typer.Exit(FAILED)


def _require_sane(max_drop: float, alpha: float, data_dir: Path | None) -> None:
    if not (isfinite(max_drop) and max_drop >= 0):
        raise InputError(f"--max-drop {max_drop:g} must be a number of points, 0 or more.")
    if not 0 < alpha < 1:
        raise InputError(f"--alpha {alpha:g} must lie between 0 and 1.")
    require_folder("--data-dir", data_dir)


def _models(held: Baseline) -> list[str]:
    """Return the defenses of a baseline, all of them registered."""
    held.require_records()
    names = {record.header.model for records in held.records.values() for record in records}
    for name in sorted(names - {*list_models()}):
        raise InputError(f"'{held.path}' has records of {name}, which is not registered: give its card as --model.")
    return sorted(names)


def _show(verdict: "GateResult", max_drop: float, alpha: float, junit: Path | None, *, accepted: bool) -> None:
    """Show the verdict on the screen, as JUnit XML, and under GitHub Actions as annotations and step summary."""
    table = gate_table(verdict.cell_results, max_drop, alpha, verdict.commands, accepted=accepted)
    table.notes += verdict.notes
    if verdict.cell_results:
        show(table, output())
    if junit is not None:
        write_junit(junit, verdict.cell_results, verdict.commands)
    if present(os.environ) and verdict.cell_results:
        for line in () if accepted else annotations(verdict.cell_results):
            typer.echo(line)
        try:
            add_summary(os.environ, table)
        except InputError as fault:  # the verdict stands without the summary
            errors().print(str(fault), markup=False)


def _require_all(held: Baseline, candidate: "Candidate") -> None:
    """Check that no record of a baseline file is dropped without a comparison.

    Raises:
        InputError: the file has attacks on an older network that are not asked for now.
    """
    names = [spec.name for spec in candidate.request.attacks]
    if lost := held.lost(candidate.name, candidate.network, names):
        raise InputError(
            f"'{held.file_of(candidate.name)}' also holds {', '.join(lost)} of the older network, which would be "
            f"dropped unseen: add {' '.join(f'--attack {name}' for name in lost)}, or delete the file first."
        )


def _update(held: Baseline, candidates: "Iterable[Candidate]", verdict: "GateResult") -> None:
    """Make the fresh verdicts the baseline; print what could not be compared and what changed."""
    for each in candidates:
        if held.file_of(each.name).is_file():
            for problem in each.match.problems():
                typer.echo(f"{problem}.")
        typer.echo(republish(held.file_of(each.name), verdict.fresh[each.name]))


@contextmanager
def _refusals(junit: Path | None) -> Iterator[None]:
    """Report an error of the gate in every place where a verdict is expected."""
    try:
        yield
    except RobenchError as refusal:
        if junit is not None:
            write_refusal(junit, str(refusal))
        if present(os.environ):
            typer.echo(error(str(refusal)))
            add_text(os.environ, f"robench check: {refusal}")
        raise


@contextmanager
def _folder(results: Path | None) -> Iterator[Path]:
    """Provide a folder for the fresh records: the given one, or a temporary one for this command."""
    if results is not None:
        yield results
        return
    with TemporaryDirectory(prefix="robench-") as name:
        try:
            yield Path(name)
        except KeyboardInterrupt:
            raise StoppedError("interrupted: nothing was kept; with --results DIR the same command goes on.") from None
