"""The inner maximisation of adversarial training (paper, Eq. 3)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.ball import Ball
from robench.specs import Recipe, ThreatModel, fraction

AttackLoss = Callable[[Tensor], Tensor]
"""From logits (N, K) to the per-example loss that a perturbation increases, (N,)."""


@dataclass(frozen=True)
class Perturber:
    """PGD as a recipe declares it: radius, steps, step size, uniform start.

    Attributes:
        threat: norm and eps.
        steps: of steepest ascent.
        rel_step: step size / eps.
        generator: of the random starts.
    """

    threat: ThreatModel
    steps: int
    rel_step: float
    generator: torch.Generator

    @classmethod
    def of(cls, recipe: Recipe, generator: torch.Generator) -> "Perturber":
        """From a recipe.

        Raises:
            InputError: the recipe's eps is not one.
        """
        return cls(ThreatModel.parse(recipe.norm, recipe.eps), recipe.steps, fraction(recipe.rel_step), generator)

    def __call__(self, model: nn.Module, x: Tensor, loss: AttackLoss) -> Tensor:
        """Adversarial images like x, made with the network in evaluation mode."""
        ball = Ball(x, self.threat.norm, self.threat.eps)
        perturbed = self._start(ball)
        with evaluating(model):
            for _ in range(self.steps):
                perturbed = perturbed.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(loss(model(perturbed)).sum(), perturbed)
                step = self.rel_step * ball.eps * ball.steepest(gradient)
                perturbed = ball.project(perturbed.detach() + step)
        return perturbed.detach()

    def _start(self, ball: Ball) -> Tensor:
        shape = ball.center.shape
        if ball.norm == "linf":
            return ball.random_point(torch.rand(shape, generator=self.generator).to(ball.center))
        radius = torch.rand(shape[0], generator=self.generator).to(ball.center)
        return ball.random_point(radius, torch.randn(shape, generator=self.generator).to(ball.center))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for the body, then the mode it was in."""
    mode = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(mode)
