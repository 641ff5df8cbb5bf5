"""Training on clean images."""

from collections.abc import Iterator

from torch import Tensor

from robench.classifiers import Classifier
from robench.training.frameworks.base import Framework, training_loss
from robench.training.perturb import Perturber


class Standard(Framework):
    """L_T = CE(f(x), y)."""

    adversarial = False

    def losses(self, model: Classifier, x: Tensor, y: Tensor, perturb: Perturber | None) -> Iterator[Tensor]:
        """One update on the clean images."""
        yield training_loss(model(x), y, model.constants)


FRAMEWORK = Standard
