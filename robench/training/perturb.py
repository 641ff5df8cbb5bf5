"""The inner maximisation of adversarial training (paper, Eq. 3)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.errors import InputError
from robench.numerics.ball import Ball
from robench.specs import Recipe, ThreatModel, fraction
from robench.training.net import Net, in_mode

AttackLoss = Callable[[Tensor], Tensor]
"""Maps logits (N, K) to the per-example loss that a perturbation increases, (N,)."""


@dataclass(frozen=True)
class Perturber:
    """PGD as a recipe declares it: radius, steps, step size, uniform start.

    Attributes:
        threat: norm and eps; None in a recipe without perturbations.
        steps: number of steps of steepest ascent.
        rel_step: step size / eps.
        train_mode: whether batch norm is in training mode during the steps.
        generator: of the random starts.
    """

    threat: ThreatModel | None
    steps: int
    rel_step: float
    train_mode: bool
    generator: torch.Generator

    @classmethod
    def of(cls, recipe: Recipe, generator: torch.Generator) -> "Perturber":
        """Make the perturbations that a recipe declares.

        Raises:
            InputError: the recipe's eps is not valid.
        """
        threat = ThreatModel.parse(recipe.norm, recipe.eps) if recipe.eps else None
        return cls(threat, recipe.steps, fraction(recipe.rel_step), recipe.perturb_mode == "train", generator)

    def __call__(self, net: Net, x: Tensor, loss: AttackLoss) -> Tensor:
        """Return adversarial images like x."""
        ball = self.ball(x)
        perturbed = self._start(ball)
        with in_mode(net.module, self.train_mode):
            for _ in range(self.steps):
                perturbed = perturbed.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(loss(net.infer(perturbed)).sum(), perturbed)
                perturbed = ball.project(self.move(ball, perturbed.detach(), gradient))
        return perturbed.detach()

    def ball(self, x: Tensor) -> Ball:
        """Return the allowed points around x.

        Raises:
            InputError: the recipe declares no perturbations.
        """
        if self.threat is None or not self.steps:
            raise InputError("recipe, keys 'eps' and 'steps': adversarial training needs both.")
        return Ball(x, self.threat.norm, self.threat.eps)

    def move(self, ball: Ball, x: Tensor, gradient: Tensor) -> Tensor:
        """Take one step of steepest ascent from x."""
        return ball.ascend(x, gradient, self.rel_step * ball.eps)

    def _start(self, ball: Ball) -> Tensor:
        n, generator = len(ball.center), self.generator
        draws = ball.draws(
            lambda shape: torch.rand(n, *shape, generator=generator).to(ball.center),
            lambda shape: torch.randn(n, *shape, generator=generator).to(ball.center),
        )
        return ball.random_point(*draws)
