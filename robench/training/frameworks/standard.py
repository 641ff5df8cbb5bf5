"""Training on clean images."""

from collections.abc import Iterator

from pydantic.dataclasses import dataclass
from torch import Tensor

from robench.training.frameworks.base import STRICT, Framework, training_loss
from robench.training.net import Net
from robench.training.perturb import Perturber


@dataclass(frozen=True, config=STRICT)
class Standard(Framework):
    """Training on clean images: L_T = CE(f(x), y)."""

    adversarial = False

    def losses(self, net: Net, x: Tensor, y: Tensor, perturb: Perturber) -> Iterator[Tensor]:
        """Yield the loss of one update on clean images."""
        yield training_loss(net(x), y, net.constants)


FRAMEWORK = Standard
