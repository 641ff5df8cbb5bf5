"""Records on disk: raw records of runs, and published records. Never imports torch."""

from robench.store.header import (
    SCHEMA,
    SHORT,
    ComparisonKey,
    Header,
    Record,
    interval,
    interval_of,
    percent,
    robust_to_all,
)
from robench.store.published import read_file, read_published, write_file
from robench.store.raw import Store, read, read_header
from robench.store.rows import Column, Rows, ids_sha256, join

__all__ = [
    "SCHEMA",
    "SHORT",
    "Column",
    "ComparisonKey",
    "Header",
    "Record",
    "Rows",
    "Store",
    "ids_sha256",
    "interval",
    "interval_of",
    "join",
    "percent",
    "read",
    "read_file",
    "read_header",
    "read_published",
    "robust_to_all",
    "write_file",
]
