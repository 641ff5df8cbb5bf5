"""Networks with a detector: from logits (N, K+1), of which the last rejects the input, to logits of the K classes."""

import torch
from torch import Tensor, cat, maximum, where

from robench.numerics.losses import label_logit


def is_rejected(logits: Tensor) -> Tensor:
    """Return which inputs are rejected, bool (N,): their last logit (N, K+1) is larger than every other."""
    return logits[:, -1] > logits[:, :-1].amax(1)


def class_logits(logits: Tensor, y: Tensor) -> Tensor:
    """Return logits (N, K) whose label stands for the label or the rejection, Z'_y = max(Z_y, Z_reject).

    An adversarial example counts if it is misclassified and accepted (Tramer 2022, Detecting adversarial examples is
    (nearly) as hard as classifying them): exactly if the largest of these logits is not the label's. So every attack
    on K classes is an attack on a network with a detector. With a target class, the largest logit is the target's
    exactly if the input is classified as the target and accepted.

    A rejection that only ties with a class gets the next smaller float, because it does not reject the input.

    Args:
        logits: logits (N, K+1); NaN in the last one becomes NaN of the label's.
        y: labels (N,), less than K.
    """
    classes, reject = logits[:, :-1], logits[:, -1]
    top = classes.detach().amax(1)
    lower = torch.nextafter(top, torch.full_like(top, -torch.inf)) - top
    reject = where(reject == top, reject + lower, reject)
    return classes.scatter(1, y[:, None], maximum(label_logit(classes, y), reject)[:, None])


def with_reject_logit(logits: Tensor, score: Tensor) -> Tensor:
    """Return logits (N, K+1) for logits (N, K) and a score (N,); the last is the largest where the score is above 0.

    The last logit is max_k Z_k + score, so the margin of a rejected input is its score. Bools and integers count as
    the next power of 2 to the largest logit, at least 1, with their sign: a constant near an input, like the flag.

    If the score has no gradient, the last logit has none, either: then the gradient of the margin of a rejected input
    is that of the strongest class, in whose confidence a detector may trust.
    """
    top, rejected = logits.amax(1), score > 0
    if not score.is_floating_point():
        size = logits.detach().masked_fill(logits == -torch.inf, 0.0).abs().amax(1).clamp_min(1.0).log2().ceil().exp2()
        score = where(rejected, size, -size)
    reject = (top if score.requires_grad else top.detach()) + score.to(logits.dtype)
    # A score above 0 rejects the input even where it is lost in rounding.
    least = torch.nextafter(top.detach(), torch.full_like(top, torch.inf)) - top.detach()
    reject = where(rejected & (reject <= top), reject + least, reject)
    return cat([logits, reject[:, None]], 1)
