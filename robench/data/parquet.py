"""Parquet files like those of Hugging Face: a column of encoded images, a column of class numbers."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robench.data.decode import Encoded
from robench.data.decoded_split import split_of
from robench.data.split import Split
from robench.errors import InputError

IMAGES = ("image", "img", "jpg", "png")
LABELS = ("label", "labels", "fine_label", "class", "cls")


def load(name: str, path: Path, part: str = "test", limit: int | None = None) -> Split:
    """Load the examples of a file, in the order of its rows.

    Args:
        name: of the dataset.
        path: has a column of images, bytes or {bytes, path}, and a column of integer labels.
        part: 'test'; the file has no training part.
        limit: number of examples from the beginning; None for all.

    Raises:
        InputError: the file or an image is damaged, or a column is missing.
    """
    if part != "test":
        raise InputError(f"'{path}' holds test examples only: train on a dataset with a train part.")
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            image, label = _column(path, names, IMAGES), _column(path, names, LABELS)
            table = _first(file, [image, label], limit)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"'{path}' cannot be read ({error}): fetch it again.") from error
    labels = table[label].to_pylist()
    if not all(isinstance(each, int) for each in labels):
        raise InputError(f"'{path}', column '{label}': expected class numbers, found {table.schema.field(label).type}.")
    data = [_data(path, image, at, each.as_py()) for at, each in enumerate(table[image])]
    return split_of(name, Encoded.held([f"{path}, row {at}" for at in range(len(data))], data), labels)


def _first(file: pq.ParquetFile, columns: list[str], limit: int | None) -> pa.Table:
    """Read only the row groups that the limit needs."""
    if limit is None:
        return file.read(columns)
    groups: list[int] = []
    rows = 0
    while rows < limit and len(groups) < file.num_row_groups:
        rows += file.metadata.row_group(len(groups)).num_rows
        groups.append(len(groups))
    return file.read_row_groups(groups, columns).slice(0, limit)


def _column(path: Path, names: list[str], known: tuple[str, ...]) -> str:
    for name in known:
        if name in names:
            return name
    raise InputError(f"'{path}' has columns {', '.join(names)}, none of {', '.join(known)}: rename the one to use.")


def _data(path: Path, column: str, at: int, value: Any) -> bytes:
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise InputError(f"'{path}', column '{column}', row {at}: no image bytes there; save the images in the file.")
    return data
