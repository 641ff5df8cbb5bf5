"""The worst case, the number to quote first: robust accuracy against all attacks together."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robench.errors import IncompleteError
from robench.report.trust import Trust, trust
from robench.store import Header, Record, interval_of, percent, robust_to_all


@dataclass(frozen=True)
class WorstCase:
    """The per-example AND of several attacks' verdicts; accuracies are in percent.

    Attributes:
        header: the header of one of the records; all have the same dataset, model and threat model.
        robust_accuracy: the share of examples that withstood every attack.
        interval: Wilson's 95% interval of the robust accuracy.
        attacks: the names of the attacks.
        trust: the trust verdict on the robust accuracy.
    """

    header: Header
    robust_accuracy: float
    interval: tuple[float, float]
    attacks: tuple[str, ...]
    trust: Trust

    def __float__(self) -> float:
        return self.robust_accuracy

    def as_dict(self) -> dict[str, Any]:
        """Return the worst case as the JSON contract defines it."""
        return {
            "dataset": self.header.dataset,
            "model": self.header.model,
            "norm": self.header.threat.norm,
            "eps": self.header.threat.text,
            "target": self.header.target or None,
            "mask": self.header.mask and self.header.mask.model_dump(),
            "n": self.header.n,
            "robust_accuracy": round(self.robust_accuracy, 4),
            "ci_low": round(self.interval[0], 4),
            "ci_high": round(self.interval[1], 4),
            "attacks": list(self.attacks),
            "trust": self.trust.as_dict(),
        }


def worst_case(
    records: Sequence[Record], known: Mapping[str, float] | None = None, elsewhere: Collection[str] = ()
) -> WorstCase:
    """Combine records of one network, one set of examples and one threat model.

    Args:
        records: the records.
        known: indicators of trust that no record holds, for example of attacks that could not run.
        elsewhere: names of attacks that have other records on the same network and examples.

    Raises:
        IncompleteError: there are no records, or they differ in network, examples, threat model, mask, target or draws.
    """
    if not records:
        raise IncompleteError("no attack was run, so there is no worst case: print the report for the reasons.")
    keys = [record.comparison_key for record in records]
    shared = [(key.data, key.norm, key.eps, key.target, key.mask, key.draws) for key in keys]
    if len({(record.network, *key) for record, key in zip(records, shared, strict=True)}) > 1:
        raise IncompleteError(
            "records of different networks, examples, threat models, draws, masks or targets have no common worst case."
        )
    robust = robust_to_all(records)
    names = tuple(record.header.attack.name for record in records)
    return WorstCase(
        records[0].header, percent(robust), interval_of(robust, records), names, trust(records, known, elsewhere)
    )
