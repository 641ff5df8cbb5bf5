"""SPSA and NES against torchattacks, ZOO against ART: time a query, in turns, A B C A B C ...

    python -m benchmarks.blackbox_against_peers [--rounds 7] [--threads 1] [--out results/benchmarks/blackbox.md]

A query is one image through the network, counted there on all sides; clean pass, judge, record and whatever else an
evaluation needs are part of our time. The radius is so small that nothing is broken and no example leaves early.
The bars: a query of a peer takes at least 2 times as long as one of SPSA and NES, 10 times as long as one of ZOO, with
the peer's default batch size and with its fastest. Peers that are not installed are left out.
"""

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

import robench
from benchmarks.peers.case import DIRECTIONS, Case
from robench.data import find_dataset
from robench.devices import device_name
from robench.paths import write_text
from robench.report import Table, markdown
from robench.specs import ThreatModel, find_attack

EPS, MICRO_BATCH = 1e-4, 128
"""The radius; images a pass of the network alone."""
MAX_BATCH = (64, 1, 8, 256)
"""Directions that torchattacks' SPSA tries at once; the first is its default."""
PARALLEL = (1, 64)
"""Coordinates that ART moves in an update: one as ours, and all; its default of 128 is more than digits have."""
PEERS = {"torchattacks": "torchattacks", "art": "adversarial-robustness-toolbox"}
"""What is imported, and what it is called on PyPI."""
Contestants = dict[str, Callable[[nn.Module, Tensor, Tensor], object]]


class Counted(nn.Module):
    """A network that counts the images it is shown."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.seen = model, 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        logits: Tensor = self.model(x)
        return logits


def alone(queries: int, model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Nothing but passes."""
    images = x.repeat(-(-MICRO_BATCH // len(x)), 1, 1, 1)[:MICRO_BATCH]
    with torch.no_grad():
        for _ in range(-(-queries * len(x) // MICRO_BATCH)):
            model(images)


def ours(attack: str, steps: int, model: nn.Module, x: Tensor, y: Tensor) -> None:
    """An evaluation by the first steps of a declared attack."""
    spec = find_attack(attack).model_copy(update={"steps": steps})
    if robench.evaluate(model, x, y, eps=EPS, attacks=[spec], device="cpu").worst_case.robust_accuracy < 100:
        raise SystemExit(f"{attack} broke an example at eps {EPS}, which then left early: lower EPS.")


def torchattacks_spsa(steps: int, max_batch: int, model: nn.Module, x: Tensor, y: Tensor) -> None:
    """All examples in one call."""
    from benchmarks.peers.with_torchattacks import spsa

    spsa(_case(model, x, y), steps, max_batch)


def art_zoo(queries: int, parallel: int, batch: int, model: nn.Module, x: Tensor, y: Tensor) -> None:
    """About so many queries an image, one image after the other; `batch` probes a pass."""
    from benchmarks.peers.with_art import zoo

    zoo(_case(model, x, y), queries, parallel, batch)


def _case(model: nn.Module, x: Tensor, y: Tensor) -> Case:
    return Case(model, x, y, torch.arange(len(x)), len(x), ThreatModel.parse("linf", EPS))


def duel(
    title: str, bar: float, sides: Contestants, peers: list[Contestants], queries: int, rounds: int,
    model: nn.Module, x: Tensor, y: Tensor,
) -> Table:  # fmt: skip
    """Everyone in turns after a round to warm up, ratios round by round; in each group of peers the defaults first."""
    everyone = sides | {name: run for group in peers for name, run in group.items()}
    everyone[f"the network alone, {MICRO_BATCH} images a pass"] = partial(alone, queries)
    times: dict[str, list[float]] = {name: [] for name in everyone}
    seen: dict[str, int] = {}
    for _ in range(rounds + 1):
        for name, run in everyone.items():
            counted, began = Counted(model).eval(), perf_counter()
            run(counted, x, y)
            times[name].append(1e6 * (perf_counter() - began) / counted.seen)
            seen[name] = counted.seen
    times = {name: values[1:] for name, values in times.items()}

    def ratios(name: str, side: str) -> list[float]:
        return [a / b for a, b in zip(times[name], times[side], strict=True)]

    table = Table(title, "", ["queries", "microseconds a query", *(f"over {side}" for side in sides)])
    for name in everyone:
        cells = {"queries": f"{seen[name]:,}", "microseconds a query": spread(times[name])}
        table.add(name, cells | {f"over {side}": spread(ratios(name, side)) for side in sides})
    for side in sides:
        for group in peers:
            fastest = min(group, key=lambda name: median(times[name]))
            for name, which in {next(iter(group)): "default batch size", fastest: "fastest"}.items():
                found = median(ratios(name, side))
                verdict = "met" if found >= bar else "missed"
                table.notes.append(f"{name} ({which}): {found:.2f} times as long as {side}, bar {bar:g} {verdict}.")
    return table


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="digits/pgdat", help="a defense of digits")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--examples", type=int, default=540, help="for SPSA and NES; only correct ones are used")
    parser.add_argument("--steps", type=int, default=2, help="of SPSA and NES")
    parser.add_argument("--examples-zoo", type=int, default=60, help="correct ones of them for ZOO")
    parser.add_argument("--updates", type=int, default=300, help="of ZOO, two queries each; ART gets about as many")
    parser.add_argument("--out", type=Path, help="a Markdown file besides")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    split, model = find_dataset("digits").load("test").limit(options.examples), robench.load_model(options.model)
    with torch.no_grad():
        right = model(split.x).argmax(1) == split.y
    x, y, first = split.x[right], split.y[right], options.examples_zoo
    steps, probes, updates, rounds = options.steps, 2 * DIRECTIONS, options.updates, options.rounds

    absent = [package for name, package in PEERS.items() if importlib.util.find_spec(name) is None]
    used = ", ".join(f"{name} {version(name)}" for name in ("torch", *PEERS.values()) if name not in absent)
    asked = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in vars(options).items() if name != "out")
    parts = [
        "# Black boxes beside their peers\n",
        f"`python -m benchmarks.blackbox_against_peers {asked}` on {device_name(torch.device('cpu'))}, "
        f"with {used}. Median (and range) of {rounds} rounds in turns; queries are those of one round.\n",
    ]
    if PEERS["torchattacks"] not in absent:
        sides: Contestants = {name: partial(ours, name, steps) for name in ("spsa-20", "nes-20")}
        peer: Contestants = {f"SPSA, max_batch_size={m}": partial(torchattacks_spsa, steps, m) for m in MAX_BATCH}
        title = f"Ours and torchattacks' SPSA: {steps} steps of {probes} probes for each of {len(x)} examples"
        parts.append(markdown(duel(title, 2, sides, [peer], probes * steps, rounds, model, x, y)))
    if PEERS["art"] not in absent:
        sides, queries = {"zoo": partial(ours, "zoo", updates)}, 2 * updates
        peers: list[Contestants] = [
            {f"ZooAttack, nb_parallel={n}, batch_size={m}": partial(art_zoo, queries, n, m) for m in (1, 2 * n)}
            for n in PARALLEL
        ]
        title = f"Ours and ART's ZOO: about {queries} queries for each of {len(x[:first])} examples"
        parts.append(markdown(duel(title, 10, sides, peers, queries, rounds, model, x[:first], y[:first])))
    if absent:
        parts.append(f"Left out, not installed: {', '.join(absent)}; `pip install 'robench[peers]'` brings them.\n")
    print("\n".join(parts))
    if options.out:
        write_text(options.out, "\n".join(parts))


if __name__ == "__main__":
    main()
