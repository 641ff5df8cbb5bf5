"""How many images pass a network forwards and backwards, whoever asks it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from robench.classifiers.classifier import Classifier


@dataclass
class Passes:
    """Images shown to whole networks, and gradients taken through them."""

    forwards: int = 0
    backwards: int = 0

    def forward(self, module: nn.Module, given: tuple[Tensor, ...], logits: Tensor) -> None:
        """Count one call of a network."""
        if isinstance(module, Classifier):
            self.forwards += len(given[0])
            if logits.requires_grad:
                logits.register_hook(self._backward)

    def _backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@contextmanager
def passes() -> Iterator[Passes]:
    """Count while the block runs; a hook on one network would keep robench from folding it, so it is on all."""
    counted = Passes()
    hook = register_module_forward_hook(counted.forward)
    try:
        yield counted
    finally:
        hook.remove()
