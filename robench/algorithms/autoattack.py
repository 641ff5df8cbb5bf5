"""AutoAttack as its authors publish it, through `pyautoattack`: the reference, in one opaque step."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from robench.access.answers import Bounds
from robench.algorithms.base import STRICT, Algorithm, Count, State, Task
from robench.devices import out_of_memory
from robench.errors import InputError
from robench.specs import Norm

Part = Literal["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"]
STANDARD: tuple[Part, ...] = ("apgd-ce", "apgd-t", "fab-t", "square")
TARGETS, ITERATIONS, QUERIES = 9, 100, 5000
"""Settings of the standard version: target classes, iterations of APGD and of FAB, queries of Square."""
CHECKS = 10
"""Passes of an example around the attacks: for randomness, range and graph, clean accuracy, and the engine's last."""
NORM_NAMES: dict[Norm, Literal["Linf", "L2", "L1"]] = {"linf": "Linf", "l2": "L2", "l1": "L1"}


@dataclass(frozen=True, config=STRICT)
class AutoAttack(Algorithm[State]):
    """The standard version of Croce & Hein 2020b, or some of its parts, unchanged.

    AutoAttack sees the network through the oracle's counters, and its adversarial examples go to the judge like
    any other claim. It draws from torch's global generator, once per batch, so unlike all other algorithms here
    its verdicts depend on the batch size, which is therefore a parameter, and on the chunks, which therefore depend
    on the split alone. It does not say which example a pass was for: passes are spread evenly over the chunk, and
    their sum is exact. With fewer than ten classes it aims at all wrong classes.

    Attributes:
        parts: attacks in the order in which they run, each on the examples that earlier attacks left.
        batch_size: examples per batch; the default is the package's.
    """

    parts: tuple[Part, ...] = STANDARD
    batch_size: Count = 250

    norms: ClassVar[tuple[Norm, ...]] = tuple(NORM_NAMES)
    bounds: ClassVar[Bounds] = "own"
    is_prefix_stable: ClassVar[bool] = False
    example_independent: ClassVar[bool] = False
    batch_random: ClassVar[bool] = True
    can_mask: ClassVar[bool] = False

    @property
    def min_classes(self) -> int:
        """Smallest number of classes: four, for the targeted DLR loss."""
        return 4 if "apgd-t" in self.parts else 3 if "apgd-dlr" in self.parts else 2

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count the passes for an example that survives all attacks.

        In l1 the package gives APGD-CE five restarts and targeted APGD five targets; the sum of both is the same.
        """
        targets = min(TARGETS, classes - 1)
        each: dict[Part, tuple[int, int]] = {
            "apgd-ce": (ITERATIONS + 3, ITERATIONS + 1),
            "apgd-dlr": (ITERATIONS + 3, ITERATIONS + 1),
            "apgd-t": (2 + targets * (ITERATIONS + 3), targets * (ITERATIONS + 1)),
            "fab": (2 + 2 * ITERATIONS + 3, classes * ITERATIONS),
            "fab-t": (2 + targets * (2 * ITERATIONS + 3), targets * ITERATIONS),
            "square": (QUERIES + 4, 0),
        }
        forwards, backwards = (sum(each[part][which] for part in self.parts) for which in (0, 1))
        return CHECKS + forwards, backwards

    def init(self, task: Task) -> State:
        """Start from the clean point."""
        return State(task.x)

    def step(self, state: State, t: int, task: Task) -> State:
        """Run all attacks at once; examples that AutoAttack calls broken go to the judge."""
        try:
            x, wrong = self._run(task)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise InputError(
                f"out of memory in AutoAttack's batches of {self.batch_size}: declare a stanza of your own "
                f'with params = {{ batch_size = {max(self.batch_size // 2, 1)} }} and base = "autoattack".'
            ) from error
        rows = wrong.nonzero().flatten()
        if len(rows):
            task.oracle.submit(x[rows], rows)
        return replace(state, x=x)

    def adjust(self, reference: Any) -> None:
        """Change the package's attack object before it runs; the standard version needs no change."""

    def _run(self, task: Task) -> tuple[Tensor, Tensor]:
        """Return AutoAttack's points (A, C, H, W), and which of them it calls misclassified, bool (A,)."""
        from pyautoattack import AutoAttack as Reference

        device, seed = task.x.device, task.random.seed
        cards = [device] if device.type == "cuda" else []
        with task.oracle.counted_network() as model, torch.random.fork_rng(cards), _quietly():
            reference = Reference(
                model, norm=NORM_NAMES[task.ball.norm], eps=task.ball.eps, seed=seed, device=device, version="standard"
            )
            classes = task.oracle.logits(task.x[:1], task.y.new_zeros(1)).shape[1]
            for each in (reference.apgd_targeted, reference.fab):
                each.n_target_classes = min(each.n_target_classes, classes - 1)
            reference.attacks_to_run = list(self.parts)
            self.adjust(reference)
            x, predicted = reference.run_standard_evaluation(task.x, task.y, batch_size=self.batch_size)
        return x.detach(), predicted != task.y


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the package's warnings and log, and restore the interpreter's trace.

    The diagnostics of an evaluation say the same as the warnings, in better words. The package sets the trace to look
    for gradients in the forward pass, and does not restore it.
    """
    log, trace = logging.getLogger("auto-attack"), sys.gettrace()
    level = log.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            log.setLevel(logging.CRITICAL)
            yield
    finally:
        log.setLevel(level)
        sys.settrace(trace)


ALGORITHM = AutoAttack
