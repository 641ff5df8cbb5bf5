"""Projected gradient descent, and with it FGSM and BIM."""

from dataclasses import replace
from typing import Literal

from pydantic.dataclasses import dataclass

from robench.algorithms.base import STRICT, Algorithm, ObjectiveName, Positive, State, Task
from robench.numerics.losses import Objective


@dataclass(frozen=True, config=STRICT)
class PGD(Algorithm):
    """x_{t+1} = Proj(x_t + alpha u(grad J(x_t))) (Madry et al. 2018), u the steepest direction of the norm.

    From a random point it is PGD; from the clean point BIM (Kurakin et al. 2017), and with one step of
    length eps FGSM (Goodfellow et al. 2015).

    Attributes:
        rel_step: alpha / eps.
        start: where it begins.
        objective: J; `he_margin` is the adaptive attack on hypersphere embedding (Pang et al. 2020, Eq. 6).
        scale, margin: the s and m of J on a model whose head has none of its own.
    """

    rel_step: Positive
    start: Literal["uniform", "clean"] = "uniform"
    objective: ObjectiveName = "ce"
    scale: Positive = 15.0
    margin: float = 0.2

    @property
    def attack_objective(self) -> Objective:
        """J."""
        return Objective(self.objective)

    def init(self, task: Task) -> State:
        """The clean point or a random one."""
        return State(x=task.x if self.start == "clean" else task.random_point(0, "start"))

    def step(self, state: State, t: int, task: Task) -> State:
        """One step of steepest ascent."""
        objective = task.objective(self.objective, self.scale, self.margin)
        gradient = task.oracle.gradient(state.x, objective).gradient
        return replace(state, x=state.x + self.rel_step * task.ball.eps * task.ball.steepest(gradient))


ALGORITHM = PGD
