"""Projected gradient descent, and with it FGSM and BIM."""

from dataclasses import replace
from typing import Literal

from pydantic.dataclasses import dataclass

from robench.algorithms.base import STRICT, Positive, State, Task
from robench.algorithms.gradient import GradientAttack


@dataclass(frozen=True, config=STRICT, kw_only=True)
class PGD(GradientAttack[State]):
    """Projected gradient descent (Madry et al. 2018).

    x_{t+1} = Proj(x_t + alpha u(grad J(x_t))), u the steepest direction of the norm; in l1 the steps are sparse and
    along the walls of [0, 1], see `L1.ascend`. From a random point it is PGD;
    from the clean point BIM (Kurakin et al. 2017), and with one step of length eps FGSM (Goodfellow et al. 2015).

    Attributes:
        rel_step: alpha / eps.
        start: the first point.
    """

    rel_step: Positive
    start: Literal["uniform", "clean"] = "uniform"

    def init(self, task: Task) -> State:
        """Start from the clean point or from a random point."""
        return State(x=task.x if self.start == "clean" else task.random_point(0, "start"))

    def step(self, state: State, t: int, task: Task) -> State:
        """Take one step of steepest ascent."""
        gradient = task.oracle.gradient(state.x, self.loss(task)).gradient
        return replace(state, x=task.ball.ascend(state.x, gradient, self.rel_step * task.ball.eps))


ALGORITHM = PGD
