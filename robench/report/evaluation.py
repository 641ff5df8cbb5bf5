"""The verdicts of an evaluation as an object: numbers, worst case, JSON, data frame."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robench.errors import FaultError, InputError, unknown
from robench.report.points import Points
from robench.report.table import Table, html, plain
from robench.report.trust import Trust, trust
from robench.report.worst_case import WorstCase, worst_case
from robench.specs.attack import THROUGH
from robench.specs.diagnostic import INFINITE_GRADIENTS
from robench.store import Record
from robench.store.outcome import ORIGIN, Outcome, Result, Skipped

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
COLUMNS = ["robust %", "95% CI", "trust", "forwards", "backwards", "seconds"]
ONE_DRAW = "one draw %"
"""Column of random networks: accuracy of a single answer at the attack's points."""
DRAWS = (
    "The network is random: the judge draws {} answers for each point, and an example is broken if more than half are "
    "wrong. The interval covers the draws as well as the examples; 'one draw' is the accuracy of a single answer at "
    "the points where the attack stopped, an upper bound."
)
"""Note on random networks."""


@dataclass(frozen=True)
class Evaluation:
    """The result of `robench.evaluate` and `robench eval`; all accuracies are in percent.

    Attributes:
        results: one result per attack, in the order of the request.
        skipped: attacks that do not apply, with the reason.
        examples: one line on a dataset or loader that was given in Python, and how it was read.
        points: the adversarial points, if they were kept; `adversarial` returns them.
        elsewhere: names of attacks with stored records on the same network and examples, which no advice names again.
    """

    results: tuple[Result, ...]
    skipped: tuple[Skipped, ...] = ()
    examples: str = ""
    points: Points | None = field(default=None, repr=False, compare=False)
    elsewhere: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def of(cls, outcome: Outcome, examples: str = "") -> "Evaluation":
        """Build an evaluation from an outcome and a line on its examples."""
        return cls(tuple(outcome.results), tuple(outcome.skipped), examples, elsewhere=tuple(outcome.elsewhere))

    def __getitem__(self, attack: str) -> "AttackResult":
        """Return the result of one attack, also by its name without the gradient that it follows.

        Raises:
            InputError: the attack was not run.
        """
        for result in self.results:
            name = result.record.header.attack.name
            if attack in (name, name.partition(THROUGH)[0]):
                return AttackResult(result, self._others)
        raise unknown("attack", str(attack), [result.record.header.attack.name for result in self.results])

    @property
    def worst_case(self) -> WorstCase:
        """The worst case: an example counts as robust only if it withstood every attack."""
        infinite = float(any(skipped.infinite_gradients for skipped in self.skipped))
        return worst_case(
            [result.record for result in self.results],
            {INFINITE_GRADIENTS: infinite} if infinite else {},
            self.elsewhere,
        )

    @property
    def _others(self) -> tuple[str, ...]:
        """The names of all attacks that have records."""
        return (*(result.record.header.attack.name for result in self.results), *self.elsewhere)

    def adversarial(self, attack: str | None = None) -> tuple[Any, Any]:
        """Return adversarial points that `robench.evaluate(..., save_adversarial=True)` kept, and their ids.

        Only broken examples have points. Examples that withstood the attack are left out, and so are examples that
        were misclassified before any attack. With a target, an example is broken if it was turned into the target.

        Args:
            attack: name of an attack; None for the worst case, which takes for each example the point of the first
                attack that broke it, in the order of the results.

        Returns:
            Points, float32 (n, C, H, W), and ids, int64 (n,), in the order of the evaluated examples: tensors on the
            same device if the evaluated images were a tensor, else NumPy arrays.

        Raises:
            InputError: the points were not kept, or the attack was not run.
        """
        if self.points is None:
            raise InputError("no adversarial points were kept: evaluate again with save_adversarial=True.")
        results = self.results if attack is None else [self[attack].result]
        return self.points.of([result.record.header for result in results])

    def require_sound(self) -> None:
        """Require that no attack has void verdicts only.

        Raises:
            FaultError: every verdict of an attack is void.
        """
        for result in self.results:
            header, attacked = result.record.header, int(result.record.clean.sum())
            if attacked and header.invalid >= attacked:
                raise FaultError(
                    f"every verdict of '{header.attack.name}' on '{header.model}' is void: {header.faults}."
                )

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per attack, as in the JSON contract."""
        return [AttackResult(result, self._others).as_dict() for result in self.results]

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation as the JSON contract defines it."""
        return evaluations_json([self])

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas data frame with one row per attack.

        `trust` is the level, `trust_reasons` the reasons, `normalisation` a sentence; empty texts say nothing.
        """
        import pandas as pd

        applied = [result.record.header.normalisation for result in self.results]
        flat = [
            {
                **row,
                "normalisation": said.sentence if said else "",
                "trust": row["trust"]["level"],
                "trust_reasons": "; ".join(row["trust"]["reasons"]),
            }
            for row, said in zip(self.rows(), applied, strict=True)
        ]
        return pd.DataFrame(flat)

    def __str__(self) -> str:
        """Return the table that `robench eval` shows, and the skipped attacks."""
        skipped = "".join(f"{skipped.name}: skipped, {skipped.reason}.\n" for skipped in self.skipped)
        return plain(self.table()) + skipped

    def _repr_html_(self) -> str:
        """Return the table as HTML for notebooks."""
        return html(self.table())

    def table(self) -> Table:
        """Make the table of `robench eval`: the worst case, then each attack with its passes and seconds."""
        verdicts = [AttackResult(result, self._others) for result in self.results]
        if not verdicts:
            return Table("No attack applies.", "attack", COLUMNS)
        header, worst = self.results[0].record.header, self.worst_case
        (low, high), level = worst.interval, worst.trust.level
        title = (
            f"{header.model}: worst case {worst.robust_accuracy:.2f}% [{low:.1f}, {high:.1f}] "
            f"robust ({level}), {verdicts[0].clean_accuracy:.2f}% clean\n"
            f"{header.goal}, {header.n} examples, seed {header.seed}"
        )
        table = Table(title, "attack", [*COLUMNS[:2], ONE_DRAW, *COLUMNS[2:]] if header.draws else COLUMNS)
        spent = [sum(getattr(r, what) for r in self.results) for what in ("forwards", "backwards", "seconds")]
        table.add("worst case", _cells(worst, *spent))
        for verdict in verdicts:
            result, faults = verdict.result, verdict.result.record.header.faults
            name = result.record.header.attack.name
            cells = _cells(verdict, result.forwards, result.backwards, result.seconds, result.source)
            single = result.record.single_draw
            table.add(name, cells if single is None else {**cells, ONE_DRAW: f"{single[0]:.2f}"})
            if faults:
                counted = ", ".join(f"{count}x {fault}" for fault, count in faults.items())
                table.notes.append(f"{name}: the judge did not confirm {counted}.")
        if header.draws:
            table.notes.append(DRAWS.format(header.judge_draws))
        if self.examples:
            table.notes.append(self.examples)
        if header.normalisation:
            table.notes.append(header.normalisation.sentence)
        if worst.trust.findings:
            table.notes.append(f"Worst case, {worst.trust.sentence()}")
        elif any(verdict.trust.findings for verdict in verdicts):
            table.notes.append("An attack marked `check` says too little alone; the worst case is what to quote.")
        return table


@dataclass(frozen=True)
class AttackResult:
    """The result of one attack on one defense; accuracies are in percent.

    Attributes:
        result: the record, and what it took.
        others: names of attacks on the same network and examples that have records, too.
    """

    result: Result
    others: tuple[str, ...] = ()

    @property
    def clean_accuracy(self) -> float:
        """Accuracy on clean examples in percent."""
        return self.result.record.clean_accuracy

    @property
    def robust_accuracy(self) -> float:
        """Share of examples that are correct and were not broken, in percent."""
        return self.result.record.robust_accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the robust accuracy in percent; see `Record.interval`."""
        return self.result.record.interval

    @property
    def trust(self) -> Trust:
        """The verdict whether this number, quoted alone, can be trusted, with the reasons against it."""
        return trust([self.result.record], elsewhere=self.others)

    def accuracy_after(self, steps: int) -> float:
        """Return the robust accuracy in percent had the attack stopped after `steps` steps; nothing is computed again.

        Raises:
            ValueError: the attack counts only its last iterate, has several restarts, took fewer steps, or
                takes different steps if its step count is smaller.
        """
        record = self.result.record
        if not 0 <= steps <= record.header.attack.steps:
            raise ValueError(f"'{record.header.attack.name}' took {record.header.attack.steps} steps, not {steps}")
        if not (record.header.has_curve and record.header.attack.is_prefix_closed):
            raise ValueError(
                f"'{record.header.attack.name}' has no curve: it needs success = 'any', one restart, a network that is "
                "not random, and an algorithm whose steps do not depend on their number"
            )
        return record.after(steps).robust_accuracy

    def as_dict(self) -> dict[str, Any]:
        """Return the result as the JSON contract defines it."""
        record, low_high = self.result.record, self.interval
        header = record.header
        return {
            "dataset": header.dataset,
            "model": header.model,
            "attack": header.attack.name,
            "norm": header.threat.norm,
            "eps": header.threat.text,
            "target": header.target or None,
            "mask": header.mask and header.mask.model_dump(),
            "n": header.n,
            "normalisation": header.normalisation and header.normalisation.model_dump(),
            "clean_accuracy": round(self.clean_accuracy, 4),
            "robust_accuracy": round(self.robust_accuracy, 4),
            "ci_low": round(low_high[0], 4),
            "ci_high": round(low_high[1], 4),
            "forwards": self.result.forwards,
            "backwards": self.result.backwards,
            "seconds": round(self.result.seconds, 3),
            "valid": header.invalid == 0,
            "trust": self.trust.as_dict(),
            "spec_hash": header.hash,
            "record": str(record.path) if record.path else "",
            **_of_draws(record),
        }


def _of_draws(record: Record) -> dict[str, Any]:
    """Return what only the results of random networks have in JSON."""
    if record.single_draw is None:
        return {}
    single, low, high = (round(value, 4) for value in record.single_draw)
    drawn = {"single_draw_accuracy": single, "single_draw_ci_low": low, "single_draw_ci_high": high}
    return {"draws": record.header.draws, "judge_draws": record.header.judge_draws, **drawn}


def _cells(
    verdict: AttackResult | WorstCase, forwards: int, backwards: int, seconds: float, source: str = "computed"
) -> dict[str, str]:
    low, high = verdict.interval
    return {
        "robust %": f"{verdict.robust_accuracy:.2f}",
        "95% CI": f"{low:.1f}-{high:.1f}",
        "trust": verdict.trust.level,
        "forwards": f"{forwards:,}",
        "backwards": f"{backwards:,}",
        "seconds": f"{seconds:.1f}" if source == "computed" else ORIGIN[source],
    }


def evaluations_json(evaluations: "list[Evaluation]") -> dict[str, Any]:
    """Return several evaluations as `robench eval --json` writes them."""
    return {
        "schema": SCHEMA,
        "results": [row for evaluation in evaluations for row in evaluation.rows()],
        "worst_case": [evaluation.worst_case.as_dict() for evaluation in evaluations if evaluation.results],
    }
