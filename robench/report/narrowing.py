"""The choice of stored records by dataset, defense, norm, eps, seed, attack or battery."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robench.errors import SHOWN, IncompleteError, unknown
from robench.paths import default_results
from robench.report.names import defense_name
from robench.report.selection import base_name
from robench.report.sweeps import Sweep
from robench.specs import NORMS, ThreatModel, battery_attacks, dataset_label, fraction, list_attacks
from robench.store import Record


@dataclass(frozen=True)
class Rule:
    """One option as text, the value of a record that it is about, and whether a record fits."""

    option: str
    value: Callable[[Record], str]
    fits: Callable[[Record], bool]


@dataclass(frozen=True)
class Narrowing:
    """The records that a report shows; None means all.

    Attributes:
        dataset: the name of a dataset.
        models: the names of defenses.
        norm: the norm of the threat model.
        eps: the radius as text; records with the same value fit, however it was written.
        seed: the seed of the attacks' random draws.
        attacks: the names of attacks, also without their substitutes or budget.
        battery: the name of a battery.
        typed: the defenses as the user wrote them, for messages; by default `models`.

    Raises:
        InputError: unknown norm or battery, or eps is not a number.
    """

    dataset: str | None = None
    models: Sequence[str] | None = None
    norm: str | None = None
    eps: str | None = None
    seed: int | None = None
    attacks: Sequence[str] | None = None
    battery: str | None = None
    typed: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.eps is not None:
            ThreatModel.parse(self.norm or NORMS[-1], self.eps)
        if self.norm is not None and self.norm not in NORMS:
            raise unknown("norm", self.norm, list(NORMS))
        if self.battery is not None:
            battery_attacks(self.battery)

    @property
    def names_attacks(self) -> bool:
        """True if the user chose attacks."""
        return bool(self.attacks or self.battery)

    @property
    def names_threat(self) -> bool:
        """True if the user chose a norm or an eps."""
        return self.norm is not None or self.eps is not None

    def named(self, stored: Iterable[str]) -> "Narrowing":
        """Return the same choice with the full names of its defenses.

        Raises:
            InputError: no such defense, with the nearest names.
        """
        if not self.models:
            return self
        known = list(stored)
        return replace(self, models=[defense_name(name, known) for name in self.models], typed=self.models)

    def of(self, records: Iterable[Record]) -> list[Record]:
        """Return the records that fit; `models` holds full names.

        Raises:
            InputError: an attack that is neither declared nor stored.
            IncompleteError: there are records, but none fits; the message lists what there is.
        """
        kept = list(records)
        for rule in self._rules(kept):
            left = [record for record in kept if rule.fits(record)]
            if kept and not left:
                there = sorted({rule.value(record) for record in kept})
                more = f", ... ({len(there)} in all)" if len(there) > SHOWN else ""
                raise IncompleteError(
                    f"no stored record fits {rule.option}: there {'is' if len(there) == 1 else 'are'} "
                    f"{', '.join(there[:SHOWN])}{more}; choose among these, or run "
                    f"`{self.command}` first."
                )
            kept = left
        return kept

    def fits_sweep(self, sweep: Sweep) -> bool:
        """Return whether a sweep over corruptions is of the chosen dataset and seed."""
        head = sweep.head
        dataset = self.dataset is None or head.dataset == dataset_label(self.dataset)
        return dataset and self.seed in (None, head.seed)

    def _rules(self, records: Sequence[Record]) -> list[Rule]:
        rules: list[Rule] = []
        if self.dataset is not None:
            label = dataset_label(self.dataset)
            rules.append(Rule(f"--dataset {label}", _dataset, lambda r: _dataset(r) == label))
        if self.models:
            models = set(self.models)
            rules.append(Rule(_repeated("--model", self.models), _model, lambda r: _model(r) in models))
        if self.norm is not None:
            rules.append(Rule(f"--norm {self.norm}", _threat, lambda r: r.header.threat.norm == self.norm))
        if self.eps is not None:
            eps = fraction(self.eps)
            rules.append(Rule(f"--eps {self.eps}", _threat, lambda r: r.header.threat.eps == eps))
        if self.seed is not None:
            rules.append(Rule(f"--seed {self.seed}", _seed, lambda r: r.header.seed == self.seed))
        if self.attacks:
            wanted = {self._attack(name, records) for name in self.attacks}
            shown = _repeated("--attack", self.attacks)
            rules.append(Rule(shown, _attack, lambda r: bool({_attack(r), base_name(_attack(r))} & wanted)))
        if self.battery is not None:
            members = {spec.name for spec in battery_attacks(self.battery)}
            rules.append(Rule(f"--battery {self.battery}", _attack, lambda r: base_name(_attack(r)) in members))
        return rules

    @property
    def command(self) -> str:
        """The command that makes records which fit."""
        pairs = {
            "--dataset": self.dataset, "--norm": self.norm, "--eps": self.eps, "--seed": self.seed,
            "--battery": self.battery,
        }  # fmt: skip
        said = [f" {option} {value}" for option, value in pairs.items() if value is not None]
        return "".join(
            [f"robench eval --model {self.model}", *said, *(f" --attack {each}" for each in self.attacks or ())]
        )

    @property
    def model(self) -> str:
        """The first defense as `robench eval` takes it, or NAME."""
        # No command takes the name of a card outside the registry, so the user's words are repeated.
        found = next(iter(self.models or ()), "NAME")
        return self.typed[0] if self.typed and "@" in found else found

    @staticmethod
    def _attack(name: str, records: Sequence[Record]) -> str:
        known = list(dict.fromkeys([*list_attacks(), *map(_attack, records)]))
        if name not in known:
            raise unknown("attack", name, known)
        return name


def nothing_stored(narrowing: Narrowing, results: Path | None) -> IncompleteError:
    """Return the error for a results folder without records to show."""
    of = f" of {narrowing.model}" if narrowing.models else ""
    under = f" under {narrowing.battery}" if narrowing.battery else ""
    return IncompleteError(
        f"'{results or default_results()}' has no records{of}{under} to show: run `{narrowing.command}` first."
    )


def _repeated(option: str, values: Iterable[str]) -> str:
    return " ".join(f"{option} {value}" for value in values)


def _dataset(record: Record) -> str:
    return record.header.dataset


def _model(record: Record) -> str:
    return record.header.model


def _threat(record: Record) -> str:
    return str(record.header.threat)


def _seed(record: Record) -> str:
    return f"seed {record.header.seed}"


def _attack(record: Record) -> str:
    return record.header.attack.name
