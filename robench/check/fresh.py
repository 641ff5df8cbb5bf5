"""The gate's evaluation: fresh verdicts of defenses as they are now, compared with the baseline's."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from robench.algorithms import bind
from robench.check import (
    CLEAN,
    REGRESSION,
    WORST,
    Baseline,
    Cell,
    CellResult,
    Commands,
    Match,
    cell_key,
    compare,
    detectable,
    rule,
)
from robench.classifiers.user_images import fitted
from robench.data import Dataset
from robench.data.split import Split
from robench.devices import pick_device
from robench.errors import IncompleteError, InputError
from robench.evaluation.progress import Quiet, Watcher
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate, skipped
from robench.report import Evaluation
from robench.report.selection import defense
from robench.specs import LEVELS, AttackSpec, Card, ThreatModel, digest
from robench.store import Record, Store
from robench.store.outcome import Outcome

Watching = AbstractContextManager[Watcher]
EXTRA = 2
"""Number of a defense's cells that belong to no single attack: clean and worst case."""


@dataclass(frozen=True)
class GateRequest:
    """The part of a gate that is the same for every defense.

    Attributes:
        specs: the attacks.
        settings: the settings of the evaluations.
        data_dir: the folder of downloaded datasets, if it is not the default.
        limit: the number of examples; by default all.
    """

    specs: Sequence[AttackSpec]
    settings: Settings
    data_dir: Path | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Candidate:
    """A defense as it is now, its evaluation, and its records in the baseline.

    Attributes:
        card: the card of the defense.
        data: the dataset of the defense.
        data_dir: the folder of downloaded datasets, if it is not the default.
        request: the network, the examples, the threat model and the attacks that apply.
        skipped: attacks that do not apply, with the reason.
        match: the baseline's records.
    """

    card: Card
    data: Dataset
    data_dir: Path | None
    request: EvaluationRequest
    skipped: Mapping[str, str]
    match: Match

    @property
    def name(self) -> str:
        """The declared name of the defense, which the baseline's records share."""
        return defense(self.card.name)

    def evaluate(self, store: Store, watcher: Watcher) -> Outcome:
        """Evaluate the defense; read the records that the store holds, and run the other attacks."""
        return evaluate(self.request, store, watcher)

    def compare(self, fresh: Sequence[Record]) -> list[Cell]:
        """Return the cells of the attacks that the baseline has."""
        after = [record for record in fresh if record.header.attack.name in self.match.found]
        before = [self.match.found[record.header.attack.name] for record in after]
        return compare(self.name, before, after, self.request.split.ids.numpy()) if after else []

    def command(self, cell: Cell, fresh: Sequence[Record]) -> str:
        """Return the command that reproduces the verdict on a lost example.

        If the verdict does not depend on other examples, the command runs that example only.
        """
        example, spec = int(cell.lost[0]), self._breaker(cell, fresh)
        independent = bind(spec).example_independent and not self.data.in_files
        which = ["--example", str(example)] if independent else ["--limit", str(len(self.request.split))]
        settings, threat = self.request.settings, self.request.threat
        model = self.card.name if "@" not in self.card.name else str(self.card.folder)
        words = ["robench", "eval", "--model", model, "--attack", spec.name, "--norm", threat.norm]
        words += ["--eps", threat.text, "--seed", str(settings.seed), *which]
        words += ["--precision", settings.precision] if settings.precision != "fp32" else []
        words += ["--device", settings.device] if settings.device != "auto" else []
        words += ["--data-dir", str(self.data_dir)] if self.data_dir is not None else []
        return shlex.join(words)

    def _breaker(self, cell: Cell, fresh: Sequence[Record]) -> AttackSpec:
        """Return the attack of a cell; for the worst case, the first attack that broke the first lost example."""
        position = int(np.flatnonzero(self.request.split.ids.numpy() == cell.lost[0])[0])
        for record in fresh:
            name = record.header.attack.name
            if cell.name in (name, CLEAN) or (cell.name == WORST and not record.robust[position]):
                return record.header.attack
        raise ValueError(f"no attack of '{cell.name}' broke example {cell.lost[0]}")

    def notes(self, evaluation: Evaluation) -> Iterator[str]:
        """Yield notes on the defense's cells: what was evaluated, what was skipped, and broken worst cases."""
        found = self.match.found.values()
        changed = {record.header.model_identity for record in found} - {digest(self.card.identity())}
        which = "another network than" if changed else "the same network as"
        seeds = "" if self.match.seed == self.request.settings.seed else f", which has seed {self.match.seed}"
        yield (
            f"{self.name}: {self.request.threat}, {len(self.request.split)} examples, "
            f"seed {self.request.settings.seed}; {which} the baseline's{seeds}."
        )
        yield from (f"{self.name} {attack}: skipped, {reason}." for attack, reason in self.skipped.items())
        trust = evaluation.worst_case.trust
        if trust.level == LEVELS[-1]:
            yield f"{self.name}: the worst case says nothing, {trust.sentence()}"


def candidates(
    subjects: Iterable[tuple[Card, Dataset, ThreatModel]], gate: GateRequest, baseline: Baseline, store: Store
) -> list[Candidate]:
    """Find the records of the baseline that compare with defenses as they are now, without running an attack.

    Raises:
        InputError: a network cannot be evaluated, an attack needs other networks, or two defenses share a name.
        IncompleteError: no attack applies to a defense.
    """
    for spec in gate.specs:
        if spec.access == "transfer":
            raise InputError(f"'{spec.name}' needs other networks, the gate compares only one: leave the attack out.")
    splits: dict[Dataset, Split] = {}
    found: dict[str, Candidate] = {}
    for card, data, threat in subjects:
        if data not in splits:
            splits[data] = data.load("test", gate.data_dir, gate.limit)
        each = _candidate(card, data, splits[data], threat, gate, baseline, store)
        if found.setdefault(each.name, each).card.folder != card.folder:
            raise InputError(f"two different defenses are called {each.name}: check them one after the other.")
    return list(found.values())


def _candidate(
    card: Card, data: Dataset, split: Split, threat: ThreatModel, gate: GateRequest, baseline: Baseline, store: Store
) -> Candidate:
    under_test = NetworkUnderTest.of_card(card, data.name)
    if data.place is not None:
        device = pick_device(gate.settings.device)
        split = fitted(split, under_test.load(), device, lambda names: data.named(names).load("test", None, gate.limit))
    request = EvaluationRequest(under_test, split, threat, tuple(gate.specs), gate.settings)
    reasons = {each.name: each.reason for each in skipped(request, store, Quiet())}
    applicable = tuple(spec for spec in gate.specs if spec.name not in reasons)
    if not applicable:
        raise IncompleteError(f"no attack applies to {card.name}: choose others with --attack.")
    request = replace(request, attacks=applicable)
    wanted = {spec.name: request.attack_identity(spec) for spec in applicable}
    match = baseline.match(card.name, wanted, gate.settings.seed, reasons)
    return Candidate(card, data, gate.data_dir, request, reasons, match)


@dataclass(frozen=True)
class GateResult:
    """The result of the gate.

    Attributes:
        cell_results: the results of all cells.
        commands: the commands that reproduce the cells that regressed.
        fresh: the fresh records of each candidate.
        notes: sentences for the reader of the cells.
    """

    cell_results: list[CellResult]
    commands: Commands
    fresh: dict[str, list[Record]]
    notes: list[str]

    @property
    def failed(self) -> bool:
        """True if a cell regressed."""
        return any(result.verdict == REGRESSION for result in self.cell_results)


def judge(
    defenses: Sequence[Candidate], store: Store, max_drop: float, alpha: float, watch: Callable[[str], Watching]
) -> GateResult:
    """Evaluate all defenses, and rule on all their cells together.

    Args:
        defenses: candidates with different names.
        store: the store of the fresh records; records that it holds are not computed again.
        max_drop, alpha: see `robench.check.rule`.
        watch: returns the watcher of the evaluation of a defense, by its name.

    Raises:
        FaultError: every verdict of an attack is void.
        InputError: an attack met NaN or infinite gradients.
    """
    evaluations: dict[str, Evaluation] = {}
    for each in defenses:
        with watch(each.name) as watcher:
            evaluations[each.name] = Evaluation.of(each.evaluate(store, watcher))
        evaluations[each.name].require_sound()
        for lost in evaluations[each.name].skipped:
            raise InputError(f"{each.name}: {lost.name} cannot be compared, {lost.reason}: leave it out with --attack.")
    fresh = {name: [result.record for result in evaluation.results] for name, evaluation in evaluations.items()}
    cell_results = rule([cell for each in defenses for cell in each.compare(fresh[each.name])], max_drop, alpha)
    by_name = {each.name: each for each in defenses}
    commands = {
        cell_key(cell): by_name[cell.model].command(cell, fresh[cell.model])
        for cell in (result.cell for result in cell_results if result.verdict == REGRESSION)
    }
    notes = [note for each in defenses for note in each.notes(evaluations[each.name])]
    return GateResult(cell_results, commands, fresh, [*notes, _spent(evaluations.values())])


def _spent(evaluations: Iterable[Evaluation]) -> str:
    results = [result for evaluation in evaluations for result in evaluation.results]
    computed = sum(result.source == "computed" for result in results)
    seconds = sum(result.seconds for result in results)
    read = f", {len(results) - computed} read from earlier or longer runs" if computed < len(results) else ""
    return f"Attacks: {computed} of {len(results)} run now, in {seconds:.1f} s{read}."


def require_power(defenses: Sequence[Candidate], alpha: float) -> None:
    """Require that every defense has enough examples for the largest possible drop to be significant.

    Raises:
        IncompleteError: a defense has too few examples, so the gate could never fail.
    """
    cells = sum(len(each.request.attacks) + EXTRA for each in defenses)
    needed = detectable(cells, alpha)
    for each in defenses:
        if len(each.request.split) < needed:
            raise IncompleteError(
                f"{len(each.request.split)} examples of {each.card.name} cannot show a regression: among {cells} cells "
                f"a drop is significant at {alpha:g} from {needed} lost examples on; take more examples."
            )
