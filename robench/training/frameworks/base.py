"""What a training framework is: it turns a mini-batch into the losses that update the weights."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from pydantic import ConfigDict
from torch import Tensor

from robench.classifiers import Constants
from robench.numerics.losses import he_cross_entropy, log_odds
from robench.training.net import Net
from robench.training.perturb import AttackLoss, Perturber

STRICT = ConfigDict(extra="forbid")
"""For frameworks' arguments: what a recipe misspells is an error."""


class Framework(ABC):
    """L_T and L_A of one row of the paper's Table 1.

    A framework knows of a head only its constants (s, m), which are (1, 0) for a linear one.
    """

    adversarial: bool = True

    @abstractmethod
    def losses(self, net: Net, x: Tensor, y: Tensor, perturb: Perturber) -> Iterator[Tensor]:
        """Yield the loss of each update that a mini-batch gives; the trainer takes the step in between."""


def training_loss(logits: Tensor, y: Tensor, head: Constants) -> Tensor:
    """The mean of L^m_CE (Eq. 6): scale and margin for HE, plain cross-entropy otherwise."""
    return he_cross_entropy(logits, y, head.scale, head.margin).mean()


def attack_loss(y: Tensor, head: Constants) -> AttackLoss:
    """L_A: the scaled cross-entropy without margin, as the log odds that ascend alike."""
    return lambda logits: log_odds(head.scale * logits, y)
