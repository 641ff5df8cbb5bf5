"""Networks with a detector, which may reject an input instead of classifying it."""

from typing import get_args

import torch
from torch import Tensor, nn

from robench.classifiers.outputs import check_rows, check_table
from robench.classifiers.single_logit import SingleLogit, with_two_logits
from robench.errors import InputError
from robench.numerics.rejection import with_reject_logit
from robench.specs.settings import Rejects

LEAST = 3
"""Least number of logits of a network whose last logit rejects the input."""
PAIR = 2
"""Number of values of a network that returns logits and a score."""


class Rejecting(nn.Module):
    """Give K+1 logits for a network that may reject its input; the last is the largest exactly if it does.

    Args:
        network: maps images to logits (N, K+1), or to a pair of logits (N, K) and a score (N,) or (N, 1), which is
            above 0, or True, if the input is rejected.
        rejects: which of the two.
    """

    def __init__(self, network: nn.Module, rejects: Rejects) -> None:
        super().__init__()
        self.network, self.rejects, self.training = network, rejects, False  # no mode of its own

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, K+1).

        Raises:
            InputError: the network does not return what `rejects` says.
        """
        answer = self.network(x)
        return _with_last_logit(answer, len(x)) if self.rejects == "logit" else _with_flag(answer, len(x))


def _with_last_logit(answer: object, n: int) -> Tensor:
    logits = check_rows(answer, n)
    if logits.dim() != PAIR or logits.shape[1] < LEAST:
        raise InputError(
            f"the network returns shape {tuple(logits.shape)} for {n} images, expected logits ({n}, K+1), of which the "
            "last rejects: leave --rejects logit (rejects='logit') out if no logit does."
        )
    return _as_float(logits)


def _with_flag(answer: object, n: int) -> Tensor:
    pair = answer if isinstance(answer, tuple | list) else ()
    if len(pair) != PAIR or not all(isinstance(each, Tensor) for each in pair):
        found = f"{len(pair)} values" if pair else type(answer).__name__
        raise InputError(
            f"the network returns {found}, expected a pair of logits (N, K) and a score (N,) that is above 0 if the "
            "input is rejected: return both, or leave --rejects flag (rejects='flag') out."
        )
    return with_flag(_as_float(check_table(pair[0], n)), pair[1], n, "the network")


def with_flag(logits: Tensor, score: Tensor, n: int, who: str) -> Tensor:
    """Return the logits (N, K+1) that belong to logits (N, K) and a detector's score for each of n images.

    Raises:
        InputError: the score is not one value for each image; the message begins with `who`.
    """
    if score.shape not in ((n,), (n, 1)) or score.is_complex():
        raise InputError(
            f"{who} returns a {score.dtype} score of shape {tuple(score.shape)} for {n} images, expected one bool or "
            "real number for each: above 0, or True, if the image is rejected."
        )
    return with_reject_logit(logits, score.reshape(n))


def _as_float(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def with_outputs(network: nn.Module, single_logit: bool, rejects: Rejects | None) -> nn.Module:
    """Put around a network what makes logits of its answers, if it does not return the logits of its classes.

    Raises:
        InputError: both options are given, or `rejects` has another value.
    """
    rejects = checked(rejects, single_logit)
    return with_two_logits(network, single_logit) if rejects is None else Rejecting(network, rejects)


def checked(rejects: Rejects | None, single_logit: bool) -> Rejects | None:
    """Return the way in which a network rejects, if it can have it.

    Raises:
        InputError: the network has a single logit too, or `rejects` has another value.
    """
    if rejects is None:
        return None
    if rejects not in get_args(Rejects):
        raise InputError(f"rejects {rejects!r} is unknown: use {' or '.join(map(repr, get_args(Rejects)))}.")
    if single_logit:
        raise InputError(
            "--single-logit and --rejects (single_logit=True and rejects=) do not go together: return two logits."
        )
    return rejects


def without_wrapper(network: nn.Module) -> nn.Module:
    """Return the network inside `SingleLogit` or `Rejecting`."""
    return network.network if isinstance(network, SingleLogit | Rejecting) else network


def remark_on(rejects: Rejects | None) -> str:
    """Describe the rule of rejections for a record; return an empty text for a network without a detector."""
    said = {"logit": "the last of its logits is the largest", "flag": "its score is above 0"}
    if rejects is None:
        return ""
    return (
        f"an input is rejected if {said[rejects]}: a rejected adversarial example is no success, "
        "a rejected clean example an error"
    )
