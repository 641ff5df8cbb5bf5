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
    """PGD-AT with one FGSM step from a uniform start, of length 1.25 eps (Wong et al. 2020)."""

    def losses(self, net: Net, x: Tensor, y: Tensor, perturb: Perturber) -> Iterator[Tensor]:
        """One update on the perturbed images."""
        if perturb.steps != 1:
            raise InputError(f"recipe, key 'steps': fast_at takes one step, not {perturb.steps}; use pgd_at for more.")
        yield from PGDAT().losses(net, x, y, perturb)


FRAMEWORK = FastAT
