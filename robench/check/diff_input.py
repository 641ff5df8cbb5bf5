"""The two inputs of `robench diff`: defenses by name, files of published records, or results folders."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from robench.check.baseline import LINES
from robench.check.comparable import FREE, Field, differing, fields_text
from robench.errors import IncompleteError, InputError
from robench.report import load
from robench.report.names import defense_name
from robench.report.narrowing import Narrowing
from robench.report.selection import defense, in_order, latest_per_key, of_current_weights
from robench.specs import CARD
from robench.store import Record, read_file

SETTING = ("data", "threat", "target", "mask")
"""The keys of an identity that two inputs must share; an attack whose other keys differ is left out."""
MAY_DIFFER = (*FREE, "precision")
"""The keys of an identity that may differ between two compared records."""


@dataclass(frozen=True)
class DiffInput:
    """Records by the declared names of their defenses, under the name that the user gave the input."""

    name: str
    records: dict[str, list[Record]]

    @classmethod
    def of(cls, text: str, results: Path | None = None, narrowing: Narrowing | None = None) -> "DiffInput":
        """Read an input: the path of a file of records, the path of a results folder, or the name of a defense.

        If a defense has records of several networks, only the network that was evaluated last is taken.

        Args:
            text: the path or the name.
            results: the results folder in which a defense's records are looked for.
            narrowing: the records to compare; by default all.

        Raises:
            InputError: no such file or defense, or damaged records.
            IncompleteError: there are no records.
        """
        path, found = Path(text), dict[str, list[Record]]()
        narrowing = narrowing or Narrowing()
        if path.suffix == LINES and not path.is_file():
            raise InputError(f"'{text}' does not exist: name a file of records, a results folder or a defense.")
        if path.suffix == LINES or (path.is_dir() and not (path / CARD).is_file()):
            for record in read_file(path) if path.is_file() else load(path):
                found.setdefault(defense(record.header.model), []).append(record)
            narrowing = narrowing.named(record.header.model for mine in found.values() for record in mine)
        else:
            records = load(results)
            name = defense_name(text, (record.header.model for record in records))
            found = {defense(name): mine for mine in of_current_weights(records, [name]).values()}
            narrowing = replace(narrowing, models=None)
        newest = [record for mine in found.values() for record in _of_newest_network(mine)]
        found = {}
        for record in narrowing.of(newest):
            found.setdefault(defense(record.header.model), []).append(record)
        if not found:
            raise IncompleteError(f"there are no records of '{text}' to compare: run `robench eval` first.")
        return cls(text, found)


@dataclass(frozen=True)
class Pair:
    """The records of two defenses, paired by attack.

    Attributes:
        names: the names of the two defenses.
        first, second: the records of the first and of the second defense, in the same order of attacks.
        fields: the fields in which data or threat models differ; if there are none, the defenses compare.
        different: attacks that both defenses have under other settings, with the fields that differ.
        unmatched: attacks that only one defense has.
    """

    names: tuple[str, str]
    first: tuple[Record, ...]
    second: tuple[Record, ...]
    fields: tuple[Field, ...]
    different: dict[str, list[Field]]
    unmatched: tuple[str, ...]

    @classmethod
    def of(cls, names: tuple[str, str], first: list[Record], second: list[Record]) -> "Pair":
        """Pair two groups of records by attack."""
        left, right = ({record.header.attack.name: record for record in records} for records in (first, second))
        both = [name for name in left if name in right]
        different = {
            name: fields
            for name in both
            if (fields := differing(left[name].header.identity, right[name].header.identity, MAY_DIFFER + SETTING))
        }
        same = [name for name in both if name not in different]
        heads = [records[0].header.identity for records in (first, second)]
        fields = differing(heads[0], heads[1], [key for key in {*heads[0], *heads[1]} if key not in SETTING])
        return cls(
            names,
            tuple(left[name] for name in same),
            tuple(right[name] for name in same),
            tuple(fields),
            different,
            tuple(dict.fromkeys(name for name in [*left, *right] if name not in both)),
        )

    @property
    def fit(self) -> tuple[int, int, bool]:
        """A key that is higher for a better pair of groups: few differing fields, many attacks, one seed."""
        one_seed = bool(self.first) and self.first[0].header.seed == self.second[0].header.seed
        return -len(self.fields), len(self.first), one_seed


def pairs(first: DiffInput, second: DiffInput) -> Iterator[Pair]:
    """Pair each defense that both inputs have, or the only defense of each input, once per set of examples and threat.

    If a defense has records of several seeds or precisions, the two groups that fit best are taken.

    Raises:
        IncompleteError: nothing compares; the message names the fields that differ.
    """
    lone = len(first.records) == len(second.records) == 1
    common = [(name, name) for name in first.records if name in second.records]
    for names in [(next(iter(first.records)), next(iter(second.records)))] if lone else common:
        combinations = product(_groups(first.records[names[0]]), _groups(second.records[names[1]]))
        found = [Pair.of(names, *groups) for groups in combinations]
        best = {_setting(pair): pair for pair in sorted(found, key=_fit) if not pair.fields and pair.first}
        if not best:
            _require(max(found, key=_fit), first.name, second.name)
        yield from best.values()
    if not lone and not common:
        raise IncompleteError(
            f"'{first.name}' and '{second.name}' have no defense in common: the first has "
            f"{', '.join(sorted(first.records))}, the second {', '.join(sorted(second.records))}."
        )


def _fit(pair: Pair) -> tuple[int, int, bool]:
    return pair.fit


def _setting(pair: Pair) -> tuple[str, str, float, str, str, int]:
    """Return the examples, the threat model, the target, the mask and the draws that the records of a pair share."""
    key = pair.first[0].comparison_key
    return key.data, key.norm, key.eps, key.target, key.mask, key.draws


def unpaired(first: DiffInput, second: DiffInput) -> list[str]:
    """Return a note on the defenses that only one of two inputs has, if there are such defenses."""
    if len(first.records) == len(second.records) == 1:
        return []
    names = sorted(first.records.keys() ^ second.records.keys())
    return [f"On one side only: {', '.join(names)}."] if names else []


def _of_newest_network(records: list[Record]) -> list[Record]:
    """Return the records of the network that was evaluated last; a folder may also hold records of older weights."""
    last = max(records, key=lambda record: record.header.created)
    return [record for record in records if record.model_identity == last.model_identity]


def _groups(records: list[Record]) -> list[list[Record]]:
    """Group the records that can stand together: one network and one comparison key per group."""
    found: dict[tuple[object, ...], list[Record]] = {}
    for record in in_order(latest_per_key(records)):
        found.setdefault((record.network, record.comparison_key), []).append(record)
    return list(found.values())


def _require(pair: Pair, first: str, second: str) -> None:
    where = f"{pair.names[0]} of '{first}' does not compare with {pair.names[1]} of '{second}'"
    mend = "evaluate both alike with `robench eval`"
    if pair.fields:
        raise IncompleteError(f"{where}: {fields_text(pair.fields, 'in the first', 'in the second')}: {mend}.")
    for name, fields in () if pair.first else pair.different.items():
        raise IncompleteError(f"{where}: under {name} {fields_text(fields, 'in the first', 'in the second')}: {mend}.")
    if not pair.first:
        raise IncompleteError(f"{where}: they have no attack in common: {mend}.")
