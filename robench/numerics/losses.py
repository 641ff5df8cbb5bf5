"""Per-example losses and attack objectives: logits (N, K) and labels (N,) in, values (N,) out.

Nothing is averaged: the value and the gradient of an example never depend on the other examples of the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, where
from torch.nn import functional as F

FLAT = 1e-12
"""Added to the spread of logits in the DLR losses, so that equal logits do not lead to a division by zero."""


def rivals(logits: Tensor, y: Tensor) -> Tensor:
    """Return the logits with the labelled class at minus infinity, (N, K); correct also if every logit is negative."""
    labelled = F.one_hot(y, logits.shape[1]).bool()
    return where(labelled, logits.new_tensor(float("-inf")), logits)


def label_logit(logits: Tensor, y: Tensor) -> Tensor:
    """Return Z_y, (N,)."""
    return logits.gather(1, y[:, None]).squeeze(1)


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return Z_y - max_{i != y} Z_i (C&W's objective, appendix B.2 of the paper): negative when misclassified."""
    return label_logit(logits, y) - rivals(logits, y).amax(1)


def wrong_classes(y: Tensor, classes: int) -> Tensor:
    """Return all classes but the labelled one, ascending, int64 (N, K - 1)."""
    k = torch.arange(classes - 1, device=y.device).expand(len(y), -1)
    return k + (k >= y[:, None]).long()


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """Return the difference of logits ratio, -(Z_y - max_{i != y} Z_i) / (Z_(1) - Z_(3)) (Croce & Hein 2020b, Eq. 6).

    Z_(i) is the i-th largest logit. Scaling the logits by a positive factor or shifting them changes nothing.
    """
    top = logits.topk(3, dim=1).values
    return -margin(logits, y) / (top[:, 0] - top[:, 2] + FLAT)


def targeted_dlr(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Return -(Z_y - Z_t) / (Z_(1) - (Z_(3) + Z_(4)) / 2) for target classes t (N,) (Croce & Hein 2020b, Eq. 7)."""
    top = logits.topk(4, dim=1).values
    lead = label_logit(logits, y) - label_logit(logits, target)
    return -lead / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + FLAT)


def log_odds(logits: Tensor, y: Tensor) -> Tensor:
    """Return log((1 - p_y) / p_y) for p = softmax(logits).

    Cross-entropy is softplus of the log odds, so steepest ascent takes the same direction on both. But if p_y rounds
    to 1, the gradient of cross-entropy loses its term in Z_y and then vanishes; that of the log odds does not.
    """
    return rivals(logits, y).logsumexp(1) - label_logit(logits, y)


def probability_odds(logits: Tensor, y: Tensor) -> Tensor:
    """Return log(1 + max_{i != y} p_i - p_y) for p = softmax(logits).

    The value rises with the margin max_{i != y} p_i - p_y, so steepest ascent takes the same direction on both. But if
    p_y rounds to 1, the gradient of the margin vanishes; that of the logarithm does not.
    """
    others = rivals(logits, y)
    return torch.cat([others, others.amax(1, keepdim=True)], 1).logsumexp(1) - logits.logsumexp(1)


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return -log softmax(logits)_y (Eq. 2), as softplus of the log odds: accurate to the last bits at any scale."""
    return F.softplus(log_odds(logits, y))


def with_margin(logits: Tensor, y: Tensor, scale: float, margin: float) -> Tensor:
    """Return the logits inside Eq. (6): s (Z - m onehot(y))."""
    if scale == 1.0 and margin == 0.0:
        return logits
    return scale * (logits - margin * F.one_hot(y, logits.shape[1]).to(logits.dtype))


def he_cross_entropy(logits: Tensor, y: Tensor, scale: float, margin: float) -> Tensor:
    """Return L^m_CE of Eq. (6): cross-entropy of s (cos theta - m onehot(y)); Eq. (2) for s = 1, m = 0."""
    return cross_entropy(with_margin(logits, y, scale, margin), y)


Loss = Callable[[Tensor, Tensor], Tensor]
InputKind = Literal["logits", "normalized", "features"]
"""Input of an objective: the logits that decide, the logits of normalised features (paper, Table 7), or the
penultimate features themselves."""


@dataclass(frozen=True)
class Objective:
    """The function that an attack increases: a name of `OBJECTIVES` with the constants of the model's head.

    Cross-entropies and the probability margin are computed as logarithms, on which steepest ascent takes the same
    steps.
    """

    name: str
    scale: float = 1.0
    margin: float = 0.0

    @property
    def input_kind(self) -> InputKind:
        """The input of the objective."""
        return INPUT_KINDS.get(self.name, "logits")

    @property
    def min_classes(self) -> int:
        """Least number of classes for which the objective is defined."""
        return MIN_CLASSES.get(self.name, 2)

    @property
    def min_classes_aimed(self) -> int:
        """Least number of classes for which the objective with a target is defined."""
        return MIN_CLASSES_AIMED.get(self.name, 2)

    def __call__(self, seen: Tensor, y: Tensor, *given: Tensor) -> Tensor:
        """Return the values (N,) for its input and labels; `given` are further per-example tensors that it needs."""
        return OBJECTIVES[self.name](seen, y, self.scale, self.margin, *given)

    def towards(self, seen: Tensor, y: Tensor, target: Tensor, *given: Tensor) -> Tensor:
        """Return the values (N,) of the same objective with target classes (N,): it rises as the target comes nearer.

        A loss of the label that an attack increases becomes the loss of the target with the opposite sign. `given` has
        no effect: the only class that an aimed attack is given is the target.
        """
        return AIMED[self.name](seen, y, self.scale, self.margin, target)


OBJECTIVES: dict[str, Callable[..., Tensor]] = {
    "ce": lambda logits, y, _s, _m: log_odds(logits, y),
    "ce_scaled": lambda logits, y, s, _m: log_odds(s * logits, y),
    "he_margin": lambda logits, y, s, m: log_odds(with_margin(logits, y, s, m), y),
    "ce_fn": lambda logits, y, _s, _m: log_odds(logits, y),
    "margin": lambda logits, y, _s, _m: -margin(logits, y),
    "probability_margin": lambda logits, y, _s, _m: probability_odds(logits, y),
    "lead": lambda logits, y, _s, _m, target: label_logit(logits, target) - label_logit(logits, y),
    "dlr": lambda logits, y, _s, _m: dlr(logits, y),
    "dlr_targeted": lambda logits, y, _s, _m, target: targeted_dlr(logits, y, target),
    "feature": lambda z, _y, _s, _m, aim: F.cosine_similarity(z, aim, dim=1),
}
AIMED: dict[str, Callable[..., Tensor]] = {
    "ce": lambda logits, _y, _s, _m, target: -log_odds(logits, target),
    "ce_scaled": lambda logits, _y, s, _m, target: -log_odds(s * logits, target),
    "he_margin": lambda logits, _y, s, m, target: -log_odds(with_margin(logits, target, s, m), target),
    "ce_fn": lambda logits, _y, _s, _m, target: -log_odds(logits, target),
    "margin": lambda logits, _y, _s, _m, target: margin(logits, target),
    "probability_margin": lambda logits, _y, _s, _m, target: -probability_odds(logits, target),
    "lead": lambda logits, _y, _s, _m, target: margin(logits, target),
    "dlr": lambda logits, y, _s, _m, target: targeted_dlr(logits, y, target),
    "dlr_targeted": lambda logits, y, _s, _m, target: targeted_dlr(logits, y, target),
}
"""Objectives of attacks that aim at one class of each example."""
INPUT_KINDS: dict[str, InputKind] = {"ce_fn": "normalized", "feature": "features"}
MIN_CLASSES = {"dlr": 3, "dlr_targeted": 4}
MIN_CLASSES_AIMED = {"dlr": 4, "dlr_targeted": 4}
