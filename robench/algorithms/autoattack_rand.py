"""AutoAttack's version for random networks, through its published code (Croce & Hein 2020b, "rand")."""

from dataclasses import replace
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from robench.algorithms.autoattack import AutoAttack, Part
from robench.algorithms.base import STRICT, Count, State, Task

RAND: tuple[Part, ...] = ("apgd-ce", "apgd-dlr")
"""Parts of the version "rand"."""


@dataclass(frozen=True, config=STRICT)
class AutoAttackRand(AutoAttack):
    """APGD on cross-entropy and on the DLR loss, each gradient a mean over draws of the network.

    The package asks the network by itself, so `--draws` does not change how often. It takes one draw to decide whether
    an attack succeeded; here every point that it returns goes to the judge, which draws often.

    Attributes:
        parts: as in `AutoAttack`.
        eot: draws for each gradient ("eot_iter" of the package).
    """

    parts: tuple[Part, ...] = RAND
    eot: Count = 20

    needs_draws: ClassVar[bool] = True

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count the passes for an example that survives all attacks."""
        forwards, backwards = super().cost(steps, classes)
        return self.eot * forwards, self.eot * backwards

    def adjust(self, reference: Any) -> None:
        """Set the number of draws."""
        reference.apgd.eot_iter = self.eot

    def step(self, state: State, t: int, task: Task) -> State:
        """Run both attacks at once; every point that differs from the clean one goes to the judge."""
        x, _ = self._run(task)
        rows = (x != task.x).flatten(1).any(1).nonzero().flatten()
        if len(rows):
            task.oracle.submit(x[rows], rows)
        return replace(state, x=x)


ALGORITHM = AutoAttackRand
