"""Convert columns to Arrow arrays and back.

`pyarrow.array` and `to_numpy` are avoided: where pandas is installed they import it, which costs every evaluation
40 MB and a quarter of a second.
"""

import numpy as np
import pyarrow as pa

from robench.store.rows import Column


def as_arrow(column: Column) -> pa.Array:
    """Convert a column of numbers, truth values, or bytes (some may be None) to an Arrow array."""
    if column.dtype == object:
        return _bytes(column)
    values = _bits(column) if column.dtype == bool else pa.py_buffer(np.ascontiguousarray(column))
    return pa.Array.from_buffers(pa.from_numpy_dtype(column.dtype), len(column), [None, values])


def as_column(values: pa.ChunkedArray) -> Column:
    """Convert an Arrow array to a column: numbers and truth values keep their type, all other values become objects."""
    array = pa.concat_arrays(values.chunks) if values.num_chunks != 1 else values.chunk(0)
    if array.null_count == 0 and pa.types.is_boolean(array.type):
        bits = np.frombuffer(array.buffers()[1], np.uint8)
        return np.unpackbits(bits, bitorder="little")[array.offset : array.offset + len(array)].astype(bool)
    if array.null_count == 0 and (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        return np.from_dlpack(array).copy()
    column = np.empty(len(array), dtype=object)
    column[:] = array.to_pylist()
    return column


def _bytes(column: Column) -> pa.Array:
    values = column.tolist()
    there = np.array([value is not None for value in values], dtype=bool)
    ends = np.cumsum([0, *(len(value or b"") for value in values)], dtype=np.int64)
    data = pa.py_buffer(b"".join(value or b"" for value in values))
    return pa.Array.from_buffers(pa.large_binary(), len(values), [_bits(there), pa.py_buffer(ends), data])


def _bits(truths: Column) -> pa.Buffer:
    return pa.py_buffer(np.packbits(truths, bitorder="little"))
