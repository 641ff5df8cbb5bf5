"""Published records: results/<dataset>/<model>.jsonl, one line per attack, committed and diffable.

A line is the header with three more keys: `clean` and `robust`, bit strings in hex (first example first),
and `steps`, the first-success steps of the broken examples in order. Lines of attacks that see outputs only also
have `queries`, the queries of each broken example up to its first success.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robench.errors import InputError
from robench.paths import write_text
from robench.specs import COUNTED
from robench.store.header import Record, check_header
from robench.store.rows import Column

MEND = "restore the file, or delete it and run `robench publish`"


def to_line(record: Record) -> str:
    """Return a record as one line of JSON."""
    broken = record.clean & ~record.robust
    data = {
        **record.header.dump(),
        "clean": to_hex(record.clean),
        "robust": to_hex(record.robust),
        "steps": record.step[broken].tolist(),
    }
    if record.queries is not None and record.header.attack.access in COUNTED:
        data["queries"] = record.queries[broken].tolist()
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def from_line(line: str, where: str, path: Path | None = None) -> Record:
    """Build a record from one line of JSON.

    Raises:
        InputError: the line is not JSON, malformed, of a newer schema, or inconsistent.
    """
    try:
        data: dict[str, Any] = json.loads(line)
        clean_hex, robust_hex, steps = data.pop("clean"), data.pop("robust"), data.pop("steps")
        first = np.array(steps, dtype=np.int64)
        asked = np.array(data.pop("queries"), dtype=np.int64) if "queries" in data else None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{where} is not a published record: {MEND}.") from error
    header = check_header(data, where)
    clean, robust = (from_hex(text, header.n, where) for text in (clean_hex, robust_hex))
    broken = clean & ~robust
    if (
        first.shape != (np.count_nonzero(broken),)
        or (asked is not None and asked.shape != first.shape)
        or (robust & ~clean).any()
    ):
        raise InputError(f"{where}: verdicts and steps disagree: {MEND}.")
    step, queries = np.where(robust, -1, 0), None
    step[broken] = first
    if asked is not None:
        queries = np.where(robust, -1, 0)
        queries[broken] = asked
    return Record(header, clean, robust, step, path, queries)


def read_published(results: Path) -> Iterator[Record]:
    """Yield every published record under a results folder, in the order of files and lines."""
    for path in sorted(results.glob("*/[!.]*.jsonl")):
        yield from read_file(path)


def read_file(path: Path) -> Iterator[Record]:
    """Yield the published records of one file.

    Raises:
        InputError: the file cannot be read, or a line is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"published records '{path}' cannot be read: {MEND}.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        yield from_line(line, f"'{path}', line {number}", path)


def write_file(path: Path, records: list[Record]) -> None:
    """Write records to a file, one line per record."""
    write_text(path, "".join(to_line(record) + "\n" for record in records))


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
