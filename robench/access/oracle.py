"""The only access of an algorithm to a network: counted, limited, watched."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from robench.access.answers import ALLOWED, Bounds, GradientResult, Jacobian
from robench.access.closest import Closest
from robench.access.counted import CountedNetwork
from robench.access.microbatches import MicroBatcher
from robench.access.stochastic import Draws
from robench.classifiers.frozen import NO_GRADIENT, FrozenNetwork
from robench.classifiers.precision import arithmetic
from robench.errors import FaultError, GradientError, InputError
from robench.numerics.ball import Ball, finite
from robench.numerics.goal import Goal
from robench.numerics.losses import Objective, label_logit, margin, wrong_classes
from robench.specs import Access
from robench.specs.settings import Precision


class Oracle:
    """Answer an algorithm's questions about the active examples of a chunk.

    Every forward and backward pass is counted for its example. A point passed as a candidate that is
    misclassified and inside the ball is remembered with its query count, for the judge to rule on.

    If the examples have target classes, only the target is a success, and every objective and every logit gap aims at
    it: so an algorithm that uses nothing else aims without knowing it.

    If the network may reject, an algorithm meets logits of its K classes only (`robench.numerics.rejection`).

    If the ball has a mask, the oracle puts every point back onto the mask before the network sees it, and gradients are
    0 outside the mask: so an algorithm attacks the network as a function of the free values without knowing it.

    If the network is random, every answer is a mean over draws, and a candidate is what most draws get wrong: so an
    algorithm attacks the expectation without knowing it.

    Attributes:
        goal: labels and targets of the examples of the chunk.
        active: positions in the chunk of the examples still under attack, int64 (A,).
        forwards, backwards: passes spent on each example of the chunk, int64 (N,).
        found: mask of the examples with a candidate that waits for the judge, bool (N,).
        points: these candidates, (N, C, H, W).
        queries: forwards of an example up to and including its candidate, int64 (N,); if a call asks
            about several points of one example, they count in their order.
        watching: whether candidates are looked for (off before the end if only the last iterate counts).
        step: step of the engine, for messages.
        slopes, flat: number of gradients that were asked for, and of those that were exactly zero.
        external: whether another library's attack used the network.
        first, nearest: margin of an example's first candidate (`Goal.margin`), and smallest margin of all its
            candidates, float32 (N,); infinite without a candidate, and for minimum-norm attacks, whose points lie
            anywhere.
        missed_success: mask of the examples misclassified while `watching` was off, bool (N,).
        draws: the randomness of the network; None if it has none.
        closest: the points of smallest margin, if the network is random.
    """

    def __init__(
        self,
        network: FrozenNetwork,
        ball: Ball,
        y: Tensor,
        ids: Tensor,
        *,
        access: Access,
        bounds: Bounds,
        batcher: MicroBatcher,
        precision: Precision,
        target: Tensor | None = None,
        draws: Draws | None = None,
    ) -> None:
        n = len(y)
        self.goal = Goal(y, target)
        self.network, self.ball, self.y, self.ids = network, ball, y, ids
        self.access, self.bounds, self.batcher, self.precision = access, bounds, batcher, precision
        self.active = torch.arange(n, device=y.device)
        self.forwards, self.backwards, self.queries = (y.new_zeros(n) for _ in range(3))
        self.found = torch.zeros(n, dtype=torch.bool, device=y.device)
        self.points = ball.center.clone()
        self.watching, self.step = True, 0
        self.slopes = self.flat = 0
        self.external = False
        self.first, self.nearest = (torch.full_like(ball.center[:, 0, 0, 0], float("inf")) for _ in range(2))
        self.missed_success = torch.zeros_like(self.found)
        self.draws, self.closest = draws, None if draws is None else Closest(ball.center)

    def logits(self, x: Tensor, rows: Tensor | None = None, *, candidate: bool = False) -> Tensor:
        """Return the logits (M, K) of points x (M, C, H, W).

        Args:
            x: the points.
            rows: the active example of each point, (M,); by default one point for each example, in order.
            candidate: whether the points are proposals.

        Raises:
            FaultError: the attack declared less than score access.
            InputError: the network returns NaN, infinity or a wrong shape.
        """
        self._require("score")
        chunk_rows = self._chunk_rows(rows)
        return self._forward(self._on_mask(x, chunk_rows), chunk_rows, candidate)

    def labels(self, x: Tensor, rows: Tensor | None = None, *, candidate: bool = False) -> Tensor:
        """Return predicted classes (M,), all that a decision-based attack sees."""
        self._require("decision")
        chunk_rows = self._chunk_rows(rows)
        return self._forward(self._on_mask(x, chunk_rows), chunk_rows, candidate).argmax(1)

    def features(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the penultimate features (M, D) of points x, which are no candidates: they may be other examples.

        Raises:
            FaultError: the attack declared less than gradient access.
            InputError: the network does not show its features.
        """
        self._require("gradient")
        chunk_rows = self._chunk_rows(rows)
        with arithmetic(self.precision, self.network.device), torch.no_grad():
            (seen, _), _ = self._ask(
                lambda part: self.network.answer(part, "features")[::-1], x, chunk_rows, differentiates=False
            )
        self._count(chunk_rows)
        return seen.float()

    def gradient(
        self,
        x: Tensor,
        objective: Objective,
        rows: Tensor | None = None,
        *,
        given: tuple[Tensor, ...] = (),
        candidate: bool = True,
    ) -> GradientResult:
        """Return an objective and its gradient at points x; the forward pass also looks for successes.

        Args:
            x: the points.
            objective: the function that is differentiated.
            rows: the active example of each point, (M,); by default one point for each example, in order.
            given: further tensors that the objective needs (targets, say), each with leading axis M.
            candidate: whether the points are proposals.

        Raises:
            FaultError: the attack declared less than gradient access.
            InputError: the network is not differentiable, or returns NaN, infinity or a wrong shape.
        """
        self._require("gradient")
        chunk_rows = self._chunk_rows(rows)
        x = self._on_mask(x, chunk_rows)
        with arithmetic(self.precision, self.network.device):
            (gradient, value, logits), won = self._ask(
                lambda *parts: self._differentiate(objective, *parts),
                x, chunk_rows, *self.labels_of(chunk_rows), *given,
            )  # fmt: skip
        gradient = self._free(gradient, chunk_rows)
        self._differentiated(x, gradient, logits, won, chunk_rows, candidate, backwards=1)
        return GradientResult(gradient, value, logits)

    def jacobian(
        self, x: Tensor, classes: Tensor | None = None, rows: Tensor | None = None, *, candidate: bool = True
    ) -> Jacobian:
        """Return logit gaps of classes (M, J) to the label, and their gradients: one forward, J backwards per point.

        Args:
            x: the points.
            classes: the classes whose gaps are wanted; by default all wrong classes; with targets, always theirs.
            rows: the active example of each point, (M,); by default one point for each example, in order.
            candidate: whether the points are proposals.

        Raises:
            FaultError: the attack declared less than gradient access.
            InputError: the network is not differentiable, or returns NaN, infinity or a wrong shape.
        """
        self._require("gradient")
        chunk_rows = self._chunk_rows(rows)
        x = self._on_mask(x, chunk_rows)
        with arithmetic(self.precision, self.network.device):
            given = () if classes is None or self.goal.target is not None else (classes,)
            (gradients, *parts), won = self._ask(self._lead_slopes, x, chunk_rows, *self.labels_of(chunk_rows), *given)
        answer = Jacobian(self._free(gradients, chunk_rows), *parts)
        backwards = answer.logit_gaps.shape[1]
        self._differentiated(x, answer.gradients, answer.logits, won, chunk_rows, candidate, backwards)
        return answer

    def submit(self, x: Tensor, rows: Tensor | None = None) -> None:
        """Hand points to the judge as successes without a check, for algorithms that check their points themselves."""
        if self.watching:
            chunk_rows = self._chunk_rows(rows)
            self._remember(self._on_mask(x, chunk_rows), chunk_rows, self.forwards[chunk_rows])

    @contextmanager
    def counted_network(self) -> Iterator[CountedNetwork]:
        """Provide the network, with its passes counted, for another library's attack.

        Such an attack does not say which example a pass is for, so passes are spread evenly over the active examples.

        Raises:
            FaultError: the attack declared less than gradient access, or the ball has a mask, which differs by example.
        """
        self._require("gradient")
        if self.ball.mask is not None:
            raise FaultError("an attack of another library was given a mask: declare can_mask = False.")
        counted_network = CountedNetwork(self.network, self.precision, self.draws)
        try:
            # Backward passes, too, need this arithmetic; only the network itself runs under autocast.
            with arithmetic("tf32" if self.precision == "tf32" else "fp32", self.network.device):
                yield counted_network
        finally:
            self.external = True
            self.slopes += counted_network.backwards
            self.flat += counted_network.flat
            for books, passes in (
                (self.forwards, counted_network.forwards),
                (self.backwards, counted_network.backwards),
            ):
                share, rest = divmod(passes, len(self.active))
                books[self.active] += share
                books[self.active[:rest]] += 1

    def keep(self, rows: Tensor) -> None:
        """Narrow the active set to some of its rows."""
        self.active = self.active[rows]

    def pending(self) -> Tensor:
        """Return the positions in the chunk of the examples whose candidates wait for the judge."""
        return self.found.nonzero().flatten()

    def clear_pending(self) -> None:
        """Forget the pending candidates, after the judge has ruled."""
        self.found.zero_()

    def _chunk_rows(self, rows: Tensor | None) -> Tensor:
        return self.active if rows is None else self.active[rows]

    def _on_mask(self, x: Tensor, chunk_rows: Tensor) -> Tensor:
        """Return points with the clean values outside the mask."""
        return x if self.ball.mask is None else self.ball.take(chunk_rows).restore(x)

    def _free(self, gradients: Tensor, chunk_rows: Tensor) -> Tensor:
        """Return gradients (M, ..., C, H, W) with 0 outside the mask."""
        if self.ball.mask is None:
            return gradients
        mask = self.ball.mask[chunk_rows]
        return torch.where(mask if gradients.dim() == mask.dim() else mask[:, None], gradients, 0.0)

    def labels_of(self, chunk_rows: Tensor) -> tuple[Tensor, ...]:
        """Return the labels of some examples and, if there are targets, these."""
        goal = self.goal.take(chunk_rows)
        return (goal.y,) if goal.target is None else (goal.y, goal.target)

    def _require(self, access: Access) -> None:
        if access not in ALLOWED[self.access]:
            raise FaultError(f"an attack with {self.access} access asked for a {access}: declare it in the stanza.")

    def _forward(self, x: Tensor, chunk_rows: Tensor, candidate: bool) -> Tensor:
        with arithmetic(self.precision, self.network.device), torch.no_grad():
            (logits,), won = self._ask(
                lambda *parts: (self.network.class_scores(*parts),),
                x, chunk_rows, self.y[chunk_rows], differentiates=False,
            )  # fmt: skip
        self._look(x, logits, won, chunk_rows, candidate, self._count(chunk_rows))
        return logits

    def _ask(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        x: Tensor,
        chunk_rows: Tensor,
        *given: Tensor,
        differentiates: bool = True,
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the outputs of a function of the network, the last of them logits, and which points are successes.

        For a random network the outputs are means over draws, and a success is what most draws are.
        """
        goal = self.goal.take(chunk_rows)
        if self.draws is None:
            answer = self.batcher(function, x, *given, differentiates=differentiates)
            return answer, goal.reached(answer[-1])
        questions = self.forwards[chunk_rows] + _occurrence(chunk_rows)
        means, won = self.draws.expectation(
            self.batcher, function, goal, self.ids[chunk_rows], questions, x, *given, differentiates=differentiates
        )
        return means, won > 0.5

    def _differentiated(
        self,
        x: Tensor,
        gradient: Tensor,
        logits: Tensor,
        won: Tensor,
        chunk_rows: Tensor,
        candidate: bool,
        backwards: int,
    ) -> None:
        """Count a differentiation, look at its points and check its gradients."""
        numbers = self._count(chunk_rows, backwards)
        self._look(x, logits, won, chunk_rows, candidate, numbers)
        if found := self._not_finite(gradient, x, chunk_rows):
            raise GradientError(f"the network gives NaN or infinite gradients {found}: no attack can follow them.")
        self.slopes += len(gradient)
        self.flat += int((~gradient.flatten(1).any(1)).sum())

    def _count(self, chunk_rows: Tensor, backwards: int = 0) -> Tensor:
        """Count a forward and some backwards for each point and draw; return the number of its query, (M,)."""
        draws = 1 if self.draws is None else self.draws.count
        numbers = self.forwards[chunk_rows] + draws * _occurrence(chunk_rows)
        self.forwards.index_add_(0, chunk_rows, torch.full_like(chunk_rows, draws))
        self.backwards.index_add_(0, chunk_rows, torch.full_like(chunk_rows, draws * backwards))
        return numbers

    def _differentiate(self, objective: Objective, x: Tensor, y: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits, seen = self.network.class_answer(x, y, objective.input_kind)
            value_of = objective if self.goal.target is None else objective.towards
            value = value_of(seen.float(), y, *given)
            gradient = _gradient(value, x)
        return gradient, value.detach(), logits.detach()

    def _lead_slopes(self, x: Tensor, y: Tensor, given: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return gradients, gaps, their classes and logits; `given` are classes (M, J), or targets (M,)."""
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits, _ = self.network.class_answer(x, y, "logits")
            if given is not None and self.goal.target is not None:
                classes, logit_gaps = given[:, None], margin(logits, given)[:, None]
            else:
                classes = wrong_classes(y, logits.shape[1]) if given is None else given
                logit_gaps = logits.gather(1, classes) - label_logit(logits, y)[:, None]
            slopes = [_gradient(lead, x, keep=True) for lead in logit_gaps.unbind(1)]
        return torch.stack(slopes, 1), logit_gaps.detach(), classes, logits.detach()

    def _look(
        self, x: Tensor, logits: Tensor, won: Tensor, chunk_rows: Tensor, candidate: bool, numbers: Tensor
    ) -> None:
        """Check the answers, and remember each example's first new candidate among the successes `won` (M,)."""
        if found := self._not_finite(logits, x, chunk_rows):
            raise InputError(
                f"the network gives NaN or infinite logits {found}: a NaN is neither robust nor broken, so mend the "
                "network first."
            )
        if not candidate:
            return
        broken_points = ~finite(x)
        goal = self.goal.take(chunk_rows)
        wrong, margins = won | broken_points, goal.margin(logits)
        if self.bounds != "none":
            fresh = self.first[chunk_rows].isinf()
            self.first[chunk_rows[fresh]] = margins[fresh]
            self.nearest.scatter_reduce_(0, chunk_rows, margins, "amin")
        if self.bounds == "none" and (wrong.any() or self.closest):
            inside = self.ball.take(chunk_rows).contains(x)
            wrong &= inside | broken_points
            margins = torch.where(inside, margins, torch.inf)
        if self.closest and self.watching:
            wrong &= self.closest.is_news(chunk_rows, margins)
            self.closest.see(chunk_rows, margins, x)
        if not self.watching:
            self.missed_success[chunk_rows[wrong]] = True
            return
        if wrong.any():
            self._remember(x[wrong], chunk_rows[wrong], numbers[wrong])

    def _not_finite(self, values: Tensor, x: Tensor, chunk_rows: Tensor) -> str:
        """Name the examples that got NaN or infinite values (M, ...) for finite points; return "" if none did."""
        bad = ~finite(values)
        if not bad.any() or not (bad := bad & finite(x)).any():
            return ""
        named = self.ids[chunk_rows[bad]].unique().tolist()
        return f"for {len(named)} examples (ids {named[:3]}) in step {self.step}"

    def _remember(self, x: Tensor, chunk_rows: Tensor, numbers: Tensor) -> None:
        # If one example has several points, the first is kept.
        first = torch.full_like(self.y, len(x))
        first.scatter_reduce_(0, chunk_rows, torch.arange(len(x), device=x.device), "amin")
        rows = ((first < len(x)) & ~self.found).nonzero().flatten()
        self.points[rows] = x[first[rows]].detach()
        self.queries[rows] = numbers[first[rows]]
        self.found[rows] = True


def _gradient(values: Tensor, x: Tensor, *, keep: bool = False) -> Tensor:
    if not values.requires_grad:
        raise InputError(NO_GRADIENT)
    (gradient,) = torch.autograd.grad(values.sum(), x, retain_graph=keep, allow_unused=True)
    if gradient is None:
        raise InputError(NO_GRADIENT)
    return gradient


def _occurrence(rows: Tensor) -> Tensor:
    """Number the points of each example: 1 for the first point, 2 for the second, and so on, (M,)."""
    ordered, order = rows.sort(stable=True)
    places = torch.arange(len(rows), device=rows.device) - torch.searchsorted(ordered, ordered)
    return torch.empty_like(rows).scatter_(0, order, places + 1)
