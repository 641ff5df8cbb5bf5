"""A network in the form that other libraries need, with its passes counted."""

import torch
from torch import Tensor, nn

from robench.classifiers.frozen import NO_GRADIENT, FrozenNetwork
from robench.classifiers.outputs import check_logits
from robench.classifiers.precision import arithmetic
from robench.errors import GradientError, InputError
from robench.numerics.ball import finite
from robench.specs.settings import Precision


class CountedNetwork(nn.Module):
    """Map images to logits; count the examples of forward and backward passes, and zero gradients."""

    def __init__(self, network: FrozenNetwork, precision: Precision) -> None:
        super().__init__()
        self.network, self.precision = network, precision
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
            logits = check_logits(self.network.output(x, search=True), len(x))
        self.forwards += len(x)
        if not finite(logits).all() and finite(x).all():
            raise InputError("the network gives NaN or infinite logits: mend the network first.")
        if wanted and not logits.requires_grad:
            raise InputError(NO_GRADIENT)
        return logits

    def _passed_back(self, gradient: Tensor) -> None:
        if not finite(gradient).all():
            raise GradientError("the network gives NaN or infinite gradients: no attack can follow them.")
        self.backwards += len(gradient)
        self.flat += int((~gradient.flatten(1).any(1)).sum())
