"""The feature attack: towards the penultimate features of other examples."""

import dataclasses
from dataclasses import replace
from typing import ClassVar

from pydantic.dataclasses import dataclass
from torch import Tensor

from robench.algorithms.base import STRICT, Algorithm, Positive, State, Task
from robench.errors import FaultError
from robench.numerics.losses import Objective


@dataclasses.dataclass(frozen=True)
class Approach(State):
    """The iterate and the features it moves towards, (N, D)."""

    aim: Tensor


@dataclass(frozen=True, config=STRICT)
class Feature(Algorithm[Approach]):
    """PGD that increases cos(z(x'), z(x_t)) for an example x_t of another class (Lin 2019, Feature attack).

    The original tries a hundred random targets an example; here every restart draws one, and a new start.
    The targets come from a pool of correctly classified examples that is fixed for the whole split
    (`ReferenceExamples`), and the draw from the example's own random numbers. Drawing from the examples under attack
    would make an example's target depend on its chunk, and on who has been broken before.

    Attributes:
        rel_step: alpha / eps.
    """

    rel_step: Positive

    example_independent: ClassVar[bool] = False

    @property
    def attack_objective(self) -> Objective:
        """The cosine to the target's features."""
        return Objective("feature")

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """One forward more for the target's features."""
        return steps + 2, steps

    def init(self, task: Task) -> Approach:
        """A random point of the ball, and the features of a random example of another class."""
        if task.references is None:
            raise FaultError("the feature attack was given no reference examples.")
        others = task.references.y != task.y[:, None]
        draw = task.random.uniform((), 0, "target")
        place = (draw * others.sum(1)).long()  # among the others, in the pool's order
        chosen = (others.cumsum(1) > place[:, None]).long().argmax(1)
        return Approach(task.random_point(0, "start"), aim=task.oracle.features(task.references.x[chosen]))

    def step(self, state: Approach, t: int, task: Task) -> Approach:
        """One step of steepest ascent."""
        gradient, _, _ = task.oracle.gradient(state.x, self.attack_objective, given=(state.aim,))
        return replace(state, x=state.x + self.rel_step * task.ball.eps * task.ball.steepest(gradient))


ALGORITHM = Feature
