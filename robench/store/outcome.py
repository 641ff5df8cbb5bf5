"""The result of an evaluation. Never imports torch: reports read it."""

from dataclasses import dataclass, field

from robench.store import Record

ORIGIN = {"computed": "now", "stored": "stored", "prefix": "longer run"}
"""The origin of a verdict in the words of tables, by `Result.source`."""


@dataclass(frozen=True)
class Result:
    """A record, its origin, and the passes and seconds that this run spent on it."""

    record: Record
    source: str
    """`computed`, `stored` (the record was on disk) or `prefix` (read from a longer run)."""
    forwards: int
    backwards: int
    seconds: float


@dataclass(frozen=True)
class Skipped:
    """An attack that does not apply, and the reason."""

    name: str
    reason: str
    infinite_gradients: bool = False
    """Whether the reason is that the network's gradients are NaN or infinite."""


@dataclass(frozen=True)
class Planned:
    """The expected cost of one attack, computed or read from disk."""

    attack: str
    source: str
    """`compute`, with the part that an interrupted run has left to do; `stored`, or the record that would be read."""
    forwards: int = 0
    backwards: int = 0
    seconds: float | None = 0.0
    """Expected seconds; None if the speed of the network is unknown."""
    most: int = 0
    """Upper bound of the forwards."""


@dataclass
class Outcome:
    """The results of an evaluation and the attacks it skipped, in the order of the request.

    `elsewhere` are the names of all attacks on the same network and examples that have records in the store.
    """

    results: list[Result] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
