"""The interface of a training framework, which turns a mini-batch into the losses that update the weights."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from pydantic import ConfigDict
from torch import Tensor

from robench.classifiers import Constants
from robench.numerics.losses import he_cross_entropy, log_odds
from robench.training.net import Net
from robench.training.perturb import AttackLoss, Perturber

STRICT = ConfigDict(extra="forbid")
"""Configuration of frameworks' arguments: an unknown argument in a recipe is an error."""


class Framework(ABC):
    """The losses L_T and L_A of one row of the paper's Table 1.

    A framework knows only the constants (s, m) of a head, which are (1, 0) for a linear one.
    """

    adversarial: bool = True

    @abstractmethod
    def losses(self, net: Net, x: Tensor, y: Tensor, perturb: Perturber) -> Iterator[Tensor]:
        """Yield the loss of each update on a mini-batch; the trainer updates the weights after each."""


def training_loss(logits: Tensor, y: Tensor, head: Constants) -> Tensor:
    """Return the mean of L^m_CE (Eq. 6): scale and margin for HE, plain cross-entropy otherwise."""
    return he_cross_entropy(logits, y, head.scale, head.margin).mean()


def attack_loss(y: Tensor, head: Constants) -> AttackLoss:
    """Return L_A, the scaled cross-entropy without margin, as log odds, whose ascent direction is the same."""
    return lambda logits: log_odds(head.scale * logits, y)
