"""Stored records, found and forged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from robench.algorithms import bind
from robench.specs import AttackSpec, digest
from robench.store import Record, raw


def raw_record(results: Path, attack: str = "pgd-20") -> Path:
    """Return the path of the only record of an attack."""
    (path,) = (results / "raw").glob(f"*/*/{attack}-*.parquet")
    return path


def change_column(path: Path, name: str, change: Callable[[list[Any]], list[Any]]) -> None:
    """Rewrite a column of a record and seal the record again, as a careful forger would."""
    table = pq.read_table(path)
    field = table.schema.field(name)
    changed = pa.array(change(table[name].to_pylist()), field.type)
    seal(path, table.set_column(table.column_names.index(name), field, changed))


def change_header(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrite the header of a record, keep its rows and seal it again; bytes are written as they are."""
    table = pq.read_table(path)
    header = change(json.loads(table.schema.metadata[b"robench"])["header"])
    if isinstance(header, bytes):
        pq.write_table(table.replace_schema_metadata({b"robench": header}), path)
    else:
        seal(path, table, header)


def seal(path: Path, table: pa.Table, header: Any = None) -> None:
    """Write a table with the checksums that fit its columns and header."""
    header = json.loads(table.schema.metadata[b"robench"])["header"] if header is None else header
    columns = {name: raw.checksum(table[name].to_numpy()) for name in table.column_names if name != "adversarial"}
    body = {"header": header, "columns": columns}
    text = json.dumps({**body, "seal": digest(body)}).encode()
    pq.write_table(table.replace_schema_metadata({b"robench": text}), path)


def supposed(base: Record, spec: AttackSpec, robust: NDArray[np.bool_], diagnostics: dict[str, float]) -> Record:
    """Return a record of an attack that was not run: that of another attack with other verdicts on other examples."""
    attack = {**spec.identity(), "params": bind(spec).parameters}
    identity = {**base.header.identity, "attack": attack}
    changes = {"attack": spec, "identity": identity, "diagnostics": diagnostics, "n": len(robust)}
    step = np.where(robust, -1, 1)
    return Record(base.header.model_copy(update=changes), np.ones(len(robust), dtype=bool), robust, step)
