"""PGD adversarial training."""

from collections.abc import Iterator

from pydantic.dataclasses import dataclass
from torch import Tensor

from robench.training.frameworks.base import STRICT, Framework, attack_loss, training_loss
from robench.training.net import Net
from robench.training.perturb import Perturber


@dataclass(frozen=True, config=STRICT)
class PGDAT(Framework):
    """PGD adversarial training: L_T = CE(f(x*), y), L_A = CE(f(x'), y) (Madry et al. 2018; paper, Table 1)."""

    def losses(self, net: Net, x: Tensor, y: Tensor, perturb: Perturber) -> Iterator[Tensor]:
        """Yield the loss of one update on perturbed images."""
        yield training_loss(net(perturb(net, x, attack_loss(y, net.constants))), y, net.constants)


FRAMEWORK = PGDAT
