"""Adversarial logit pairing."""

from collections.abc import Iterator

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from robench.training.frameworks.base import STRICT, Framework, attack_loss, training_loss
from robench.training.net import Net
from robench.training.perturb import Perturber


@dataclass(frozen=True, config=STRICT)
class ALP(Framework):
    """Adversarial logit pairing (Kannan et al. 2018).

    L_T = a CE(f(x), y) + (1 - a) CE(f(x*), y) + l |logits - logits*|^2, L_A = CE(f(x'), y).
    With HE both cross-entropies carry scale and margin and the paired logits are the cosines (paper, Table 1).

    Attributes:
        alpha: a.
        weight: l, of the squared difference averaged over classes and examples.
    """

    alpha: float = Field(0.5, ge=0, le=1)
    weight: float = Field(0.5, ge=0)

    def losses(self, net: Net, x: Tensor, y: Tensor, perturb: Perturber) -> Iterator[Tensor]:
        """Yield the loss of one update on clean and perturbed images."""
        perturbed = perturb(net, x, attack_loss(y, net.constants))
        clean, adversarial = net(x), net(perturbed)
        ce = self.alpha * training_loss(clean, y, net.constants)
        ce = ce + (1 - self.alpha) * training_loss(adversarial, y, net.constants)
        yield ce + self.weight * (clean - adversarial).square().mean()


FRAMEWORK = ALP
