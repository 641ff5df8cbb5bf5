"""Turn raw records of runs into published records: results/<dataset>/<model>.jsonl."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from robench.errors import IncompleteError, InputError
from robench.report.paper.source import DERIVED
from robench.report.selection import CurrentCatalogue, defense, in_order, latest_per_key, of_current_weights, record_key
from robench.report.sweeps import sweeps
from robench.specs import COUNTED, digest, is_registered
from robench.store import ComparisonKey, Record, Store, read_file, write_file
from robench.store.corrupted import FOLDER, RAW, path_of, read_lines, write_lines
from robench.store.published import MEND
from robench.store.sealed import is_sealed, read_sealed, write_sealed


@dataclass(frozen=True)
class Changes:
    """The changes that a new publication made to a file.

    Attributes:
        path: the file.
        changed, added: attacks whose line was replaced, and attacks with a new line.
        removed: the number of removed lines of other weights.
    """

    path: Path
    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: int

    def __str__(self) -> str:
        said = {"changed": self.changed, "added": self.added}
        parts = [f"{len(names)} {what} ({', '.join(names)})" for what, names in said.items() if names]
        parts += [f"{self.removed} of other weights removed"] if self.removed else []
        return f"{self.path}: {'; '.join(parts) or 'nothing changed'}"


def publish(results: Path, models: list[str] | None = None) -> list[Path]:
    """Publish the raw records of the defenses that have some; other published records stay.

    Args:
        results: the results folder.
        models: the names of the defenses to publish; by default all with raw records.

    Returns:
        The files written, with those of older versions, which are sealed.

    Raises:
        IncompleteError: there is nothing to publish.
    """
    raw = list(Store(results).records())
    corrupted = publish_corrupted(results, models)
    if not of_current_weights(raw, models) and not corrupted:
        if models is None and (resealed := seal(results)):
            return resealed
        wanted = f" of {', '.join(models)}" if models else ""
        raise IncompleteError(f"'{results}' has no raw records{wanted}: run `robench eval --model NAME` first.")
    written = []
    for fresh in of_current_weights(raw, models).values():
        for dataset in sorted({record.header.dataset for record in fresh}):
            mine = [record for record in fresh if record.header.dataset == dataset]
            written += publish_records(results, mine)
    return list(dict.fromkeys(written + corrupted + (seal(results) if models is None else [])))


def seal(results: Path) -> list[Path]:
    """Seal the published files that older versions wrote, their lines unchanged; return these files."""
    written = []
    for path in unsealed(results):
        with locked(path):
            write_sealed(path, [line for _, line in read_sealed(path, MEND)])
            written.append(path)
    return written


def unsealed(results: Path) -> list[Path]:
    """Return the published files without a seal, sorted."""
    kinds = ("*/[!.]*.jsonl", f"*/{DERIVED}/[!.]*.jsonl", f"*/{FOLDER}/[!.]*.jsonl")
    found = (path for kind in kinds for path in results.glob(kind) if not path.is_relative_to(results / RAW))
    return sorted(path for path in found if not is_sealed(path))


def publish_records(results: Path, records: Sequence[Record], variant: str = "") -> list[Path]:
    """Publish records of one defense; its other published records of the same weights stay.

    Args:
        results: the results folder.
        records: records of the same network on one dataset.
        variant: if the network is a variant of a registered defense, the name of the variant.

    Returns:
        The file written, or nothing if there are no records.
    """
    if not records:
        return []
    header = records[0].header
    folder = results / header.dataset
    if not variant:
        return [republish(folder / f"{header.model.rpartition('/')[2]}.jsonl", records).path]
    return [republish(folder / DERIVED / f"{variant}.jsonl", records).path]


def publish_corrupted(results: Path, models: Sequence[str] | None = None) -> list[Path]:
    """Publish the complete sweeps over corruptions of the current weights; return the files that changed.

    Lines of older weights of a registered defense are removed; all other lines stay unless they are replaced.
    """
    written = []
    for name, found in sweeps(results, models).items():
        whole = [sweep for sweep in found if sweep.complete]
        for dataset in sorted({sweep.head.dataset for sweep in whole}):
            fresh = [line for sweep in whole if sweep.head.dataset == dataset for line in sweep.lines]
            path = path_of(results, dataset, name)
            with locked(path):
                before = list(read_lines(path))
                network = digest(fresh[0].identity["model"])
                stale = {
                    line.hash
                    for line in before
                    if is_registered(name) and line.model == name and digest(line.identity["model"]) != network
                }
                lines = {line.hash: line for line in (*before, *fresh) if line.hash not in stale}
                if list(lines.values()) != before:
                    write_lines(path, lines.values())
                    written.append(path)
    return written


def locked(path: Path) -> FileLock:
    """Return the lock to hold while a published file is read and written."""
    return FileLock(Path(tempfile.gettempdir()) / f"robench-{digest(str(path.resolve()))[:32]}.lock")


def republish(path: Path, fresh: Sequence[Record]) -> Changes:
    """Write records of one defense into a file of published records; the file need not exist.

    A line whose record did not change stays as it is, so that a diff shows only changed verdicts. Lines of the same
    defense with other weights are removed; lines of other defenses stay.
    """
    with locked(path):
        return _merge(path, fresh)


def _merge(path: Path, fresh: Sequence[Record]) -> Changes:
    head, catalogue = fresh[0].header, CurrentCatalogue()
    # A former attack whose name was given to another one keeps its line, under the name that it has now.
    every = [catalogue.renamed(record) for record in read_file(path)] if path.is_file() else []
    fresh = [catalogue.renamed(record) for record in fresh]
    mine = [record for record in every if defense(record.header.model) == defense(head.model)]
    before = [record for record in mine if record.network == fresh[0].network]
    merged = {_key(record): record for record in before}
    for record in latest_per_key(fresh):
        if not _same(merged.get(_key(record)), record):
            merged = {key: old for key, old in merged.items() if record_key(old) != record_key(record)} | {
                _key(record): record
            }
    firsts: dict[ComparisonKey, Record] = {}
    for second in merged.values():
        first = firsts.setdefault(second.comparison_key, second)
        if not np.array_equal(first.clean, second.clean):
            raise InputError(
                f"{first.header.attack.name} and {second.header.attack.name} of {head.model} differ in clean verdicts, "
                "perhaps because of their devices: evaluate one again on the device of the other."
            )
    others = [record for record in every if defense(record.header.model) != defense(head.model)]
    after = in_order(latest_per_key(merged.values()))
    write_file(path, others + after)
    written = [record for record in after if record not in before]
    known = {record_key(record) for record in before}
    changed, added = (
        tuple(record.header.attack.name for record in written if (record_key(record) in known) is old)
        for old in (True, False)
    )
    return Changes(path, changed, added, len(mine) - len(before))


def _key(record: Record) -> tuple[str, str]:
    return record.header.hash, record.header.attack.name


def _same(before: Record | None, now: Record) -> bool:
    return (
        before is not None
        and before.header.schema_version == now.header.schema_version
        and (before.queries is not None or now.header.attack.access not in COUNTED)
        and bool(before.header.diagnostics) >= bool(now.header.diagnostics)
        and all(np.array_equal(getattr(before, column), getattr(now, column)) for column in ("clean", "robust", "step"))
    )
