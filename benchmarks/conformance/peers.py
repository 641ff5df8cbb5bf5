"""The same network and the same examples through robench and four well-known libraries, side by side.

    python -m benchmarks.conformance.peers [--model digits/pgdat] [--limit 540] [--seeds 0 1 2] [--out FILE]

Where the peers are not installed, it makes an environment of its own for them and runs itself there; with
--here it stays, and leaves out by name what cannot be imported. Exit code 1 says that our median minimum
norm is more than 3% longer than a peer's.
"""

import argparse
import importlib
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.peers.environments import CACHE, PEERS, ROOT, environment, missing
from robench.paths import write_text

DEFAULT_ENV = CACHE / "peers"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["digits/pgdat", "digits/pgdat_he", "digits/standard"])
    parser.add_argument("--limit", type=int, help="test examples; all by default")
    parser.add_argument("--limit-cw", type=int, default=60, help="correct ones of them for the slow C&W l2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--env", type=Path, default=DEFAULT_ENV, help="where to make the peers' environment")
    parser.add_argument("--here", action="store_true", help="use this environment as it is")
    parser.add_argument("--out", type=Path, help="a Markdown file instead of the terminal")
    return parser.parse_args()


def elsewhere(env: Path) -> int:
    """Make the peers' environment, run this module in it, and return its exit code."""
    print(f"Not installed here: {', '.join(missing())}. Going on in {env}.", file=sys.stderr)
    python = environment(env, "--editable", f"{ROOT}[peers]")
    command = [str(python), "-m", "benchmarks.conformance.peers", *sys.argv[1:], "--here"]
    return subprocess.run(command, check=False, cwd=ROOT).returncode


def compare(options: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    """The report in Markdown so far, after each defense, and whether all norms are within the bar."""
    import torch

    from benchmarks.conformance.comparison import BAR, MINIMAL, bounded, minimal, norms_table
    from benchmarks.peers.case import DIGITS, Case
    from robench.devices import device_name

    torch.set_num_threads(1)
    absent = missing()
    modules = ["nearest_with_robench", *(module for name, (module, _) in PEERS.items() if name not in absent)]
    peers: list[Any] = [importlib.import_module(f"benchmarks.peers.{module}") for module in modules]
    named = [f"{package} {version(package)}" for name, (_, package) in PEERS.items() if name not in absent]
    asked = [f"--limit {options.limit}" if options.limit else "", f"--limit-cw {options.limit_cw}"]
    command = " ".join(["python -m benchmarks.conformance.peers --model", *options.model, *filter(None, asked)])
    parts = [
        "# robench and its peers",
        f"`{command}` on {device_name(torch.device('cpu'))}: beside {', '.join(named)}, "
        f"with torch {torch.__version__}.",
    ]
    if absent:
        parts.append(f"Left out, not installed: {', '.join(absent)}.")
    differences = (Path(__file__).parent / "differences.md").read_text()
    rows, within = [], True
    for name in options.model:
        began, case = perf_counter(), Case.of(name, options.limit)
        parts += [
            f"## {name}",
            f"Robust accuracy in percent, {DIGITS}, {case.total} test examples, {len(case.x)} of them correct, "
            f"seeds {', '.join(map(str, options.seeds))}: mean (lowest to highest).",
            bounded(case, peers, options.seeds),
        ]
        for attack in MINIMAL:
            examples = case.first(options.limit_cw) if attack == "cw-l2" else case
            for row, ratio in minimal(examples, attack, peers):
                rows.append([name, *row])
                within &= not ratio > BAR
        print(f"{name}: {perf_counter() - began:.0f} s", file=sys.stderr)
        whole = [*parts, "## Minimum norms", NORMS, norms_table(rows), differences]
        yield "\n\n".join(part.strip() for part in whole) + "\n", within


NORMS = """Each median is over the examples that the library fools; the ratio is that of the medians over the
examples that both fool, and the last column counts the examples on which the peer's point is more than 0.1%
nearer than ours, or the only one."""


def main() -> int:
    """Run here or elsewhere, and write the report."""
    options = arguments()
    if missing() and not options.here:
        return elsewhere(options.env)
    report, within = "", True
    for so_far in compare(options):
        report, within = so_far
        if options.out:
            write_text(options.out, report)
    if not options.out:
        print(report)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
