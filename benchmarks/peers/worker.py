"""One library, in its own process and environment, asked again and again: a line of JSON in, a line out.

    python -m benchmarks.peers.worker LIBRARY

The first line says what is attacked (`Setup`) and is answered with versions once everything is imported, loaded and
warm; each later one holds `attack`, `seed` and where to leave the `points`, and is answered with what it cost. Attacks
joined by + are run one after the other, by robench in one evaluation; the points are the last one's.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from benchmarks.peers.case import Case, Effort, answer
from benchmarks.peers.environments import PEERS
from robench.classifiers import load_model
from robench.classifiers.classifier import Classifier
from robench.classifiers.precision import arithmetic
from robench.specs import ThreatModel
from robench.specs.settings import Precision

MODULES = {"robench": ("with_robench", "robench"), **PEERS}
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Setup:
    """What is attacked, and how; everything but plain values is a file.

    Attributes:
        card: a model card, its weights beside it.
        data: an archive of x, y and ids.
    """

    card: str
    data: str
    norm: str
    eps: str
    classes: int
    batch: int
    device: str
    precision: Precision
    threads: int
    effort: dict[str, int]

    def case(self) -> Case:
        """Loaded."""
        device = torch.device(self.device)
        with np.load(self.data) as data:
            x, y, ids = (torch.from_numpy(data[name]).to(device) for name in ("x", "y", "ids"))
        model, threat = load_model(self.card).to(device), ThreatModel.parse(self.norm, self.eps)
        return Case(model, x, y, ids, len(x), threat, self.classes, self.batch, self.precision, Effort(**self.effort))


class ProgressActor:
    """Counts the images that whole networks are shown; a hook on one of them would keep robench from folding it."""

    def __init__(self) -> None:
        self.forwards = 0
        self.hook = register_module_forward_hook(self._count)

    def _count(self, module: nn.Module, given: tuple[Tensor, ...], logits: Tensor) -> None:
        if isinstance(module, Classifier):
            self.forwards += len(given[0])


def memory(key: str) -> float | None:
    """`VmHWM`, the peak, or `VmRSS`, now, in MB; None where there is no /proc."""
    if not STATUS.exists():
        return None
    return next(int(line.split()[1]) / 1024 for line in STATUS.read_text().splitlines() if line.startswith(f"{key}:"))


def measured(run: Callable[[], Tensor], case: Case, meter: ProgressActor) -> tuple[Tensor, dict[str, Any]]:
    """The points, and seconds by the clock and of this process, forwards, and memory in MB before and at most.

    On a GPU the memory is torch's; elsewhere the whole process's.
    """
    device, gpu = case.x.device, case.x.device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats(device)
    elif RESET.exists():
        RESET.write_text("5")
    idle = torch.cuda.memory_allocated(device) / 2**20 if gpu else memory("VmRSS")
    meter.forwards, began, worked = 0, perf_counter(), process_time()
    points = run()
    if gpu:
        torch.cuda.synchronize(device)
    cost = {"seconds": perf_counter() - began, "cpu": process_time() - worked, "forwards": meter.forwards}
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if gpu else memory("VmHWM")
    return points, {**cost, "idle": idle, "peak": peak}


def runner(library: str, case: Case, meter: ProgressActor) -> tuple[Callable[[list[str], int], Tensor], Iterable[str]]:
    """From attacks and a seed to the points of the last attack; and the attacks that there are."""
    module = importlib.import_module(f"{__package__}.{MODULES[library][0]}")

    def ours(attacks: list[str], seed: int) -> Tensor:
        points, booked = module.evaluation(attacks, case, seed)
        if meter.forwards < booked:
            raise SystemExit(f"robench booked {booked} forwards, the network saw {meter.forwards}.")
        return points

    def theirs(attacks: list[str], seed: int) -> Tensor:
        with arithmetic(case.precision, case.x.device):
            found = [answer(module, attack, case, seed) for attack in attacks]
        (*_, last) = found
        if last is None:
            raise SystemExit(f"{library} has no {attacks[-1]}.")
        return last

    return (ours if library == "robench" else theirs), module.ATTACKS


def warm(case: Case) -> None:
    """A pass forwards and backwards over one micro-batch: what torch does once is nobody's time."""
    x = case.x[: case.batch].clone().requires_grad_()
    torch.autograd.grad(case.model(x).sum(), x)


def main() -> None:
    """Answer until there are no more lines."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    library, setup = sys.argv[1], Setup(**json.loads(sys.stdin.readline()))
    torch.set_num_threads(setup.threads)
    case = setup.case()
    meter = ProgressActor()
    run, attacks = runner(library, case, meter)
    warm(case)
    versions = {name: version(name) for name in ("torch", MODULES[library][1])}
    print(json.dumps({"versions": versions, "attacks": sorted(attacks)}), file=answers)
    for line in sys.stdin:
        task = json.loads(line)
        points, cost = measured(lambda: run(task["attack"].split("+"), task["seed"]), case, meter)  # noqa: B023
        np.save(task["points"], points.cpu().numpy())
        print(json.dumps(cost), file=answers)


if __name__ == "__main__":
    main()
