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
from robench.check.subject import Subject
from robench.classifiers.user_images import fitted
from robench.data import Dataset
from robench.data.split import Split
from robench.devices import pick_device
from robench.errors import IncompleteError, InputError
from robench.evaluation.other_weights import with_weights
from robench.evaluation.progress import Quiet, Watcher
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate, skipped
from robench.report import Evaluation
from robench.report.selection import defense
from robench.specs import LEVELS, AttackSpec, digest
from robench.store import Record, Store
from robench.store.outcome import Outcome

Watching = AbstractContextManager[Watcher]
EXTRA = 2
"""Number of cells of a defense under several attacks that belong to no single attack: clean and worst case."""


@dataclass(frozen=True)
class GateRequest:
    """The part of a gate that is the same for every defense.

    Attributes:
        specs: the attacks.
        settings: the settings of the evaluations.
        data_dir: the folder of downloaded datasets, if it is not the default.
        options: options of the command line that `robench eval` needs as well for the same evaluation.
    """

    specs: Sequence[AttackSpec]
    settings: Settings
    data_dir: Path | None = None
    options: Sequence[str] = ()


@dataclass(frozen=True)
class Candidate:
    """A defense as it is now, its evaluation, and its records in the baseline.

    Attributes:
        subject: the defense, its data and its threat model.
        gate: the settings that all defenses share.
        request: the network, the examples, the threat model and the attacks that apply.
        skipped: attacks that do not apply, with the reason.
        match: the baseline's records.
    """

    subject: Subject
    gate: GateRequest
    request: EvaluationRequest
    skipped: Mapping[str, str]
    match: Match

    @property
    def name(self) -> str:
        """The declared name of the defense, which the baseline's records share."""
        return defense(self.request.under_test.model)

    @property
    def network(self) -> str:
        """The digest of the identity of the network."""
        return digest(self.request.under_test.identity)

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
        subject, settings, threat = self.subject, self.request.settings, self.request.threat
        card = subject.card
        model = card.name if "@" not in card.name else str(card.folder)
        words = ["robench", "eval", "--model", model, "--attack", spec.name, "--norm", threat.norm]
        words += ["--eps", threat.text, "--seed", str(settings.seed)]
        alone = bind(spec).example_independent and not subject.data.in_files and not isinstance(subject.target, list)
        if alone:
            words += ["--example", str(example)]
        else:
            words += ["--limit", str(len(self.request.split) + self.request.left_out)]
        words += ["--weights", str(subject.weights.file)] if subject.weights else []
        words += ["--key", subject.weights.key] if subject.weights and subject.weights.key else []
        words += ["--precision", settings.precision] if settings.precision != "fp32" else []
        words += ["--draws", str(settings.draws)] if settings.draws is not None else []
        words += ["--device", settings.device] if settings.device != "auto" else []
        words += ["--data-dir", str(self.gate.data_dir)] if self.gate.data_dir is not None else []
        return shlex.join([*words, *self.gate.options])

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
        changed = {record.header.model_identity for record in found} - {self.network}
        which = "another network than" if changed else "the same network as"
        seeds = "" if self.match.seed == self.request.settings.seed else f", which has seed {self.match.seed}"
        total = self.request.split.about.total
        of = f" of {total}" if total is not None and total > len(self.request.split) else ""
        lent = " (the baseline's)" if self.subject.lent else ""
        goal = f", target {self.subject.target}" if isinstance(self.subject.target, int | str) else ""
        weights = f"weights of '{self.subject.weights.file}', not the card's: " if self.subject.weights else ""
        yield (
            f"{self.name}: {self.request.threat}{lent}{goal}, {len(self.request.split)}{of} examples, "
            f"seed {self.request.settings.seed}; {weights}{which} the baseline's{seeds}."
        )
        yield from (f"{self.name} {attack}: skipped, {reason}." for attack, reason in self.skipped.items())
        for attack in self.match.new:
            yield f"{self.name} {attack}: not compared, it is newer than the baseline (--update adds it)."
        trust = evaluation.worst_case.trust
        if trust.level == LEVELS[-1]:
            yield f"{self.name}: the worst case says nothing, {trust.sentence()}"


def candidates(subjects: Iterable[Subject], gate: GateRequest, baseline: Baseline, store: Store) -> list[Candidate]:
    """Find the records of the baseline that compare with defenses as they are now, without running an attack.

    Raises:
        InputError: a network cannot be evaluated, an attack needs other networks, or two defenses share a name.
        IncompleteError: no attack applies to a defense.
    """
    for spec in gate.specs:
        if spec.access == "transfer":
            raise InputError(f"'{spec.name}' needs other networks, the gate compares only one: leave the attack out.")
    splits: dict[tuple[Dataset, int | None], Split] = {}
    found: dict[str, Candidate] = {}
    for subject in subjects:
        key = subject.data, subject.limit
        if key not in splits:
            splits[key] = subject.data.load("test", gate.data_dir, subject.limit)
        each = _candidate(subject, splits[key], gate, baseline, store)
        if found.setdefault(each.name, each).subject.card.folder != subject.card.folder:
            raise InputError(f"two different defenses are called {each.name}: check them one after the other.")
    return list(found.values())


def _candidate(subject: Subject, split: Split, gate: GateRequest, baseline: Baseline, store: Store) -> Candidate:
    weights = subject.weights
    if weights is None:
        under_test = NetworkUnderTest.of_card(subject.card, subject.data.name)
    else:
        under_test = with_weights(subject.card, weights.file, weights.key)
    if subject.data.place is not None:
        device, data, limit = pick_device(gate.settings.device), subject.data, subject.limit
        split = fitted(split, under_test.load(), device, lambda names: data.named(names).load("test", None, limit))
    request = EvaluationRequest(under_test, split, subject.threat, tuple(gate.specs), gate.settings)
    request = request.aiming_at(subject.target)
    reasons = {each.name: each.reason for each in skipped(request, store, Quiet())}
    applicable = tuple(spec for spec in gate.specs if spec.name not in reasons)
    if not applicable:
        raise IncompleteError(f"no attack applies to {under_test.model}: choose others with --attack.")
    request = replace(request, attacks=applicable)
    wanted = {spec.name: request.attack_identity(spec) for spec in applicable}
    match = baseline.match(under_test.model, wanted, gate.settings.seed, reasons)
    return Candidate(subject, gate, request, reasons, match)


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


def power(defenses: Sequence[Candidate]) -> tuple[int, int]:
    """Return what decides which drops are significant: the fewest examples of a defense, and the number of cells."""
    attacks = [len(each.request.attacks) - len(each.match.new) for each in defenses]
    examples = min(len(each.request.split) for each in defenses)
    return examples, sum(number + (EXTRA if number > 1 else 1) for number in attacks)


def require_power(defenses: Sequence[Candidate], alpha: float) -> None:
    """Require that every defense has enough examples for the largest possible drop to be significant.

    Raises:
        IncompleteError: a defense has too few examples, so the gate could never fail.
    """
    _, cells = power(defenses)
    needed = detectable(cells, alpha)
    for each in defenses:
        if len(each.request.split) < needed:
            raise IncompleteError(
                f"{len(each.request.split)} examples of {each.name} cannot show a regression: among {cells} cells "
                f"a drop is significant at {alpha:g} from {needed} lost examples on; take more examples."
            )
