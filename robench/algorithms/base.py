"""Interface of attack algorithms: an algorithm makes a state and proposes the next one, and decides nothing."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, get_args

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from robench.access.answers import Bounds
from robench.access.oracle import Oracle
from robench.data.pixels import Images
from robench.numerics.ball import Ball
from robench.numerics.goal import Goal
from robench.numerics.losses import InputKind, Objective, rivals
from robench.numerics.randomness import ExampleRandom
from robench.specs import NORMS, Access, Norm

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A step size or another finite number above 0."""
Count = Annotated[int, Field(gt=0)]
ObjectiveName = Literal["ce", "ce_scaled", "he_margin", "ce_fn", "margin", "probability_margin"]
"""Untargeted objectives that gradient attacks can ascend."""
STRICT = ConfigDict(extra="forbid")
"""Configuration of algorithms' parameters: a misspelled key in a stanza is an error."""


@dataclass(frozen=True)
class State:
    """State that an algorithm carries from step to step; every tensor has a leading example axis.

    `x` is the proposal: the engine keeps `x` in its bounds and checks `x` for success.
    """

    x: Tensor


StateT = TypeVar("StateT", bound=State)


def take(state: StateT, rows: Tensor) -> StateT:
    """Return the state of some of the examples."""
    return replace(state, **{field.name: getattr(state, field.name)[rows] for field in fields(state)})


def put(state: StateT, rows: Tensor, part: StateT) -> StateT:
    """Return the state with the parts of some examples replaced."""
    pairs = {field.name: (getattr(state, field.name), getattr(part, field.name)) for field in fields(state)}
    return replace(state, **{name: whole.index_copy(0, rows, new) for name, (whole, new) in pairs.items()})


@dataclass(frozen=True)
class ReferenceExamples:
    """Reference examples x (P, C, H, W) and their labels y (P,): a fixed choice from the whole split.

    They are the same for every chunk, batch and order, so what an algorithm draws from them for an
    example does not depend on the other examples in the chunk.
    """

    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, x: Images, y: Tensor, ids: Tensor, clean: Tensor, size: int = 256) -> "ReferenceExamples":
        """Choose at most `size` correctly classified examples (clean == y), evenly spread over the sorted ids."""
        correct = (clean == y).nonzero().flatten()
        correct = correct[ids[correct].argsort()]
        spread = torch.linspace(0, len(correct) - 1, min(size, len(correct))).round().long()
        rows = correct[spread.to(correct.device)]
        return cls(x[rows], y[rows])

    def to(self, device: torch.device) -> "ReferenceExamples":
        """Return the reference examples on a device."""
        return ReferenceExamples(self.x.to(device), self.y.to(device))


@dataclass(frozen=True)
class Task:
    """The active examples as an algorithm sees them.

    Attributes:
        x: clean images in [0, 1], (A, C, H, W).
        y: labels, int64 (A,).
        ball: the allowed points around the clean images.
        random: random numbers for each example.
        oracle: access to the network.
        scale, margin: the constants of an HE head; None without such a head.
        steps: total number of steps.
        references: reference examples of the split, for algorithms that see features.
        crafted: each example's adversarial example from another network, (A, C, H, W), for transfer.
        target_class: the class that the network shall predict for each example, int64 (A,); None if any wrong class
            will do.
    """

    x: Tensor
    y: Tensor
    ball: Ball
    random: ExampleRandom
    oracle: Oracle
    scale: float | None
    margin: float | None
    steps: int
    references: ReferenceExamples | None = None
    crafted: Tensor | None = None
    target_class: Tensor | None = None

    @property
    def goal(self) -> Goal:
        """The predictions that are successes."""
        return Goal(self.y, self.target_class)

    def objective(self, name: str, scale: float, margin: float) -> Objective:
        """Make an objective with the constants of the network's head; without an HE head, with the given ones."""
        if self.scale is None or self.margin is None:
            return Objective(name, scale, margin)
        return Objective(name, self.scale, self.margin)

    def random_point(self, step: int, purpose: str) -> Tensor:
        """Draw a point uniformly from each example's ball, clipped to [0, 1]."""
        draws = self.ball.draws(
            lambda shape: self.random.uniform(shape, step, purpose),
            lambda shape: self.random.normal(shape, step, purpose),
        )
        return self.ball.random_point(*draws)

    def target(self) -> tuple[Tensor, int]:
        """Return the wrong class that this restart aims at, (A,), and how often all classes have had their turn.

        The first restart takes the wrong class with the largest clean logit, the second the next class, and so on. If
        the examples have target classes, every restart takes these.
        """
        if self.target_class is not None:
            return self.target_class, self.random.restart
        order = rivals(self.oracle.logits(self.x), self.y).argsort(dim=1, descending=True, stable=True)
        rounds, place = divmod(self.random.restart, order.shape[1] - 1)
        return order[:, place], rounds

    def take(self, rows: Tensor) -> "Task":
        """Return the task of some of the examples."""
        crafted = None if self.crafted is None else self.crafted[rows]
        random = self.random.take(rows)
        goal = self.goal.take(rows)
        return replace(
            self,
            x=self.x[rows],
            y=goal.y,
            ball=self.ball.take(rows),
            random=random,
            crafted=crafted,
            target_class=goal.target,
        )


class Algorithm(ABC, Generic[StateT]):
    """An attack algorithm: a frozen set of parameters and two pure functions.

    Class attributes:
        version: raised when a change can alter verdicts; part of a record's hash.
        access: access to the network that the algorithm needs.
        norms: norms for which the algorithm is defined.
        bounds: part that keeps the points inside the ball.
        is_prefix_stable: whether the first k steps do not depend on how many steps follow; False if they depend on
            `Task.steps`.
        needs_fp32: whether the algorithm takes small differences of scores, so that its passes run in float32 whatever
            the precision of the search.
        checks_own_proposals: whether each step queries every point that it proposes. If False, step t queries what the
            earlier steps proposed, and the engine queries the last proposal.
        example_independent: whether the verdict of an example does not depend on the other examples of the split.
        can_aim: whether the algorithm can lead an example to one target class: then it takes successes and margins from
            `Task.goal` only, and gradients from the oracle's objectives and logit gaps, which aim at the target.
        can_mask: whether values can be kept fixed: True for every algorithm that sees the network through the oracle's
            questions only, and False for code of other libraries.
        needs_draws: whether the algorithm is for random networks only.
        later: parameters that came after records were published; while they have their defaults they are left out of
            `parameters`, so that these records stay valid.
        batch_random: whether numbers are drawn once for all examples of a chunk, so that verdicts depend on the chunk.
    """

    version: ClassVar[int] = 1
    access: ClassVar[Access] = "gradient"
    norms: ClassVar[tuple[Norm, ...]] = NORMS
    bounds: ClassVar[Bounds] = "engine"
    is_prefix_stable: ClassVar[bool] = True
    checks_own_proposals: ClassVar[bool] = False
    needs_fp32: ClassVar[bool] = False
    example_independent: ClassVar[bool] = True
    needs_draws: ClassVar[bool] = False
    later: ClassVar[frozenset[str]] = frozenset()
    batch_random: ClassVar[bool] = False
    can_aim: ClassVar[bool] = False
    can_mask: ClassVar[bool] = True

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters that a record's hash holds."""
        silent = {name for name in self.later if getattr(self, name) == getattr(type(self), name)}
        return {name: value for name, value in vars(self).items() if name not in silent}

    @property
    def attack_objective(self) -> Objective | None:
        """Objective that the algorithm differentiates and increases, if it is a declared one."""
        return None

    @property
    def input_kind(self) -> InputKind:
        """Part of a network's answer that the algorithm uses; `features` needs reference examples, too."""
        return self.attack_objective.input_kind if self.attack_objective else "logits"

    @property
    def min_classes(self) -> int:
        """Smallest number of classes for which the algorithm is defined."""
        return self.attack_objective.min_classes if self.attack_objective else 2

    @property
    def min_classes_aimed(self) -> int:
        """Smallest number of classes for which the algorithm is defined if it aims at a class."""
        return self.attack_objective.min_classes_aimed if self.attack_objective else self.min_classes

    def version_in(self, norm: Norm) -> int:
        """Return the version of the algorithm in a norm; by default, `version`."""
        return self.version

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Return the most forwards and backwards of one restart on one example, the engine's last look included."""
        return steps + (not self.checks_own_proposals), steps if self.access == "gradient" else 0

    def usual_cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Return the forwards and backwards to expect on one example that is not broken; by default, the most."""
        return self.cost(steps, classes)

    def steps_for(self, steps: int, examples: int) -> int:
        """Return how many of an attack's steps are taken if a number of examples is evaluated; usually all."""
        return steps

    @abstractmethod
    def init(self, task: Task) -> StateT:
        """Return the state before the first step."""

    @abstractmethod
    def step(self, state: StateT, t: int, task: Task) -> StateT:
        """Return the state after step t = 0, 1, ...; `x` may lie anywhere if the engine keeps the bounds."""


def state_class(algorithm: Algorithm[Any]) -> type[State] | None:
    """Return the class of an algorithm's states, the parameter of its base class; None if it has none."""
    bases = (base for kind in type(algorithm).__mro__ for base in vars(kind).get("__orig_bases__", ()))
    found: list[Any] = [each for base in bases for each in get_args(base)]
    return next((each for each in found if isinstance(each, type) and issubclass(each, State)), None)
