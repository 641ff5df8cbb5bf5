"""Columns through Arrow and Parquet: the same afterwards, and without pandas."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robench.store.arrow import as_arrow, as_column

POINTS = np.array([None, b"", b"abc", None, bytes(range(256))], dtype=object)
COLUMNS = {
    "int64": np.array([-1, 0, 2**62]),
    "float64": np.array([0.1, np.nan, -np.inf]),
    "float32": np.array([0.1, np.nan, -np.inf], dtype=np.float32),
    "bool": np.arange(19) % 3 == 0,
    "every other": np.arange(20)[::2],
    "bytes": POINTS,
    "nothing but None": np.full(7, None),
    "no numbers": np.empty(0),
    "no truths": np.empty(0, dtype=bool),
    "no bytes": np.empty(0, dtype=object),
}


@pytest.mark.parametrize("what", COLUMNS)
def test_a_column_is_the_same_afterwards(what, tmp_path):
    column, path = COLUMNS[what], tmp_path / "column.parquet"
    array = as_arrow(column)
    array.validate(full=True)
    assert array.to_pylist() == pytest.approx(column.tolist(), nan_ok=True)
    pq.write_table(pa.table({"column": array}), path)
    with pq.ParquetFile(path) as file:
        found = as_column(file.read()["column"])
    assert found.dtype == column.dtype
    np.testing.assert_array_equal(found, column)


def test_a_part_of_a_column():
    truths = np.arange(40) % 3 == 0
    np.testing.assert_array_equal(as_column(pa.chunked_array([as_arrow(truths)]).slice(11, 20)), truths[11:31])
    parts = pa.chunked_array([as_arrow(truths[:5]), as_arrow(truths[5:])])
    np.testing.assert_array_equal(as_column(parts), truths)


@pytest.mark.parametrize("values", [["a", "b"], [1, None], [True, None], [[1], [2]]])
def test_what_is_no_column_of_ours_is_objects(values):
    assert as_column(pa.chunked_array([values])).dtype == object
