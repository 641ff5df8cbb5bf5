"""The momentum iterative method."""

import dataclasses
from typing import cast

from pydantic.dataclasses import dataclass
from torch import Tensor, zeros_like

from robench.algorithms.base import STRICT, Algorithm, ObjectiveName, Positive, State, Task
from robench.numerics.ball import TINY, per_example
from robench.numerics.losses import Objective


@dataclasses.dataclass(frozen=True)
class Momentum(State):
    """The iterate and the accumulated gradient g, both (N, C, H, W)."""

    g: Tensor


@dataclass(frozen=True, config=STRICT)
class MIM(Algorithm):
    """g_{t+1} = mu g_t + grad J / |grad J|_1, x_{t+1} = Proj(x_t + alpha u(g_{t+1})) (Dong et al. 2018, Eqs. 6, 7).

    Attributes:
        rel_step: alpha / eps.
        decay: mu.
        objective, scale, margin: as for PGD.
    """

    rel_step: Positive
    decay: float = 1.0
    objective: ObjectiveName = "ce"
    scale: Positive = 15.0
    margin: float = 0.2

    @property
    def attack_objective(self) -> Objective:
        """J."""
        return Objective(self.objective)

    def init(self, task: Task) -> State:
        """The clean point, at rest."""
        return Momentum(x=task.x, g=zeros_like(task.x))

    def step(self, state: State, t: int, task: Task) -> State:
        """One step along the accumulated gradient."""
        momentum = cast(Momentum, state)
        objective = task.objective(self.objective, self.scale, self.margin)
        gradient = task.oracle.gradient(momentum.x, objective).gradient
        # Divided by the largest entry first, so that tiny gradients keep their direction.
        gradient = gradient / per_example(gradient.flatten(1).abs().amax(1).clamp_min(TINY), gradient)
        length = gradient.flatten(1).abs().sum(1).clamp_min(TINY)
        g = self.decay * momentum.g + gradient / per_example(length, gradient)
        return Momentum(x=momentum.x + self.rel_step * task.ball.eps * task.ball.steepest(g), g=g)


ALGORITHM = MIM
