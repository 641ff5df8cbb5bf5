"""What an evaluation answers. Never imports torch: reports read it."""

from dataclasses import dataclass, field

from robench.store import Record

ORIGIN = {"computed": "now", "stored": "stored", "prefix": "longer run"}
"""Where a verdict was read from, in the words of tables."""


@dataclass(frozen=True)
class Result:
    """A record, where it came from, and what this run spent on it."""

    record: Record
    source: str
    """`computed`, `stored` (its own record was there) or `prefix` (read from a longer run)."""
    forwards: int
    backwards: int
    seconds: float


@dataclass(frozen=True)
class Skipped:
    """An attack that does not apply, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Planned:
    """What an attack would cost, computed or not."""

    attack: str
    source: str
    """`compute`, and what an interrupted run has left of it; `stored`, or what it would be read from."""
    forwards: int = 0
    backwards: int = 0
    seconds: float | None = 0.0
    """What is expected; None where nothing is known of the network's speed."""
    most: int = 0
    """Forwards at most."""


@dataclass
class Outcome:
    """What an evaluation gave, in the order that was asked for."""

    results: list[Result] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
