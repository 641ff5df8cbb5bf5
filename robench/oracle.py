"""The only way an algorithm touches a model: metered, limited, watched."""

from typing import Literal

import torch
from torch import Tensor

from robench.ball import Ball, finite
from robench.classifiers.precision import Precision, arithmetic
from robench.classifiers.victim import Victim, check_logits
from robench.errors import FaultError, InputError
from robench.losses import Objective
from robench.packing import Packer
from robench.specs import Access

Bounds = Literal["engine", "own", "none"]
"""Who keeps an algorithm's points inside the ball: the engine projects them, the algorithm promises it,
or nobody (minimum-norm attacks, for which a point outside is merely not a success)."""

NO_GRADIENT = (
    "the network gives no gradient for its input: remove no_grad or detach from it, or run a score-based attack."
)
ALLOWED: dict[Access, tuple[Access, ...]] = {
    "gradient": ("gradient", "score", "decision"),
    "score": ("score", "decision"),
    "decision": ("decision",),
}


class Oracle:
    """Answers an algorithm's questions about the active examples of a chunk.

    Every forward and backward pass is counted for its example. A point passed as a candidate that is
    misclassified and inside the ball is remembered with its query count, for the judge to rule on.

    Attributes:
        active: positions in the chunk of the examples still under attack, int64 (A,).
        forwards, backwards: passes spent on each example of the chunk, int64 (N,).
        found: examples of the chunk with a candidate waiting for the judge, bool (N,).
        points: those candidates, (N, C, H, W).
        queries: forwards of an example up to and including its candidate, int64 (N,).
        watching: whether candidates are looked for (off before the end when only the last iterate counts).
        step: of the engine, for messages.
    """

    def __init__(
        self,
        victim: Victim,
        ball: Ball,
        y: Tensor,
        ids: Tensor,
        *,
        access: Access,
        bounds: Bounds,
        packer: Packer,
        precision: Precision,
    ) -> None:
        n = len(y)
        self.victim, self.ball, self.y, self.ids = victim, ball, y, ids
        self.access, self.bounds, self.packer, self.precision = access, bounds, packer, precision
        self.active = torch.arange(n, device=y.device)
        self.forwards, self.backwards, self.queries = (y.new_zeros(n) for _ in range(3))
        self.found = torch.zeros(n, dtype=torch.bool, device=y.device)
        self.points = ball.center.clone()
        self.watching, self.step = True, 0

    def logits(self, x: Tensor, rows: Tensor | None = None, *, candidate: bool = False) -> Tensor:
        """Logits (M, K) of points x (M, C, H, W).

        Args:
            x: the points.
            rows: which active example each point belongs to, (M,); one each, in order, by default.
            candidate: whether the points are proposals.

        Raises:
            FaultError: the attack declared less than score access.
            InputError: the network returns NaN, infinity or a wrong shape.
        """
        self._require("score")
        return self._forward(x, self._chunk_rows(rows), candidate)

    def labels(self, x: Tensor, rows: Tensor | None = None, *, candidate: bool = False) -> Tensor:
        """Predicted classes (M,), all that a decision-based attack sees."""
        self._require("decision")
        return self._forward(x, self._chunk_rows(rows), candidate).argmax(1)

    def gradient(
        self, x: Tensor, objective: Objective, rows: Tensor | None = None, *, candidate: bool = True
    ) -> Tensor:
        """The gradient of an objective at points x, like x. The forward pass doubles as a look at the points.

        Raises:
            FaultError: the attack declared less than gradient access.
            InputError: the network is not differentiable, or returns NaN, infinity or a wrong shape.
        """
        self._require("gradient")
        chunk_rows = self._chunk_rows(rows)
        with arithmetic(self.precision, self.victim.device):
            gradient, logits = self.packer(
                lambda part, y: self._differentiate(part, y, objective), x, self.y[chunk_rows]
            )
        self.forwards.index_add_(0, chunk_rows, torch.ones_like(chunk_rows))
        self.backwards.index_add_(0, chunk_rows, torch.ones_like(chunk_rows))
        self._look(x, logits, chunk_rows, candidate)
        self._require_finite(gradient, "gradients", x, chunk_rows)
        return gradient

    def claim(self, x: Tensor, rows: Tensor | None = None) -> None:
        """Hand points to the judge as successes without looking; for algorithms that keep their own books."""
        if self.watching:
            self._remember(x, self._chunk_rows(rows))

    def keep(self, rows: Tensor) -> None:
        """Narrow the active set to some of its rows."""
        self.active = self.active[rows]

    def waiting(self) -> Tensor:
        """Positions in the chunk of the examples whose candidates wait for the judge."""
        return self.found.nonzero().flatten()

    def settled(self) -> None:
        """Forget the waiting candidates: the judge has ruled."""
        self.found.zero_()

    def _chunk_rows(self, rows: Tensor | None) -> Tensor:
        return self.active if rows is None else self.active[rows]

    def _require(self, access: Access) -> None:
        if access not in ALLOWED[self.access]:
            raise FaultError(f"an attack with {self.access} access asked for a {access}: declare it in the stanza.")

    def _forward(self, x: Tensor, chunk_rows: Tensor, candidate: bool) -> Tensor:
        with arithmetic(self.precision, self.victim.device), torch.no_grad():
            logits = self.packer(lambda part: check_logits(self.victim.model(part), len(part)), x)
        self.forwards.index_add_(0, chunk_rows, torch.ones_like(chunk_rows))
        self._look(x, logits, chunk_rows, candidate)
        return logits

    def _differentiate(self, x: Tensor, y: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits, seen = self.victim.answer(x, objective.normalized)
            if not seen.requires_grad:
                raise InputError(NO_GRADIENT)
            (gradient,) = torch.autograd.grad(objective(seen.float(), y).sum(), x, allow_unused=True)
        if gradient is None:
            raise InputError(NO_GRADIENT)
        return gradient, logits.detach()

    def _look(self, x: Tensor, logits: Tensor, chunk_rows: Tensor, candidate: bool) -> None:
        """Check the answers, and remember each example's first new candidate."""
        self._require_finite(logits, "logits", x, chunk_rows)
        if not (candidate and self.watching):
            return
        broken_points = ~finite(x)
        wrong = (logits.argmax(1) != self.y[chunk_rows]) | broken_points
        if self.bounds == "none" and wrong.any():
            inside = self.ball.take(chunk_rows).contains(x)
            wrong &= inside | broken_points
        if wrong.any():
            self._remember(x[wrong], chunk_rows[wrong])

    def _require_finite(self, values: Tensor, what: str, x: Tensor, chunk_rows: Tensor) -> None:
        """NaN answers to finite questions are the network's fault."""
        bad = ~finite(values) & finite(x)
        if bad.any():
            named = self.ids[chunk_rows[bad]].unique().tolist()
            raise InputError(
                f"the network gives NaN or infinite {what} for {len(named)} examples (ids {named[:3]}) "
                f"in step {self.step}: a NaN is neither robust nor broken, so mend the network first."
            )

    def _remember(self, x: Tensor, chunk_rows: Tensor) -> None:
        # Of several points of one example the first is kept.
        first = torch.full_like(self.y, len(x))
        first.scatter_reduce_(0, chunk_rows, torch.arange(len(x), device=x.device), "amin")
        rows = ((first < len(x)) & ~self.found).nonzero().flatten()
        self.points[rows] = x[first[rows]].detach()
        self.queries[rows] = self.forwards[rows]
        self.found[rows] = True
