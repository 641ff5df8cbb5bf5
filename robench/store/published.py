"""Published records: results/<dataset>/<model>.jsonl, one line per attack, committed and diffable.

A line is the header with three more keys: `clean` and `robust`, bit strings in hex (first example first),
and `steps`, the first-success steps of the broken examples in order. Lines of attacks that see outputs only also
have `queries`, the queries of each broken example up to its first success. Lines of random networks have `right`, one
byte in hex for each example: how many of the judge's draws were no success (see `Rows`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robench.errors import InputError
from robench.specs import COUNTED
from robench.store.header import ComparisonKey, Record, check_header
from robench.store.rows import Column
from robench.store.sealed import read_sealed, write_sealed

MEND = "restore the file, or delete it and run `robench publish`"


def to_data(record: Record) -> dict[str, Any]:
    """Return a record as the JSON-ready data of one line."""
    broken = record.clean & ~record.robust
    data = {
        **record.header.dump(),
        "clean": to_hex(record.clean),
        "robust": to_hex(record.robust),
        "steps": record.step[broken].tolist(),
    }
    if record.queries is not None and record.header.attack.access in COUNTED:
        data["queries"] = record.queries[broken].tolist()
    if record.right is not None:
        data["right"] = record.right.astype(np.uint8).tobytes().hex()
    return data


def from_data(data: dict[str, Any], where: str, path: Path | None = None) -> Record:
    """Build a record from the data of one line.

    Raises:
        InputError: the data is malformed, of a newer schema, or inconsistent.
    """
    try:
        data = dict(data)
        clean_hex, robust_hex, steps = data.pop("clean"), data.pop("robust"), data.pop("steps")
        first = np.array(steps, dtype=np.int64)
        asked = np.array(data.pop("queries"), dtype=np.int64) if "queries" in data else None
        right = np.frombuffer(bytes.fromhex(data.pop("right")), np.uint8).astype(np.int64) if "right" in data else None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{where} is not a published record: {MEND}.") from error
    header = check_header(data, where)
    clean, robust = (from_hex(text, header.n, where) for text in (clean_hex, robust_hex))
    broken = clean & ~robust
    if (
        first.shape != (np.count_nonzero(broken),)
        or (asked is not None and asked.shape != first.shape)
        or (robust & ~clean).any()
        or (right is None) != (header.draws == 0)
        or (right is not None and (right.shape != clean.shape or right.max() > header.judge_draws))
        or (first.size and not (first.min() >= 0 and first.max() <= header.attack.steps))
    ):
        raise InputError(f"{where}: verdicts and steps disagree: {MEND}.")
    step, queries = np.where(robust, -1, 0), None
    step[broken] = first
    if asked is not None:
        queries = np.where(robust, -1, 0)
        queries[broken] = asked
    return Record(header, clean, robust, step, path, queries, right)


def read_published(results: Path) -> Iterator[Record]:
    """Yield every published record under a results folder, in the order of files and lines."""
    for path in sorted(results.glob("*/[!.]*.jsonl")):
        yield from read_file(path)


def read_file(path: Path) -> Iterator[Record]:
    """Yield the published records of one file.

    Raises:
        InputError: the file cannot be read, a line is damaged, or lines give one network other clean verdicts.
    """
    clean: dict[tuple[str, ComparisonKey], Column] = {}
    for where, data in read_sealed(path, MEND):
        record = from_data(data, where, path)
        key = record.model_identity, record.comparison_key
        if not np.array_equal(clean.setdefault(key, record.clean), record.clean):
            raise InputError(f"{where}: its clean verdicts are not those of the other lines of the network: {MEND}.")
        yield record


def write_file(path: Path, records: list[Record]) -> None:
    """Write records to a sealed file, one line per record."""
    write_sealed(path, map(to_data, records))


def to_hex(mask: Column) -> str:
    """Return a mask, bool (N,), as a bit string in hex, first example first."""
    return np.packbits(mask).tobytes().hex()


def from_hex(text: str, n: int, where: str) -> Column:
    """Return the n verdicts of a bit string in hex, bool (n,).

    Raises:
        InputError: the bit string is damaged.
    """
    try:
        bits = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
        if len(bits) != -(-n // 8):
            raise ValueError(f"{len(bits)} bytes for {n} verdicts")
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: damaged verdicts ({error}): {MEND}.") from error
    return np.unpackbits(bits, count=n).astype(bool)
