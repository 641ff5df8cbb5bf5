"""A network in the form that other libraries need, with its passes counted."""

import torch
from torch import Tensor, nn

from robench.access.stochastic import Draws
from robench.classifiers.frozen import NO_GRADIENT, FrozenNetwork
from robench.classifiers.outputs import check_logits
from robench.classifiers.precision import arithmetic
from robench.errors import FaultError, GradientError, InputError
from robench.numerics.ball import finite
from robench.specs.settings import Precision


class CountedNetwork(nn.Module):
    """Map images to logits; count the examples of forward and backward passes, and zero gradients."""

    def __init__(self, network: FrozenNetwork, precision: Precision, draws: Draws | None = None) -> None:
        super().__init__()
        if network.rejects:
            raise FaultError("an attack of another library was given a network that rejects: declare can_mask = False.")
        self.network, self.precision, self.draws = network, precision, draws
        self.forwards = self.backwards = self.flat = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (M, K).

        Raises:
            InputError: the network returns NaN, infinity or a wrong shape, or is not differentiable.
        """
        wanted = torch.is_grad_enabled() and x.requires_grad
        if wanted:
            x = x.view_as(x)  # a separate node of the graph, so that the hook sees only this pass's gradient
            x.register_hook(self._passed_back)
        with arithmetic(self.precision, self.network.device):
            logits = check_logits(self._output(x), len(x))
        self.forwards += len(x)
        if not finite(logits).all() and finite(x).all():
            raise InputError("the network gives NaN or infinite logits: mend the network first.")
        if wanted and not logits.requires_grad:
            raise InputError(NO_GRADIENT)
        return logits

    def _output(self, x: Tensor) -> object:
        """Return one draw of the network's answers; the draws of a random network are numbered by pass and row."""
        if self.draws is None:
            return self.network.output(x, search=True)
        rows = torch.arange(len(x))
        seeds = self.draws.seeds("library", rows, rows + self.forwards, torch.zeros_like(rows))
        return self.draws.ask(lambda part: self.network.output(part, search=True), seeds, x)

    def _passed_back(self, gradient: Tensor) -> None:
        if not finite(gradient).all():
            raise GradientError("the network gives NaN or infinite gradients: no attack can follow them.")
        self.backwards += len(gradient)
        self.flat += int((~gradient.flatten(1).any(1)).sum())
