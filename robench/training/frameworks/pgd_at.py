"""PGD adversarial training."""

from collections.abc import Iterator

from torch import Tensor

from robench.classifiers import Classifier
from robench.training.frameworks.base import Framework, attack_loss, training_loss
from robench.training.perturb import Perturber


class PGDAT(Framework):
    """L_T = CE(f(x*), y), L_A = CE(f(x'), y) (Madry et al. 2018; paper, Table 1)."""

    def losses(self, model: Classifier, x: Tensor, y: Tensor, perturb: Perturber | None) -> Iterator[Tensor]:
        """One update on the perturbed images."""
        assert perturb is not None
        perturbed = perturb(model, x, attack_loss(y, model.constants))
        yield training_loss(model(perturbed), y, model.constants)


FRAMEWORK = PGDAT
