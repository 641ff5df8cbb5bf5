"""Libraries in processes of their own, asked in turns: A B A B ...; only one computes at a time."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import numpy as np
import torch

from benchmarks.peers.case import Case
from benchmarks.peers.environments import ROOT
from benchmarks.peers.worker import Setup

WORKER = ("-m", "benchmarks.peers.worker")
LINES = 15
"""Of what a library printed last, shown when it fails."""


@dataclass
class Costs:
    """What one library's attack cost, a number a round; memory in MB before and at most, over all rounds."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    forwards: list[int] = field(default_factory=list)
    robust_accuracy: list[float] = field(default_factory=list)
    idle: float | None = None
    peak: float | None = None

    def add(self, cost: dict[str, Any], robust_accuracy: float) -> None:
        """Book a round; memory before is the first round's, when the process was fresh."""
        self.seconds.append(cost["seconds"])
        self.cpu.append(cost["cpu"])
        self.forwards.append(cost["forwards"])
        self.robust_accuracy.append(robust_accuracy)
        self.idle = cost["idle"] if self.idle is None else self.idle
        self.peak = cost["peak"] if self.peak is None else max(self.peak, cost["peak"])

    def times(self, device: str) -> list[float]:
        """What ratios are of: seconds that the process computed, which other processes on a busy machine do not
        lengthen; with a GPU those on the clock.
        """
        return self.cpu if device == "cpu" else self.seconds


def ratio(theirs: Iterable[float], ours: Iterable[float]) -> float:
    """The median of the rounds' ratios."""
    return median(a / b for a, b in zip(theirs, ours, strict=True))


class Worker:
    """A library in a process of its own; a context, at whose end the process ends.

    Attributes:
        versions: of torch and of the library.
        attacks: what it has.

    Raises:
        SystemExit: it failed, with the end of what it printed.
    """

    def __init__(self, library: str, python: Path, setup: Setup) -> None:
        self.library = library
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed by `close`
        threads = str(setup.threads)
        self.process = subprocess.Popen(
            [python, *WORKER, library],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
        greeting = self._ask(asdict(setup))
        self.versions: dict[str, str] = greeting["versions"]
        self.attacks = set(greeting["attacks"])

    def has(self, attack: str) -> bool:
        """Whether it has an attack, or all of those joined by +."""
        return self.attacks.issuperset(attack.split("+"))

    def run(self, attack: str, seed: int, points: Path) -> dict[str, Any]:
        """Leave the points in a file; what it cost."""
        return self._ask({"attack": attack, "seed": seed, "points": str(points)})

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self.process.stdin, self.process.stdout
        try:
            print(json.dumps(question), file=stdin, flush=True)
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.process.wait()
            self.said.seek(0)
            last = self.said.readlines()[-LINES:]
            self.close()
            raise SystemExit(f"{self.library} failed:\n{''.join(last)}")
        return json.loads(line)

    def close(self) -> None:
        """End the process, which ends by itself when nothing more can come."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.said.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self.process.terminate()
        self.close()


def in_turns(workers: list[Worker], attack: str, case: Case, rounds: int) -> dict[str, Costs]:
    """The costs by library; the round is the seed.

    Args:
        workers: who is asked, in this order.
        attack: one, or several joined by +.
        case: judges all of them: only what it classifies correctly can be robust.
        rounds: how often each is asked.
    """
    costs, right = {worker.library: Costs() for worker in workers}, ~case.wrong(case.x)
    with tempfile.TemporaryDirectory(prefix="robench-") as folder:
        points = Path(folder) / "points.npy"
        for seed in range(rounds):
            for worker in workers:
                cost = worker.run(attack, seed, points)
                found = torch.from_numpy(np.load(points)).to(case.x.device)
                costs[worker.library].add(cost, case.take(right).robust_accuracy(found[right]))
    return costs
