"""From raw records of runs to published ones: results/<dataset>/<model>.jsonl."""

from pathlib import Path

from robench.errors import IncompleteError
from robench.report.selection import select
from robench.store import Store, read_file, write_file


def publish(results: Path, models: list[str] | None = None) -> list[Path]:
    """Write the published records of the defenses that have raw ones, beside what is published already.

    A line whose record did not change stays as it is, so that a diff shows only changed verdicts.

    Raises:
        IncompleteError: there is nothing to publish.
    """
    raw = list(Store(results).records())
    chosen = select(raw, models).defenses
    if not chosen:
        wanted = f" of {', '.join(models)}" if models else ""
        raise IncompleteError(f"'{results}' has no raw records{wanted}: run `robench eval --model NAME` first.")
    written = []
    for records in chosen.values():
        header = records[0].header
        path = results / header.dataset / f"{header.model.rpartition('/')[2]}.jsonl"
        before = list(read_file(path)) if path.is_file() else []
        known = {record.header.hash: record for record in before}
        fresh = [known.get(record.header.hash, record) for record in records]
        kept = [record for record in before if record.header.hash not in {r.header.hash for r in records}]
        merged = select([*fresh, *kept]).defenses[header.model]
        write_file(path, merged)
        written.append(path)
    return written
