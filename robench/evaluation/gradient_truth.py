"""Comparison of the reported gradient with differences of the logits along random directions.

A part of a network without gradient (a detached branch, a rounded input, a member of an ensemble under `no_grad`)
leaves a gradient that is right as far as it goes: a step along it changes the loss as it predicts. Only directions
that do not depend on the gradient show what is missing, if it is about half of the slopes or more.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.access.answers import GradientResult
from robench.access.microbatches import MicroBatcher
from robench.classifiers.frozen import FrozenNetwork
from robench.classifiers.outputs import largest
from robench.engine.loop import Chunk
from robench.numerics.ball import distance
from robench.numerics.losses import label_logit, rivals
from robench.numerics.randomness import ExampleRandom
from robench.specs import ThreatModel

TOLERANCE, WIDE_TOLERANCE = 0.5, 0.7
"""Relative error above which a gradient does not tell how the logits change, for a small step and for a wide one.

A gradient that sees a share v of the squared slopes is wrong by the root of 1 - v: by 0.87 for a quarter of the pixels.
Rounding to levels as far apart as the wide step is long is wrong by 0.45 or less, and curvature adds to it."""
FINE, COARSE = 1e-6, 1e-3
"""Change of every pixel in float64, and in float32, in which smaller changes drown in rounding."""
WIDE = 0.5
"""Change of every pixel in the second trial, in units of the change that uses the whole ball.

For a small step, the straight-through gradient of a rounded input is wrong; for this one it is right."""
INSIDE = 0.05
"""Largest change of a pixel: the points must be as far inside [0, 1]."""
ROUNDING = 32 * torch.finfo(torch.float32).eps
"""Rounding error of a float32 logit in units of the largest logit: a few bits for each of some layers."""
SAME = 0.01
"""Largest difference between float32 and float64 logits of one function, in units of the largest logit."""
JUMP = 10.0
"""Size of differences in units of the predicted ones, or the inverse, from which the logits jump or are flat for a fine
step, as behind rounding; if they do neither, the logits are smooth and the gradient lacks a part."""
LEVELS = 2
"""Smallest step of the wide trial in levels of 8 bits."""
TIES = 0.02
"""Largest random change of the pixels before the gradient is taken: among equal pixels, a maximum has no gradient."""
PROBE = "probe"
"""Stream of the random numbers."""


@dataclass(frozen=True)
class Trial:
    """Central differences with one step.

    Attributes:
        answer: maps images to logits (M, K).
        step: change of every pixel.
        rounding: error of a logit in units of the largest logit.
        tolerance: largest relative error of a true gradient.
    """

    answer: Callable[[Tensor], Tensor]
    step: float
    rounding: float
    tolerance: float


class GradientTruth:
    """Count the examples whose gradient does not tell how the gap between the label's and a rival's logit changes.

    The rival is the strongest wrong class of the example; a constant that is added to all logits has no effect on the
    gap. An example counts if the relative error over all directions is too large for a small step, and if the logits
    are smooth there or the error is too large for a wide step as well.

    Attributes:
        forwards: forward passes that were spent.
    """

    def __init__(self, network: FrozenNetwork, chunk: Chunk, threat: ThreatModel, batcher: MicroBatcher) -> None:
        self.network, self.chunk, self.threat, self.batcher = network, chunk, threat, batcher
        self.forwards = 0

    def points(self) -> Tensor:
        """Return points near the examples, without equal pixels, as far inside [0, 1] as the steps need."""
        x, ids = self.chunk.x, tuple(self.chunk.ids.tolist())
        draws = ExampleRandom(0, PROBE, ids, device=x.device).uniform(tuple(x.shape[1:]), 0, "ties")
        return 0.5 + (1 - 2 * (INSIDE + TIES)) * (x - 0.5) + TIES * (2 * draws - 1)

    def false_share(self, x: Tensor, slope: GradientResult, directions: int, to: int | None = None) -> float:
        """Return the share of examples with a false gradient.

        Args:
            x: points (M, C, H, W) of `points`.
            slope: the gradient of the negative margin at these points; with `to`, that of this class's lead.
            directions: number of random sign directions.
            to: the rival; by default the strongest wrong class of each example.
        """
        draws = ExampleRandom(0, PROBE, tuple(self.chunk.ids.tolist()), device=x.device)
        along = torch.stack([draws.signs(tuple(x.shape[1:]), k, "gradient truth") for k in range(directions)], 1)
        predicted = -(along * slope.gradient[:, None]).flatten(2).double().sum(2)
        rival = rivals(slope.logits, self.chunk.y).argmax(1) if to is None else torch.full_like(self.chunk.y, to)
        exact, rounding = self._exact(x[:1], slope.logits[:1]), ROUNDING
        if exact is None:
            rounding = max(ROUNDING, self._jitter(x, slope.logits))
            small = Trial(self.network.predict, COARSE, rounding, TOLERANCE)
        else:
            small = Trial(exact, FINE, 0.0, TOLERANCE)
        wide = Trial(self.network.predict, self._wide(x[:1]), rounding, WIDE_TOLERANCE)
        y = self.chunk.y
        wrong, ratio = self._wrong(small, x, along, predicted, y, rival)
        false = wrong & (ratio > 1 / JUMP) & (ratio < JUMP) if exact is not None else torch.zeros_like(wrong)
        doubted = wrong & ~false
        if doubted.any():
            parts = (each[doubted] for each in (x, along, predicted, y, rival))
            false[doubted] = self._wrong(wide, *parts)[0]
        return float(false.float().mean())

    def _wrong(
        self, trial: Trial, x: Tensor, along: Tensor, predicted: Tensor, y: Tensor, rival: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return for which points the differences contradict the gradient, and their size in units of the predicted."""
        actual, noise = self._differences(trial, x, along, y, rival)
        error, size = (actual - predicted).norm(dim=1), actual.norm(dim=1)
        return error > trial.tolerance * size + along.shape[1] ** 0.5 * noise, size / predicted.norm(dim=1)

    def _wide(self, x: Tensor) -> float:
        """Return the step of the wide trial, for one image."""
        return min(max(WIDE * self._whole(x), LEVELS / 255), INSIDE)

    def wide_share(self, x: Tensor) -> float:
        """Return the step of the wide trial in units of the change that uses the whole ball, for one image."""
        return self._wide(x) / self._whole(x)

    def _whole(self, x: Tensor) -> float:
        """Return the change of every pixel that uses the whole ball."""
        return self.threat.eps / distance(torch.ones_like(x), torch.zeros_like(x), self.threat.norm).item()

    def _jitter(self, x: Tensor, logits: Tensor) -> float:
        """Return how much logits change with a change of the images that is too small to matter."""
        self.forwards += len(x)
        moved = self.batcher(self.network.predict, x + FINE, differentiates=False)
        moved = self.network.class_logits(moved, self.chunk.y)
        return float(((moved - logits).abs().amax(1) / largest(logits)).max())

    def _exact(self, x: Tensor, logits: Tensor) -> Callable[[Tensor], Tensor] | None:
        """Return the network in float64, or None if it cannot run so or becomes another function."""
        self.forwards += 1
        try:
            answer = self.network.in_float64()
            off = (self.network.class_logits(answer(x), self.chunk.y[:1]) - logits).abs()
        except Exception:  # noqa: BLE001  (a network that insists on float32 may raise any error)
            return None
        return answer if bool((off <= SAME * largest(logits)).all()) else None

    def _differences(self, trial: Trial, x: Tensor, along: Tensor, y: Tensor, rival: Tensor) -> tuple[Tensor, Tensor]:
        """Return the slopes of the gap along directions (M, D), and the rounding error of each of them (M,)."""
        directions = along.shape[1]
        ends = torch.stack([x[:, None] + trial.step * along, x[:, None] - trial.step * along], 1).flatten(0, 2)
        logits = self.batcher(trial.answer, ends, differentiates=False)
        self.forwards += len(ends)
        label, other = (each.repeat_interleave(2 * directions) for each in (y, rival))
        logits = self.network.class_logits(logits, label)
        gaps = (label_logit(logits, label) - label_logit(logits, other)).double().unflatten(0, (len(x), 2, directions))
        # A slope is the difference of two gaps, each of two logits.
        size = largest(logits).double().unflatten(0, (len(x), -1)).amax(1)
        return (gaps[:, 0] - gaps[:, 1]) / (2 * trial.step), 2 * trial.rounding * size / trial.step
