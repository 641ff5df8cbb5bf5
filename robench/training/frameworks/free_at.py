"""Free adversarial training."""

from collections.abc import Iterator

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, zeros_like

from robench.training.frameworks.base import Framework, training_loss
from robench.training.net import Net
from robench.training.perturb import Perturber


@dataclass(config=ConfigDict(extra="forbid"))
class FreeAT(Framework):
    """Free adversarial training: PGD-AT whose perturbations cost no extra pass (Shafahi et al. 2019).

    Each mini-batch is replayed m times. The backward pass that computes the gradient of the weights also computes that
    of the images, which moves the perturbation. The perturbation is kept from one mini-batch to the next.

    Attributes:
        replays: m.
    """

    replays: int = Field(4, gt=0)

    def __post_init__(self) -> None:
        self._kept: Tensor | None = None

    def losses(self, net: Net, x: Tensor, y: Tensor, perturb: Perturber) -> Iterator[Tensor]:
        """Yield the losses of m updates; the trainer's backward pass between them computes the images' gradient."""
        ball = perturb.ball(x)
        if self._kept is None or len(self._kept) < len(x):
            self._kept = zeros_like(x)
        for _ in range(self.replays):
            perturbed = ball.project(x + self._kept[: len(x)]).requires_grad_()
            yield training_loss(net(perturbed), y, net.constants)
            assert perturbed.grad is not None
            moved = ball.project(perturb.move(ball, perturbed.detach(), perturbed.grad))
            self._kept[: len(x)] = moved - x


FRAMEWORK = FreeAT
