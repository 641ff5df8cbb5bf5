"""Tables as the files that are committed: results/tables/<dataset>/<name>.md and .csv."""

from pathlib import Path

from robench.paths import write_text
from robench.report.formats import csv_text, markdown
from robench.report.table import Table


def write_table(results: Path, dataset: str, name: str, table: Table) -> list[Path]:
    """Write a table as Markdown and CSV; says where."""
    stem = results / "tables" / dataset / name
    paths = [stem.with_name(f"{name}{suffix}") for suffix in (".md", ".csv")]
    for path, text in zip(paths, (markdown(table), csv_text(table)), strict=True):
        write_text(path, text)
    return paths
