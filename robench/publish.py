"""From raw records of runs to published ones: results/<dataset>/<model>.jsonl."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robench.errors import IncompleteError
from robench.report.paper.source import DERIVED
from robench.report.selection import current, in_order, newest
from robench.specs import COUNTED
from robench.store import Record, Store, read_file, write_file


def publish(results: Path, models: list[str] | None = None) -> list[Path]:
    """Write the published records of the defenses that have raw ones, beside what is published already.

    A line whose record did not change stays as it is, so that a diff shows only changed verdicts.

    Raises:
        IncompleteError: there is nothing to publish.
    """
    raw = list(Store(results).records())
    if not current(raw, models):
        wanted = f" of {', '.join(models)}" if models else ""
        raise IncompleteError(f"'{results}' has no raw records{wanted}: run `robench eval --model NAME` first.")
    written = []
    for name, fresh in current(raw, models).items():
        dataset, _, model = name.rpartition("/")
        written += add(results / dataset / f"{model}.jsonl", fresh)
    return written


def publish_records(results: Path, records: Sequence[Record], variant: str = "") -> list[Path]:
    """Write some records of one defense, beside what is published of it already.

    Args:
        results: below which they are published.
        records: of the same network on one dataset.
        variant: its name, where it is no registered defense but a variant of one; older weights' lines go.

    Returns:
        The file written, if there was anything to write.
    """
    if not records:
        return []
    header = records[0].header
    folder = results / header.dataset
    if not variant:
        return add(folder / f"{header.model.rpartition('/')[2]}.jsonl", records)
    return add(folder / DERIVED / f"{variant}.jsonl", records)


def add(path: Path, records: Sequence[Record]) -> list[Path]:
    """Merge records into a file of the same defense; lines of other weights go, unchanged ones stay as they are."""
    network = records[0].header.model_identity
    before = [old for old in read_file(path) if old.header.model_identity == network] if path.is_file() else []
    merged = {_key(record): record for record in before}
    for record in records:
        if not _same(merged.get(_key(record)), record):
            merged[_key(record)] = record
    write_file(path, in_order(newest(merged.values())))
    return [path]


def _key(record: Record) -> tuple[str, str]:
    return record.header.hash, record.header.attack.name


def _same(before: Record | None, now: Record) -> bool:
    return (
        before is not None
        and before.header.schema_version == now.header.schema_version
        and (before.queries is not None or now.header.attack.access not in COUNTED)
        and all(np.array_equal(getattr(before, column), getattr(now, column)) for column in ("clean", "robust", "step"))
    )
