"""A network as other libraries want it, counted."""

from torch import Tensor, nn

from robench.ball import finite
from robench.classifiers.precision import Precision, arithmetic
from robench.classifiers.victim import Victim, check_logits
from robench.errors import InputError


class Lent(nn.Module):
    """Images to logits; counts the examples that pass through, forwards and backwards."""

    def __init__(self, victim: Victim, precision: Precision) -> None:
        super().__init__()
        self.victim, self.precision = victim, precision
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        """Logits (M, K).

        Raises:
            InputError: the network returns NaN, infinity or a wrong shape.
        """
        with arithmetic(self.precision, self.victim.device):
            logits = check_logits(self.victim.model(x), len(x))
        self.forwards += len(x)
        if not finite(logits).all() and finite(x).all():
            raise InputError("the network gives NaN or infinite logits: mend the network first.")
        if logits.requires_grad:
            logits.register_hook(self._passed_back)
        return logits

    def _passed_back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)
