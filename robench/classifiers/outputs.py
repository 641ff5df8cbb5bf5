"""Answers of a network: the logits in them, and the checks of the first answers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from robench.errors import InputError

TWICE = 1e-4
"""Allowed difference between two passes over the same input, relative to the largest logit."""
FARTHEST = 1e4
"""Logit of a masked class below the largest logit; float32 keeps the other logits, and exp(-1e4) is 0."""


def logits_in(answer: object) -> tuple[object, str]:
    """Return the logits in an answer, and a description of their place, empty if the answer is the logits.

    Networks of other libraries return an object with `.logits`, a mapping with the key `logits`, or a tuple or list
    that begins with the logits.
    """
    if isinstance(answer, Tensor):
        return answer, ""
    if isinstance(getattr(answer, "logits", None), Tensor):
        return answer.logits, f"the attribute 'logits' of its {type(answer).__name__}"  # type: ignore[attr-defined]
    if isinstance(answer, Mapping) and isinstance(answer.get("logits"), Tensor):
        return answer["logits"], "the value of 'logits' in its answer"
    if isinstance(answer, tuple | list) and answer and isinstance(answer[0], Tensor):
        tables = [tuple(each.shape) for each in answer if isinstance(each, Tensor) and each.dim() == 2]
        if len(set(tables)) > 1:
            raise InputError(
                f"the network returns several values that may be the logits, of shapes {', '.join(map(str, tables))}: "
                "let it return only the logits."
            )
        return answer[0], f"the first of {len(answer)} values in its answer"
    return answer, ""


def check_rows(answer: object, n: int) -> Tensor:
    """Return the logits in an answer, of any shape that has one row for each of n images.

    Raises:
        InputError: the network did not return a tensor with n rows.
    """
    logits, _ = logits_in(answer)
    if not isinstance(logits, Tensor):
        raise InputError(
            f"the network returns {type(logits).__name__}, expected a tensor of logits (N, K), "
            "an object with .logits, or a tuple that begins with the logits."
        )
    if not logits.dim() or logits.shape[0] != n:
        raise _wrong_shape(logits, n)
    return logits


def check_logits(answer: object, n: int) -> Tensor:
    """Return logits as float32 (N, K), K at least 2; the logit of a masked class, -inf, becomes finite.

    Raises:
        InputError: the network did not return logits.
    """
    return _unmasked(check_table(answer, n).float())


def check_table(answer: object, n: int) -> Tensor:
    """Return the logits (N, K) in an answer as they are, K at least 2.

    Raises:
        InputError: the network did not return logits.
    """
    logits = check_rows(answer, n)
    if logits.dim() == 1 or (logits.dim() == 2 and logits.shape[1] == 1):
        raise InputError(
            f"the network returns one value for each image (shape {tuple(logits.shape)}), expected logits ({n}, K): "
            "if it is the logit of class 1 of two classes, add --single-logit (in Python single_logit=True)."
        )
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise _wrong_shape(logits, n)
    return logits


def _wrong_shape(logits: Tensor, n: int) -> InputError:
    return InputError(f"the network returns shape {tuple(logits.shape)} for {n} images, expected logits ({n}, K).")


def _unmasked(logits: Tensor) -> Tensor:
    """Lower masked classes to `FARTHEST` below the largest logit, so that no attack meets an infinity."""
    masked = logits.detach() == -torch.inf
    if not masked.any() or masked.all(1).any():
        return logits
    lowest = logits.detach().amax(1, keepdim=True) - FARTHEST
    return torch.where(masked, lowest, logits)


def check_clean(logits: Tensor, y: Tensor, ids: Tensor, classes: int) -> None:
    """Check that the logits of clean examples are finite and the labels among the network's classes.

    Raises:
        InputError: a logit is not finite, or a label is beyond the classes.
    """
    require_finite(logits.isfinite().all(1), ids)
    if len(y) and y.max() >= classes:
        raise InputError(
            f"label {int(y.max())} is beyond the network's {classes} classes: use the network's own class numbers."
        )


def require_finite(finite: Tensor, ids: Tensor) -> None:
    """Check that a network gives finite logits for all clean examples, bool (N,).

    Raises:
        InputError: it does not.
    """
    bad = ids[~finite.to(ids.device)].tolist()
    if bad:
        raise InputError(
            f"the network returns NaN or infinite logits for {len(bad)} clean examples (ids {bad[:3]}): "
            "mend the network first."
        )


def is_masked(logits: Tensor) -> Tensor:
    """Return which logits (N, K) are those of masked classes, bool (N, K)."""
    return logits == logits.amax(1, keepdim=True) - FARTHEST


def largest(logits: Tensor) -> Tensor:
    """Return the largest absolute logit of each row, at least 1, (N,); masked classes are left out."""
    return logits.masked_fill(is_masked(logits), 0.0).abs().amax(1).clamp_min(1.0)


def resolution(logits: Tensor) -> Tensor:
    """Return the rounding of each row's largest logit, (N,); that of bfloat16 or float16 if all logits are such."""
    unit = torch.finfo(torch.float32).eps
    for kind in (torch.float16, torch.bfloat16):
        if torch.equal(logits, logits.to(kind).float()):
            unit = torch.finfo(kind).eps
    return unit * largest(logits)


def check_repeatable(first: Tensor, second: Tensor) -> None:
    """Check that two answers to the same input agree.

    Raises:
        InputError: the answers differ: a verdict on a random network cannot be judged again.
    """
    off = (first - second).abs().max().item()
    if not off <= TWICE * largest(first).max().item():
        raise InputError(
            f"the network answers differently twice on the same input (logits differ by {off:.2g}): "
            "add --draws 16 (in Python draws=16) to evaluate it as a random network, or switch its randomness off."
        )


def require_random(varied: Tensor) -> None:
    """Check that repeated answers to the same images differ, bool (N,), for one image at least.

    Raises:
        InputError: they do not: repeated draws would tell nothing.
    """
    if not varied.any():
        raise InputError("the network answers the same twice, so it is not random: leave --draws out.")
