"""How long `robench report` takes on many records: all tables, the HTML page, and a browser that opens the page.

    python -m benchmarks.report_speed [--records 10000] [--rounds 3]

The records are the committed ones again and again, as those of other networks: each under a new name, with other
weights in its identity and the hash that belongs to it. The bar: 10,000 records in under 5 s, start included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from statistics import median

from robench.paths import data_root, write_text
from robench.report import Table, markdown
from robench.specs import digest
from tests.support.chromium import chromium

BAR = 5.0


def variant(line: str, number: int) -> str:
    """A published record as that of another network."""
    record = json.loads(line)
    model = record["identity"]["model"]
    model["weights"] = digest([model["weights"], number])
    record["model"] = f"digits/variant-{number:04d}"
    record["hash"] = digest(record["identity"])
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


def build(folder: Path, records: int) -> int:
    """Write so many published records; how many defenses they are of."""
    sources = [
        [line for line in path.read_text(encoding="utf-8").splitlines() if json.loads(line)["seed"] == 0]
        for path in sorted((data_root() / "results" / "digits").glob("*.jsonl"))
    ]
    for number in count():
        lines = list(islice(sources[number % len(sources)], records))
        records -= len(lines)
        text = "".join(f"{variant(line, number)}\n" for line in lines)
        write_text(folder / "digits" / f"variant-{number:04d}.jsonl", text)
        if not records:
            return number + 1
    raise AssertionError


def report(results: Path, *options: str) -> Callable[[], object]:
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "robench", "report", "--results", str(results), *options]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def seconds(work: Callable[[], object], rounds: int) -> list[float]:
    """Of each round."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        results, page = Path(folder) / "results", Path(folder) / "report.html"
        defenses = build(results, options.records)
        ways = {
            "robench report": report(results),
            "robench report --format html": report(results, "--format", "html", "--out", str(page)),
            "Chromium opens the page": lambda: browser.open(page),
        }
        table = Table(f"{options.records:,} records of {defenses} defenses", "", ["median s", "slowest s"])
        for name, work in ways.items():
            times = seconds(work, options.rounds)
            table.add(name, {"median s": f"{median(times):.2f}", "slowest s": f"{max(times):.2f}"})
            if max(times) > BAR:
                table.notes.append(f"{name} misses the bar of {BAR:.0f} s.")
        table.notes.append(f"{options.rounds} rounds, one thread; the page has {page.stat().st_size / 1e6:.1f} MB.")
    print(markdown(table))


if __name__ == "__main__":
    main()
