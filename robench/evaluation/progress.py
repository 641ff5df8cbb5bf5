"""Progress of an evaluation: finished chunks, the share of the work, the running robust accuracy."""

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from robench.specs import AttackSpec
from robench.store import Rows, join
from robench.store.outcome import Result


class Watcher(Protocol):
    """Receive the progress of an evaluation."""

    def notice(self, text: str) -> None:
        """Report what the user should know about the network."""

    def waiting(self, name: str) -> None:
        """Report that another process is making this record."""

    def started(self, name: str, examples: int, steps: int) -> None:
        """Report that an attack begins: correctly classified examples, largest number of steps for each."""

    def advanced(self, done: float, robust_accuracy: float) -> None:
        """Report a step: share done of the largest possible work, running robust accuracy in percent."""

    def resumed(self, name: str, done: float, examples: int) -> None:
        """Report that an interrupted attack goes on: share of its steps that is done, for some of the examples."""

    def saved(self, name: str) -> None:
        """Report that the attack under way is saved: after an interruption it goes on from here."""

    def finished(self, result: Result) -> None:
        """Report that every example has a verdict."""


class Quiet:
    """A watcher that only warns."""

    def notice(self, text: str) -> None:
        """Give a Python warning."""
        warnings.warn(text, stacklevel=2)

    def waiting(self, name: str) -> None:
        """Do nothing."""

    def started(self, name: str, examples: int, steps: int) -> None:
        """Do nothing."""

    def advanced(self, done: float, robust_accuracy: float) -> None:
        """Do nothing."""

    def resumed(self, name: str, done: float, examples: int) -> None:
        """Do nothing."""

    def saved(self, name: str) -> None:
        """Do nothing."""

    def finished(self, result: Result) -> None:
        """Do nothing."""


@dataclass
class Tally:
    """The sum of finished chunks."""

    parts: list[Rows]
    seconds: float = 0.0
    judge_forwards: int = 0
    devices: set[str] = field(default_factory=set)
    searches: set[str] = field(default_factory=set)
    faults: Counter[str] = field(default_factory=Counter)
    measures: Counter[str] = field(default_factory=Counter)

    @property
    def ids(self) -> set[int]:
        return {int(i) for part in self.parts for i in part.id}

    @property
    def forwards(self) -> int:
        return sum(int(part.forwards.sum()) for part in self.parts)

    @property
    def backwards(self) -> int:
        return sum(int(part.backwards.sum()) for part in self.parts)

    @property
    def robust(self) -> int:
        return sum(int(part.robust.sum()) for part in self.parts)

    def rows(self, ids: Any) -> Rows:
        return join(self.parts).ordered(ids)


def tally(parts: Iterable[tuple[Rows, dict[str, Any]]]) -> Tally:
    """Add up finished chunks."""
    total = Tally([])
    for rows, cost in parts:
        total.parts.append(rows)
        total.seconds += cost["seconds"]
        total.judge_forwards += cost["judge_forwards"]
        total.faults.update(cost["faults"])
        total.measures.update(cost.get("measures", {}))
        for said, values in (("device", total.devices), ("search", total.searches)):
            values.update([cost[said]] if said in cost else [])  # older chunks lack them
    return total


class Progress:
    """Turn steps of chunks into the share of the work and the running robust accuracy.

    Several chunks may be under way; each is identified by its position.
    """

    def __init__(self, watcher: Watcher, before: Tally, n: int, spec: AttackSpec) -> None:
        self.watcher, self.n, self.spec = watcher, n, spec
        self.examples, self.robust = len(before.ids), before.robust
        self.sizes: dict[int, int] = {}
        self.under_way: dict[int, tuple[float, int]] = {}
        """Share done and number of examples still robust, for each chunk that has reported a step."""

    def chunk_started(self, position: int, examples: int) -> None:
        self.sizes[position] = examples

    def step(self, position: int, restart: int, t: int, active: int) -> None:
        if position not in self.sizes:
            return  # a late report of a finished chunk
        share = (restart * self.spec.steps + t) / (self.spec.restarts * self.spec.steps)
        self.under_way[position] = (share, active)
        self._tell()

    def chunk_done(self, position: int, rows: Rows) -> None:
        if self.sizes.pop(position, None) is None:
            return  # counted before
        self.under_way.pop(position, None)
        self.examples += len(rows)
        self.robust += int(rows.robust.sum())
        self._tell()

    def _tell(self) -> None:
        done, robust, seen = float(self.examples), self.robust, self.examples
        for position, (share, active) in self.under_way.items():
            size = self.sizes[position]
            done, robust, seen = done + share * size, robust + active, seen + size
        self.watcher.advanced(done / self.n, 100.0 * robust / seen)
