"""The network in training: its module, its forward pass, and its mode while perturbations are made."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.classifiers import Classifier, Constants
from robench.classifiers.precision import arithmetic
from robench.specs.settings import Precision


@dataclass(frozen=True)
class Net:
    """A classifier and, with several processes, the wrapper that averages their gradients.

    Attributes:
        module: the classifier itself.
        wrapped: the module for losses: DistributedDataParallel, or the classifier itself.
        precision: of the forward pass; logits are float32.
        device: of the module.
        channels_last: whether images are laid out for tensor cores.
    """

    module: Classifier
    wrapped: nn.Module
    precision: Precision
    device: torch.device
    channels_last: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits for a loss that updates the weights."""
        return self._forward(self.wrapped, x)

    def infer(self, x: Tensor) -> Tensor:
        """Return logits for perturbations and accuracies; processes exchange no gradient of the weights."""
        return self._forward(self.module, x)

    @property
    def constants(self) -> Constants:
        """Scale and margin of the head."""
        return self.module.constants

    def _forward(self, module: nn.Module, x: Tensor) -> Tensor:
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with arithmetic(self.precision, self.device):
            logits: Tensor = module(x).float()
        return logits


@contextmanager
def in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Put a module into a mode, and at the end back into the mode it was in."""
    mode = module.training
    module.train(training)
    try:
        yield
    finally:
        module.train(mode)
