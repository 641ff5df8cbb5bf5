"""The published records that a fresh evaluation is compared with."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from robench.check.comparable import Field, differing, fields_text
from robench.check.subject import Lent
from robench.errors import IncompleteError
from robench.paths import data_root, default_results
from robench.report.selection import defense, latest_per_key, record_key
from robench.specs import CONTROL
from robench.store import Record, read_file, read_published

LINES = ".jsonl"
GIVEN = "given:"
"""Beginning of a record's target that gave one class per example."""
OPTIONS = {
    "threat.eps": "--eps", "threat.norm": "--norm", "precision": "--precision", "data.n": "--limit",
    "target": "--target", "draws": "--draws",
}  # fmt: skip
"""CLI options that reproduce the baseline's settings, by field of the identity."""
Identities = Mapping[str, Mapping[str, Any]]
"""The identities of the records of a fresh evaluation, by the attack's name."""


@dataclass(frozen=True)
class Baseline:
    """Published records by defense.

    Attributes:
        path: a file of records, a results folder, or one dataset's folder in it.
        records: the records of each defense, by its declared name (without its weights).
    """

    path: Path
    records: Mapping[str, list[Record]]

    @classmethod
    def read(cls, path: Path | None = None) -> "Baseline":
        """Read a baseline from a file or a results folder.

        A folder is a results folder or one dataset's folder in it. Without a path, read the records that robench ships,
        each replaced by its counterpart in ./results if there is one. Raw records are never read: the records of the
        evaluation under test may be in the same folder.

        Raises:
            InputError: a record is damaged.
        """
        if path is not None:
            return cls(path, _by_defense(_records(path)))
        folders = dict.fromkeys([data_root() / "results", default_results()])
        found: dict[str, list[Record]] = {}
        for folder in folders:
            for name, mine in _by_defense(read_published(folder)).items():
                found[name] = [*mine, *_not_replaced(mine, found.get(name, ()))]
        return cls(default_results(), found)

    def require_records(self) -> None:
        """Require that the baseline has records.

        Raises:
            IncompleteError: the baseline has no records.
        """
        if not self.records:
            raise IncompleteError(
                f"'{self.path}' has no published records: make them with `robench check --model NAME --update`, "
                "or name others with --baseline."
            )

    def file_of(self, model: str) -> Path:
        """Return the path of a defense's records; the file need not exist."""
        if self.path.is_file() or self.path.suffix == LINES:
            return self.path
        dataset, _, name = defense(model).rpartition("/")
        folder = self.path if _files(self.path) else self.path / dataset
        return folder / f"{name}{LINES}"

    def lent(self, model: str, dataset: str, norm: str | None, eps: str | None) -> Lent:
        """Return the settings that a defense's records on a dataset share, among those with this norm and eps."""
        return Lent.of(self.of(model), dataset, norm, eps)

    def of(self, model: str) -> Sequence[Record]:
        """Return all records of a defense, of any network with its declared name."""
        return self.records.get(defense(model), [])

    def _of(self, model: str, wanted: Identities) -> Sequence[Record]:
        """Return a defense's records on the wanted dataset; if some have exactly the name `model`, only those."""
        datasets = {identity["data"]["name"] for identity in wanted.values()}
        every = self.of(model)
        mine = [record for record in every if record.header.dataset in datasets] or every
        return [record for record in mine if record.header.model == model] or mine

    def lost(self, model: str, network: str, attacks: Iterable[str]) -> list[str]:
        """Return the attacks on other networks than `network` that a new baseline of `attacks` would drop."""
        older = [r for r in self.of(model) if r.model_identity != network]
        return sorted({record.header.attack.name for record in older} - set(attacks))

    def match(self, model: str, wanted: Identities, seed: int, skipped: Mapping[str, str] | None = None) -> "Match":
        """Find the records of a defense that a fresh evaluation can be compared with.

        All these records have one seed: the seed of the evaluation, unless more records of another seed compare.

        Args:
            model: the name of the defense.
            wanted: the identities of the fresh evaluation, by attack.
            seed: the seed of the evaluation.
            skipped: attacks that do not apply to the defense as it is now, with the reason.
        """
        records = latest_per_key(self._of(model, wanted))
        if not records:
            return Match(f"'{self.path}' has no records of {defense(model)}", seed, refused=True)
        weights = {record.header.model_identity for record in records}
        if len(weights) > 1:
            return Match(
                f"'{self.path}' has records of {len(weights)} different networks called {defense(model)}",
                seed,
                refused=True,
                mend="keep those of one, or ",
            )
        seeds = sorted({record.header.seed for record in records}, key=lambda each: (each != seed, each))
        where = f"{defense(model)} does not compare with '{self.file_of(model)}'"
        tried = [_matched(where, [r for r in records if r.header.seed == each], each, wanted) for each in seeds]
        match = min(tried, key=lambda match: len(match.missing) + len(match.fields))
        held = {record.header.attack.name for record in records}
        match.gone = {name: reason for name, reason in (skipped or {}).items() if name in held}
        return match


@dataclass
class Match:
    """The records of a baseline that a fresh evaluation is compared with.

    Attributes:
        where: the beginning of a sentence that names a problem.
        seed: the seed of the records found.
        refused: whether `where` is the whole problem, because no record can be compared.
        found: the records that compare, by attack.
        missing: attacks without a record.
        new: attacks that were added to batteries after the baseline was made (`CONTROL`), which are not compared.
        fields: the fields in which other records differ, by attack.
        gone: attacks of the baseline that no longer apply, with the reason.
        options: CLI options with values that would make a fresh evaluation comparable.
        mend: the beginning of a sentence with another mend than a new baseline.
    """

    where: str
    seed: int
    refused: bool = False
    found: dict[str, Record] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    fields: dict[str, list[Field]] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    mend: str = ""

    def problems(self) -> Iterator[str]:
        """Yield a clause per problem, gravest first: the first fields that differ, or the attacks that are missing."""
        if self.refused:
            yield self.where
        alike: dict[str, list[str]] = {}
        for attack, fields in self.fields.items():
            alike.setdefault(fields_text(fields, "there", "here"), []).append(attack)
        for text, attacks in alike.items():
            yield f"{self.where}: under {', '.join(attacks)} {text}"
        for attack, reason in self.gone.items():
            yield f"{self.where}: it has {attack}, which was skipped here, {reason}"
        if self.missing:
            yield f"{self.where}: it lacks {', '.join(self.missing)}"

    def require(self) -> None:
        """Require that every attack compares.

        Raises:
            IncompleteError: an attack does not compare.
        """
        for problem in self.problems():
            raise IncompleteError(f"{problem}: {self._mend()}make a new baseline with the same command and --update.")

    def _mend(self) -> str:
        """Return the beginning of a mend, which ends with a new baseline."""
        options = " ".join(f"{option} {value}".rstrip() for option, value in self.options.items())
        if options:
            return f"add {options}, or "
        names = {field.name for fields in self.fields.values() for field in fields}
        if "target" in names:
            return "leave --target out, or "
        if names & {"data.sha256", "data.ids", "data.n", "dataset"}:
            return "evaluate the same images, with the same --resize, --crop and --classes where they were given, or "
        if self.missing and self.found and not self.fields:
            return f"ask only for what it has, {' '.join(f'--attack {name}' for name in self.found)}, or "
        return self.mend


def _not_replaced(mine: Iterable[Record], shipped: Iterable[Record]) -> list[Record]:
    """Return the shipped records of the same network that the user's records do not replace."""
    networks, taken = {record.model_identity for record in mine}, {record_key(record) for record in mine}
    return [record for record in shipped if record.model_identity in networks and record_key(record) not in taken]


def _files(folder: Path) -> list[Path]:
    """Return the files of records in one dataset's folder; a results folder has none, only datasets' folders."""
    return sorted(folder.glob(f"[!.]*{LINES}"))


def _records(path: Path) -> Iterator[Record]:
    """Yield the published records of a file, of a dataset's folder or of a results folder."""
    files = [path] if path.is_file() else _files(path)
    return chain.from_iterable(map(read_file, files)) if files else read_published(path)


def _by_defense(records: Iterable[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(defense(record.header.model), []).append(record)
    return found


def _matched(where: str, records: list[Record], seed: int, wanted: Identities) -> Match:
    """Match the records of one seed with the wanted identities."""
    match = Match(where, seed)
    for attack, identity in wanted.items():
        rivals = [(differing(r.header.identity, identity), r) for r in records if r.header.attack.name == attack]
        if not rivals:
            match.missing.append(attack)
            continue
        fields, nearest = min(rivals, key=lambda rival: len(rival[0]))
        if fields:
            match.fields[attack] = fields
            match.options |= dict(_options(fields, nearest))
        else:
            match.found[attack] = nearest
    if match.found:
        match.new = [name for name in match.missing if wanted[name]["attack"]["algorithm"] == CONTROL]
        match.missing = [name for name in match.missing if name not in match.new]
    return match


def _options(fields: list[Field], record: Record) -> Iterator[tuple[str, str]]:
    """Yield the options that would remove the differences, if all differences can be removed."""
    header = record.header
    values = {
        "--eps": header.threat.text, "--norm": header.threat.norm, "--precision": header.precision,
        "--limit": str(header.n), "--target": "FILE" if header.target.startswith(GIVEN) else header.target,
        "--draws": str(header.draws),
    }  # fmt: skip
    names = {each.name for each in fields}
    if "draws" in names and not header.draws:  # the network must not be random
        return
    if "target" in names:  # examples whose label is the target are left out, so numbers of examples say nothing
        names -= {"data.ids", "data.n"}
        if not header.target:
            return
    elif "data.n" in names and header.target:
        return
    if names <= {*OPTIONS, "data.ids"} and ("data.ids" not in names or "data.n" in names):
        for name in names & OPTIONS.keys():
            yield OPTIONS[name], values[OPTIONS[name]]
