"""The run of `robench eval` after its arguments are checked: evaluate or plan each network, and show the result."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robench.classifiers.user_images import fitted
from robench.cli.corrupt import Kind, corrupt, corruption_plan
from robench.cli.dry import CHEAPER
from robench.cli.screens import Screen, errors, output, show
from robench.cli.target import read_target
from robench.data import Dataset
from robench.data.choice import ExampleChoice
from robench.data.described import described
from robench.data.mask import fitted_mask
from robench.data.mask_values import MaskValues
from robench.data.split import Split
from robench.engine.executors.base import Executor
from robench.errors import IncompleteError, InputError, StoppedError
from robench.evaluation.cost import CostHistory, most_passes
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate, plan
from robench.paths import data_root
from robench.report import Evaluation, Table
from robench.report.beside_leaderboard import leaderboard_says
from robench.report.corruptions import as_json, sweep_table
from robench.report.sweeps import Sweep
from robench.specs import AttackSpec, ThreatModel, battery_attacks, find_attack
from robench.specs.attack import THROUGH
from robench.store import Store, read_published
from robench.store.outcome import Planned

Task = tuple[NetworkUnderTest, Dataset, ThreatModel]
"""A network, its data and its threat model."""


@dataclass
class EvalRun:
    """Settings that all networks of one command share, and the evaluations made so far."""

    attacks: tuple[AttackSpec, ...]
    substitutes: tuple[NetworkUnderTest, ...]
    corruptions: list[Kind]
    settings: Settings
    results: Path
    data_dir: Path | None
    quiet: bool
    choice: ExampleChoice
    executor: Executor
    target: str | None = None
    mask: MaskValues | None = None
    backward: str | None = None
    evaluations: list[Evaluation] = field(default_factory=list)
    cells: list[dict[str, Any]] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    """Descriptions of data that were printed."""

    def plan(self, task: Task) -> tuple[list[Planned], list[Planned]]:
        """Forecast the cost of the attacks asked for, and that of the cheaper battery."""
        cheaper = battery_attacks(CHEAPER)
        others = tuple(spec for spec in cheaper if spec not in self.attacks) if self.attacks else ()
        request = self._request(task, self.attacks + others)
        history = CostHistory(read_published(data_root() / "results"), without=request.under_test.model)
        rows = plan(request, Store(self.results), history)
        names, extra = {spec.name for spec in cheaper}, {spec.name for spec in others}
        asked = [row for row in rows if row.attack.partition(THROUGH)[0] not in extra]
        asked += [
            corruption_plan(request.under_test, request.split, kind, self.data_dir, self.settings, self.results)
            for kind in self.corruptions
        ]
        return asked, [row for row in rows if row.attack.partition(THROUGH)[0] in names]

    def evaluate(self, task: Task) -> None:
        """Attack and corrupt one network, and show the verdicts."""
        request = self._request(task, self.attacks)
        if self.attacks:
            self._attack(request)
        if self.corruptions:
            self._corrupt(request)

    def require_sound(self) -> None:
        """Check that there are verdicts, and that no attack has only void ones.

        Raises:
            IncompleteError: no attack applies to any network.
            FaultError: every verdict of an attack is void.
        """
        if not any(evaluation.results for evaluation in self.evaluations):
            raise IncompleteError("no attack applies, so there is no verdict: choose others with --attack.")
        for evaluation in self.evaluations:
            evaluation.require_sound()

    def _request(self, task: Task, attacks: tuple[AttackSpec, ...]) -> EvaluationRequest:
        under_test, data, threat = task
        split = self.choice.of(data, self.data_dir)
        if data.place is not None:
            split = fitted(split, under_test.load(), self.executor.device, lambda names: self._named(data, names))
            data = data.named(split.about.known or data.reading.known)
        mask = None
        if self.mask is not None:
            mask = fitted_mask(self.mask, split, lambda: data.load("test", self.data_dir).ids)
        request = EvaluationRequest(under_test, split, threat, attacks, self.settings, self.substitutes, mask=mask)
        if self.target is not None:
            request = request.aiming_at(read_target(self.target, data))
        return request.through(self.backward if self.attacks else None)

    def _named(self, data: Dataset, known: tuple[str, ...]) -> Split:
        """Read the examples again, with labels by class names."""
        return self.choice.of(data.named(known), self.data_dir)

    def _attack(self, request: EvaluationRequest) -> None:
        model = request.under_test.model
        with Screen(errors(), model, lambda: self._say(request.split)) as screen:
            try:
                outcome = evaluate(request, Store(self.results), screen, self.executor)
            except KeyboardInterrupt:
                raise StoppedError(screen.interrupted()) from None
        self.evaluations.append(Evaluation.of(outcome))
        for skipped in outcome.skipped:
            errors().print(f"{model} {skipped.name}: skipped, {skipped.reason}.")
        if not self.quiet:
            table = beside_leaderboard(self.evaluations[-1])
            table.notes.extend(_price(self.evaluations[-1], int(request.split.y.max()) + 1))
            show(table, output())

    def _say(self, split: Split) -> None:
        """Print what is evaluated, once."""
        line = described(split)
        if line not in self.said:
            self.said.add(line)
            errors().print(line, markup=False, soft_wrap=True)

    def _corrupt(self, request: EvaluationRequest) -> None:
        under_test = request.under_test
        made = corrupt(under_test, request.split, self.corruptions, self.data_dir, self.settings, self.results)
        self._say(request.split)
        for lines in made.values():
            self.cells += as_json(lines)
            if not self.quiet:
                table = sweep_table({under_test.model: Sweep(tuple(lines))})
                table.notes.extend([under_test.normalisation.sentence] if under_test.normalisation else [])
                show(table, output())


def beside_leaderboard(evaluation: Evaluation) -> Table:
    """Return the table of an evaluation; its first line also tells what the leaderboard shows of the same network."""
    table = evaluation.table()
    if not evaluation.results:
        return table
    record = evaluation.results[0].record
    try:
        said = leaderboard_says(record)
    except InputError as error:  # no reason to lose the table
        errors().print(f"{record.header.model}: note: {error}", markup=False, soft_wrap=True)
        return table
    first, _, rest = table.title.partition("\n")
    return replace(table, title=f"{first}; {said}\n{rest}") if said else table


def _price(evaluation: Evaluation, classes: int) -> list[str]:
    """Return a note on the passes of the attacks to run next; no note if there are none."""
    if not evaluation.results or not evaluation.worst_case.trust.next:
        return []
    worst = evaluation.worst_case
    survivors = round(worst.robust_accuracy * worst.header.n / 100)
    costs = [(name, most_passes(find_attack(name), survivors, classes)) for name in worst.trust.next]
    listed = ", ".join(f"{name} {passes:,}" for name, passes in costs)
    return [f"Price in forward plus backward passes, at most: {listed} (--dry-run forecasts the seconds)."]
