"""Write tables as the committed files results/tables/<dataset>/<name>.md and .csv."""

from collections.abc import Container
from pathlib import Path

from robench.paths import write_text
from robench.report.table import Table, csv_text, markdown

SUFFIXES = (".md", ".csv")


def write_table(results: Path, dataset: str, name: str, table: Table) -> list[Path]:
    """Write a table as Markdown and CSV; return both paths."""
    base = results / "tables" / dataset / name
    paths = [base.with_name(f"{name}{suffix}") for suffix in SUFFIXES]
    for path, text in zip(paths, (markdown(table), csv_text(table)), strict=True):
        write_text(path, text)
    return paths


def remove_others(results: Path, dataset: str, made: Container[str]) -> list[Path]:
    """Remove the files of all tables that are not in `made`; return the removed paths."""
    folder = results / "tables" / dataset
    stale = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.stem not in made]
    for path in stale:
        path.unlink()
    return stale
