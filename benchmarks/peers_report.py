"""The report of `peers.py` in Markdown: the machine, a table a network, and which bars are met."""

import argparse
import os
import platform
import shlex
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, median

from tabulate import tabulate

from benchmarks.peers.scene import Scene
from benchmarks.peers.turns import Costs, ratio
from benchmarks.peers.worker import Setup

BARS = {"pgd-20": 1.8, "pgd-100": 2.5, "deepfool": 2.0, "cw-l2": 2.0, "autoattack": 10.0}
"""How many times faster than the fastest peer, on trained networks."""
FOR_CIFAR = ("pgd-20", "pgd-100")
"""Their bars are set for CIFAR-10; elsewhere the ratio alone is told."""
POINTS = 0.2
"""Our robust accuracy may be this much above the fastest peer's."""
MEMORY = 1.1
"""Our peak over the leanest peer's."""
OURS = "robench"
PLACES = ("data_dir", "envs", "out")
"""Options that are of this machine alone."""
TITLES = [
    "attack", "examples", "library", "s of CPU", "s by the clock", "times robench, CPU (clock)", "forwards",
    "robust %", "peak MB (idle)",
]  # fmt: skip


class Report:
    """Grows attack by attack.

    Attributes:
        versions: of torch and the libraries.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.versions: dict[str, str] = {}
        self.load = [os.getloadavg()[0]]
        self.networks: list[tuple[Scene, list[list[str]], list[str]]] = []

    def network(self, scene: Scene) -> None:
        """What follows is about it."""
        self.networks.append((scene, [], []))

    def attack(self, attack: str, setup: Setup, n: int, costs: Mapping[str, Costs]) -> None:
        """Rows of an attack, and its bars."""
        scene, rows, notes = self.networks[-1]
        self.load.append(os.getloadavg()[0])
        allowed = f"{attack}, {setup.norm} {setup.eps}"
        for library, cost in costs.items():
            rows.append([allowed, str(n), library, *cells(cost, costs[OURS])])
        if len(costs) > 1:
            notes.append(verdict(attack, costs, setup.device, self._bar(attack, scene)))

    def _bar(self, attack: str, scene: Scene) -> float | None:
        fits = attack not in FOR_CIFAR or scene.card.dataset.startswith("cifar10")
        return BARS.get(attack) if fits and not scene.random else None

    def text(self) -> str:
        """All of it."""
        parts = ["# Beside the peers", self._machine(), READING]
        for scene, rows, notes in self.networks:
            parts.append(f"## {scene.name}")
            if scene.random:
                parts.append(RANDOM)
            parts.append(tabulate(rows, TITLES, tablefmt="github", disable_numparse=True))
            parts.append("\n".join(f"- {note}" for note in notes))
        return "\n\n".join(part for part in parts if part) + "\n"

    def _machine(self) -> str:
        command = f"python -m benchmarks.beside_peers {shlex.join(asked(self.options))}"
        used = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        where = "one environment for all" if self.options.here else "an environment for each library"
        return (
            f"`{command}`\n\n{processor()}, {os.cpu_count()} cores, {self.options.threads} thread(s) a process, "
            f"device {self.options.device}, micro-batch {self.options.batch_size}, {self.options.precision}, "
            f"Python {platform.python_version()}; {used}; {where}. Load average {min(self.load):.1f} to "
            f"{max(self.load):.1f}, this benchmark's own process included."
        )


def asked(options: argparse.Namespace) -> list[str]:
    """The command line again, defaults spelled out, places left out."""
    words = []
    for name, value in vars(options).items():
        if name in PLACES or value in (None, False):
            continue
        words.append(f"--{name.replace('_', '-')}")
        words += [] if value is True else map(str, value if isinstance(value, list) else [value])
    return words


def processor() -> str:
    """The CPU's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def cells(cost: Costs, ours: Costs) -> list[str]:
    """A row from seconds on."""
    return [
        spread(cost.cpu),
        spread(cost.seconds),
        f"{ratio(cost.cpu, ours.cpu):.2f} ({ratio(cost.seconds, ours.seconds):.2f})",
        f"{median(cost.forwards):,.0f}",
        f"{mean(cost.robust_accuracy):.2f}",
        "-" if cost.peak is None else f"{cost.peak:.0f} ({cost.idle:.0f})",
    ]


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def verdict(attack: str, costs: Mapping[str, Costs], device: str, bar: float | None) -> str:
    """How we stand beside the fastest and the leanest peer, in a sentence or two."""
    ours, peers = costs[OURS], {name: cost for name, cost in costs.items() if name != OURS}
    fastest = min(peers, key=lambda name: median(peers[name].times(device)))
    times = ratio(peers[fastest].times(device), ours.times(device))
    above = mean(ours.robust_accuracy) - mean(peers[fastest].robust_accuracy)
    said = [f"{attack}: {fastest}, the fastest peer, takes {times:.2f} times as long"]
    said += [f"bar {bar:g} {met(times >= bar)}"] if bar else []
    said += [f"robust accuracy {above:+.2f} points, at most {POINTS:+} {met(above <= POINTS)}"]
    if ours.peak is not None:
        leanest = min(peers, key=lambda name: peers[name].peak)
        share = ours.peak / peers[leanest].peak
        said += [f"peak memory {share:.2f} of {leanest}'s, the leanest, at most {MEMORY} {met(share <= MEMORY)}"]
    return "; ".join(said) + "."


def met(is_met: bool) -> str:
    """In a word."""
    return "met" if is_met else "missed"


READING = """Seconds and forwards are a median (and range) of the rounds, which go A B A B ...; the round is the seed.
Seconds of CPU are what the process computed: other programs on a busy machine lengthen the clock's, so there the ratio
of CPU seconds is the one to trust, and the bars are about it. Forwards are images through the network, counted at the
network, robench's clean pass, probe and judge among them. Peers attack every example, robench the correctly classified
ones; robust accuracy is a share of all examples, judged alike, the mean of the rounds. Peak memory is the process's
(idle: before the first round), the largest of the rounds."""
RANDOM = """Random weights, labels are its own answers: for the cost of a large network only. Robust accuracy means
nothing here, and how soon examples break, which decides what robench saves, is not that of a trained network."""
