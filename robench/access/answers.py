"""Questions that an attack may ask, by its access, and the answers to questions about gradients."""

from typing import Literal, NamedTuple

from torch import Tensor

from robench.specs import Access

Bounds = Literal["engine", "own", "none"]
"""Part that keeps an algorithm's points inside the ball: the engine, which projects them; the algorithm itself (own);
or none (minimum-norm attacks, for which a point outside is merely not a success)."""

ALLOWED: dict[Access, tuple[Access, ...]] = {
    "gradient": ("gradient", "score", "decision", "transfer"),
    "score": ("score", "decision", "transfer"),
    "decision": ("decision", "transfer"),
    "transfer": ("decision",),
}


class GradientResult(NamedTuple):
    """Objective at some points: gradient (M, C, H, W), value (M,), and the logits (M, K) of the same pass."""

    gradient: Tensor
    value: Tensor
    logits: Tensor


class Jacobian(NamedTuple):
    """Logit gaps Z_k - Z_y of classes k to the label, (M, J), and their gradients (M, J, C, H, W).

    A gap is negative while the label wins; `classes` are the k (M, J), `logits` (M, K) those of the same pass.
    With a target t there is one gap, Z_t - max_{i != t} Z_i.
    """

    gradients: Tensor
    logit_gaps: Tensor
    classes: Tensor
    logits: Tensor
