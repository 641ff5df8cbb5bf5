"""A defense to check, and the settings that its baseline lends where the user says nothing. Never imports torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from robench.data import Dataset
from robench.specs import Card, ThreatModel, fraction
from robench.store import Record


@dataclass(frozen=True)
class OtherWeights:
    """Weights that a check judges in place of a card's.

    Attributes:
        file: the checkpoint.
        key: the part to take if the checkpoint holds several networks.
    """

    file: Path
    key: str | None = None


@dataclass(frozen=True)
class Subject:
    """A defense to check, on its data, under its threat model.

    Attributes:
        card: the card of the defense.
        data: the examples.
        threat: norm and eps.
        limit: the number of examples; None for all.
        weights: weights to judge in place of the card's.
        lent: whether the baseline decided norm and eps.
        target: the class that attacks aim at, or one class per example; None if any wrong class is a success.
    """

    card: Card
    data: Dataset
    threat: ThreatModel
    limit: int | None = None
    weights: OtherWeights | None = None
    lent: bool = False
    target: int | list[int] | str | None = None

    @property
    def foreign(self) -> bool:
        """True if the network is not as the registry has it, so that its records are no default baseline."""
        return "@" in self.card.name or self.weights is not None


@dataclass(frozen=True)
class Lent:
    """The settings that all records of a defense in a baseline share.

    Attributes:
        threat: norm and eps; None if the records differ, or if there are none.
        limit: the number of examples; None if the records differ, if there are none, or if they have a target.
    """

    threat: ThreatModel | None = None
    limit: int | None = None

    @classmethod
    def of(cls, records: Iterable[Record], dataset: str, norm: str | None, eps: str | None) -> "Lent":
        """Find the settings that records on a dataset share; a norm or eps that is given narrows them down."""
        heads = [
            record.header
            for record in records
            if record.header.dataset == dataset
            and norm in (None, record.header.threat.norm)
            and (eps is None or _same(eps, record.header.threat.eps))
        ]
        threats = {(head.threat.norm, head.threat.eps): head.threat for head in heads}
        sizes = {head.n for head in heads}
        return cls(
            next(iter(threats.values())) if len(threats) == 1 else None,
            sizes.pop() if len(sizes) == 1 and not any(head.target for head in heads) else None,
        )


def _same(text: str, eps: float) -> bool:
    """Tell whether a user's eps is the number of a record; what is no number is refused elsewhere."""
    try:
        return fraction(text) == eps
    except (ValueError, OverflowError):
        return False
