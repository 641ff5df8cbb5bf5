"""Base of the attacks that follow the gradient of a declared objective: PGD, MIM, APGD."""

from typing import ClassVar

from pydantic.dataclasses import dataclass

from robench.algorithms.base import STRICT, Algorithm, ObjectiveName, Positive, StateT, Task
from robench.numerics.losses import Objective


@dataclass(frozen=True, config=STRICT, kw_only=True)
class GradientAttack(Algorithm[StateT]):
    """Steepest ascent of an objective J.

    Attributes:
        objective: J; `he_margin` is the adaptive attack on hypersphere embedding (Pang et al. 2020, Eq. 6).
        scale, margin: s and m of J, for a network whose head has no such constants.
    """

    objective: ObjectiveName = "ce"
    scale: Positive = 15.0
    margin: float = 0.2

    can_aim: ClassVar[bool] = True

    @property
    def attack_objective(self) -> Objective:
        """J without the constants of a head."""
        return Objective(self.objective)

    def loss(self, task: Task) -> Objective:
        """Return J with the constants of the network's head, or with the given constants if the head has none."""
        return task.objective(self.objective, self.scale, self.margin)
