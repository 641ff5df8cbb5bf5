"""TRADES."""

from collections.abc import Iterator

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional as F

from robench.training.frameworks.base import STRICT, Framework, training_loss
from robench.training.net import Net, in_mode
from robench.training.perturb import Perturber


def divergence(clean: Tensor, adversarial: Tensor, scale: float) -> Tensor:
    """Return KL(softmax(s clean) || softmax(s adversarial)) of logits (N, K), for each example, (N,)."""
    reference = F.log_softmax(scale * clean, dim=1)
    return (reference.exp() * (reference - F.log_softmax(scale * adversarial, dim=1))).sum(1)


@dataclass(frozen=True, config=STRICT)
class TRADES(Framework):
    """TRADES (Zhang et al. 2019): L_T = CE(f(x), y) + beta KL(f(x) || f(x*)), L_A = KL(f(x) || f(x')).

    With HE the first term carries scale and margin, and the divergence is that of softmax(s cos theta).

    Attributes:
        beta: the paper's lambda.
    """

    beta: float = Field(6.0, ge=0)

    def losses(self, net: Net, x: Tensor, y: Tensor, perturb: Perturber) -> Iterator[Tensor]:
        """Yield the loss of one update on clean and perturbed images."""
        scale = net.constants.scale
        with in_mode(net.module, perturb.train_mode), torch.no_grad():
            reference = net.infer(x)
        perturbed = perturb(net, x, lambda logits: divergence(reference, logits, scale))
        clean, adversarial = net(x), net(perturbed)
        yield training_loss(clean, y, net.constants) + self.beta * divergence(clean, adversarial, scale).mean()


FRAMEWORK = TRADES
