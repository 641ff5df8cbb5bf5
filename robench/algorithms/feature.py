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
    """The iterate, and the features (N, D) that it moves towards."""

    aim: Tensor


@dataclass(frozen=True, config=STRICT)
class Feature(Algorithm[Approach]):
    """PGD that increases cos(z(x'), z(x_t)) for an example x_t of another class (Lin 2019, Feature attack).

    The original tries 100 to 500 random targets per example, each from a uniform start, and stops at the first point
    that is misclassified as any class. Here every restart draws one target and a new start, and an example that is
    broken takes no further restart. The original draws from all test examples of other classes; here the targets are
    correctly classified examples that are fixed for the whole split (`ReferenceExamples`), and each example has
    separate random numbers. If targets were drawn from the examples under attack, an example's target would depend
    on its chunk, and on the examples that were broken before.

    Attributes:
        rel_step: alpha / eps.
    """

    rel_step: Positive

    example_independent: ClassVar[bool] = False

    @property
    def attack_objective(self) -> Objective:
        """Cosine to the target's features."""
        return Objective("feature")

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count one more forward, for the target's features."""
        return steps + 2, steps

    def init(self, task: Task) -> Approach:
        """Draw a random point of the ball, and a random example of another class for the features."""
        if task.references is None:
            raise FaultError("the feature attack was given no reference examples.")
        others = task.references.y != task.y[:, None]
        draw = task.random.uniform((), 0, "target")
        place = (draw * others.sum(1)).long()  # among the others, in the references' order
        chosen = (others.cumsum(1) > place[:, None]).long().argmax(1)
        return Approach(task.random_point(0, "start"), aim=task.oracle.features(task.references.x[chosen]))

    def step(self, state: Approach, t: int, task: Task) -> Approach:
        """Take one step of steepest ascent."""
        gradient, _, _ = task.oracle.gradient(state.x, self.attack_objective, given=(state.aim,))
        return replace(state, x=task.ball.ascend(state.x, gradient, self.rel_step * task.ball.eps))


ALGORITHM = Feature
