"""Networks with one output for two classes."""

from torch import Tensor, cat, nn, zeros_like

from robench.classifiers.outputs import check_rows
from robench.errors import InputError


class SingleLogit(nn.Module):
    """Give the logits (0, z) of two classes for a network whose only output is z, the logit of class 1.

    The softmax of (0, z) is (1 - p, p) with p = sigmoid(z).

    Args:
        network: maps images to z, (N,) or (N, 1).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.training = network, False  # no mode of its own

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, 2).

        Raises:
            InputError: the network does not return one value for each image.
        """
        return two_logits(self.network(x), len(x), "the network")


def two_logits(answer: object, n: int, who: str) -> Tensor:
    """Return the logits (N, 2) that belong to one value for each of n images.

    Raises:
        InputError: the answer is not one value for each image; the message begins with `who`.
    """
    z = check_rows(answer, n)
    if z.dim() not in (1, 2) or z.numel() != n:
        raise InputError(
            f"{who} returns shape {tuple(z.shape)} for {n} images, expected one logit for each: "
            "leave --single-logit (single_logit=True) out."
        )
    z = z.float().reshape(n, 1)
    return cat([zeros_like(z), z], 1)


def with_two_logits(network: nn.Module, single_logit: bool) -> nn.Module:
    """Put `SingleLogit` around a network that has a single logit; return any other network itself."""
    return SingleLogit(network) if single_logit else network
