"""`fast` beside the strongest attacks: AutoAttack, A3, MALT and PMA on the same examples, under one judge.

    python -m benchmarks.strongest [--model cifar10-jpeg/pgdat ...] [--peer a3 ...] [--limit 1000] [--data-dir DIR]
                                   [--results DIR] [--out results/benchmarks/strongest.md]

By default the seven cifar10-jpeg defenses and a hundred-class task (`benchmarks.pairs`). The peers take turns on each
defense, in one process with one thread. What a peer did on a defense is one line of JSON in --results, so an
interrupted run goes on and a finished one only prints its tables again; a line counts while network, examples and
attack are the same.
"""

import argparse
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import process_time

import numpy as np
import torch
from torch import Tensor

from benchmarks import pairs
from benchmarks.peers import published
from benchmarks.peers.case import Case
from benchmarks.peers.passes import passes
from benchmarks.peers.with_robench import battery
from robench.algorithms import bind
from robench.classifiers import load_model
from robench.data import dataset_of
from robench.devices import device_name
from robench.evaluation.request import network_identity
from robench.numerics.ball import Ball
from robench.paths import write_text
from robench.report import Table, markdown
from robench.specs import battery_attacks, digest, find_card, list_models

ROOT = Path(__file__).parents[1]
TITLES = {"autoattack": "AutoAttack", "a3": "A3", "malt": "MALT", "pma": "PMA", "fast": "fast"}
SEED = 0


@dataclass(frozen=True)
class Line:
    """What one peer did on one defense.

    Attributes:
        key: a hash of all that can change it.
        clean: the percentage that is classified correctly.
        n, attacked: examples, and those of them that are classified correctly.
        robust: which of the attacked survived, one character each.
    """

    model: str
    peer: str
    key: str
    n: int
    attacked: int
    clean: float
    robust: str
    forwards: int
    backwards: int
    cpu_seconds: float

    @property
    def accuracy(self) -> float:
        """Robust accuracy in percent."""
        return 100 * self.robust.count("1") / self.n


def autoattack(case: Case, seed: int) -> Tensor:
    """The published AutoAttack, standard version."""
    from benchmarks.peers.with_pyautoattack import PARTS, run

    return run(PARTS, case, seed)


def by_definition(name: str) -> Callable[[Case, int], Tensor]:
    """One of the attacks that are written from their papers."""
    return lambda case, seed: published.ATTACKS[name](case.model, case.x, case.y, case.eps, seed)


PEERS: dict[str, Callable[[Case, int], Tensor]] = {
    "autoattack": autoattack,
    **{name: by_definition(name) for name in published.ATTACKS},
    "fast": lambda case, seed: battery("fast", case, seed),
}


def definition(peer: str) -> object:
    """What identifies a peer: the version of a package, the text of a module, or the attacks of a battery."""
    if peer == "autoattack":
        return version("pyautoattack")
    if peer == "fast":
        return [[spec.identity(), bind(spec).version] for spec in battery_attacks("fast")]
    folder = Path(published.__file__).parent
    files = [folder / f"{peer}.py", folder / "search.py", *([folder / "apgd.py"] if peer == "malt" else [])]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def case_of(name: str, limit: int, data_dir: Path | None, results: Path) -> Case:
    """A defense and what it classifies correctly of the first test examples."""
    if name == pairs.NAME:
        x, y = pairs.pairs("test", limit, 1)
        hundred = pairs.load(results / "pairs.safetensors")
        return Case(hundred, x, y, torch.arange(limit), limit, pairs.THREAT, pairs.CLASSES, batch=128).right()
    card = find_card(name)
    data = dataset_of(card)
    split = data.load("test", data_dir) if data_dir else data.load("test")
    split = split.limit(limit)
    model, classes = load_model(name), len(split.y.unique())
    return Case(model, split.x[:], split.y, split.ids, len(split), data.usual, classes, batch=128).right()


def measured(name: str, peer: str, case: Case, key: str) -> Line:
    """Run a peer, and judge its points."""
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    with passes() as counted:
        began = process_time()
        points = PEERS[peer](case, SEED)
        spent = process_time() - began
    broken = case.fooled(points) & Ball(case.x, case.threat.norm, case.eps).contains(points)
    robust = "".join("01"[int(not each)] for each in broken)
    clean = 100 * len(case.x) / case.total
    cost = (counted.forwards, counted.backwards, round(spent, 2))
    return Line(name, peer, key, case.total, len(case.x), clean, robust, *cost)


def lines_of(name: str, peers: list[str], limit: int, data_dir: Path | None, results: Path) -> dict[str, Line]:
    """The lines of a defense; what is missing is measured and appended."""
    case, path = case_of(name, limit, data_dir, results), results / f"{name.replace('/', '-')}.jsonl"
    what = [network_identity(case.model), case.ids.tolist(), str(case.threat), SEED]
    known = [Line(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
    found = {}
    for peer in peers:
        key = digest([what, peer, definition(peer)])
        line = next((line for line in known if line.key == key), None)
        if line is None:
            line = measured(name, peer, case, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(json.dumps(asdict(line)) + "\n")
        found[peer] = line
    return found


def accuracies(lines: dict[str, dict[str, Line]], peers: list[str]) -> Table:
    """Robust accuracy of each peer, and of all together."""
    titles = [TITLES[peer] for peer in peers]
    table = Table("`fast` beside the strongest attacks", "defense", ["examples", "clean", *titles, "all together"])
    for name, found in lines.items():
        first = next(iter(found.values()))
        union = sum(set(each) == {"1"} for each in zip(*(line.robust for line in found.values()), strict=True))
        cells = {TITLES[peer]: f"{line.accuracy:.2f}" for peer, line in found.items()}
        table.add(name, {"examples": str(first.n), "clean": f"{first.clean:.2f}", **cells,
                         "all together": f"{100 * union / first.n:.2f}"})  # fmt: skip
    table.notes.append(
        f"Robust accuracy in percent, seed {SEED}; all together: an example counts only if it survives every attack "
        "shown. AutoAttack: pyautoattack, the standard version. A3, MALT and PMA are written from their papers "
        "(`benchmarks/peers/published/`). Every point is judged by a fresh float32 pass."
    )
    return table


def costs(lines: dict[str, dict[str, Line]], peers: list[str]) -> Table:
    """Passes and CPU seconds of each peer."""
    columns = [f"{TITLES[peer]} {what}" for what in ("passes", "s") for peer in peers]
    table = Table("What they cost", "defense", columns)
    for name, found in lines.items():
        cells = {}
        for peer, line in found.items():
            cells[f"{TITLES[peer]} passes"] = f"{(line.forwards + line.backwards) / max(line.attacked, 1):,.0f}"
            cells[f"{TITLES[peer]} s"] = f"{line.cpu_seconds:,.1f}"
        table.add(name, cells)
    table.notes.append(
        "Passes: images through the network forwards and gradients back for each correctly classified example, counted "
        "at the network for all; `fast` with its clean pass, probe and judge. s: CPU seconds; "
        f"{device_name(torch.device('cpu'))}, one thread."
    )
    return table


def main() -> None:
    """Measure what is missing, and write the tables after each defense."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="cifar10-jpeg's defenses and the hundred classes by default")
    parser.add_argument("--peer", action="append", choices=PEERS, help="all by default")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--results", type=Path, default=ROOT / "results/benchmarks/raw/strongest")
    parser.add_argument("--out", type=Path, help="a file for the tables; they are printed otherwise")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = options.model or [*(name for name in list_models() if name.startswith("cifar10-jpeg/")), pairs.NAME]
    peers = [peer for peer in PEERS if peer in (options.peer or PEERS)]
    lines: dict[str, dict[str, Line]] = {}
    text = ""
    for name in models:
        lines[name] = lines_of(name, peers, options.limit, options.data_dir, options.results)
        text = f"{markdown(accuracies(lines, peers))}\n{markdown(costs(lines, peers))}"
        if options.out:
            write_text(options.out, text)
    if not options.out:
        print(text)


if __name__ == "__main__":
    main()
