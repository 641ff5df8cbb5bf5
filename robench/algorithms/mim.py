"""The momentum iterative method."""

import dataclasses

from pydantic.dataclasses import dataclass
from torch import Tensor, zeros_like

from robench.algorithms.base import STRICT, Positive, State, Task
from robench.algorithms.gradient import GradientAttack
from robench.numerics.ball import TINY, per_example


@dataclasses.dataclass(frozen=True)
class Momentum(State):
    """The iterate and the accumulated gradient g, both (N, C, H, W)."""

    g: Tensor


@dataclass(frozen=True, config=STRICT, kw_only=True)
class MIM(GradientAttack[Momentum]):
    """Momentum iterative method (Dong et al. 2018, Eqs. 6, 7).

    g_{t+1} = mu g_t + grad J / |grad J|_1, x_{t+1} = Proj(x_t + alpha u(g_{t+1})).

    Attributes:
        rel_step: alpha / eps.
        decay: mu.
    """

    rel_step: Positive
    decay: float = 1.0

    def init(self, task: Task) -> Momentum:
        """Start from the clean point, with g = 0."""
        return Momentum(x=task.x, g=zeros_like(task.x))

    def step(self, state: Momentum, t: int, task: Task) -> Momentum:
        """Take one step along the accumulated gradient."""
        gradient = task.oracle.gradient(state.x, self.loss(task)).gradient
        # Divided by the largest entry first, so that tiny gradients keep their direction.
        gradient = gradient / per_example(gradient.flatten(1).abs().amax(1).clamp_min(TINY), gradient)
        length = gradient.flatten(1).abs().sum(1).clamp_min(TINY)
        g = self.decay * state.g + gradient / per_example(length, gradient)
        return Momentum(x=task.ball.ascend(state.x, g, self.rel_step * task.ball.eps), g=g)


ALGORITHM = MIM
