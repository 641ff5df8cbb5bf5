"""Fast adversarial training."""

from collections.abc import Iterator

from pydantic.dataclasses import dataclass
from torch import Tensor

from robench.errors import InputError
from robench.training.frameworks.base import STRICT, Framework
from robench.training.frameworks.pgd_at import PGDAT
from robench.training.net import Net
from robench.training.perturb import Perturber


@dataclass(frozen=True, config=STRICT)
class FastAT(Framework):
    """Fast adversarial training (Wong et al. 2020): PGD-AT with one FGSM step of 1.25 eps from a uniform start."""

    def losses(self, net: Net, x: Tensor, y: Tensor, perturb: Perturber) -> Iterator[Tensor]:
        """Yield the loss of one update on perturbed images."""
        if perturb.steps != 1:
            raise InputError(f"recipe, key 'steps': fast_at takes one step, not {perturb.steps}; use pgd_at for more.")
        yield from PGDAT().losses(net, x, y, perturb)


FRAMEWORK = FastAT
