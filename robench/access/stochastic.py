"""Networks that answer differently twice: repeated draws for attacks and for the judge.

An attack step uses the mean over R draws of the network's randomness (expectation over transformation, Athalye et al.
2018, "Synthesizing Robust Adversarial Examples"). The judge asks `JUDGE_DRAWS` times: a point is a success if more than
half of the answers are.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from robench.access.microbatches import MicroBatcher
from robench.access.row_random import SharedDraw, one_draw, parts_of
from robench.classifiers.frozen import FrozenNetwork
from robench.classifiers.outputs import TWICE, check_logits, largest
from robench.data.pixels import Images
from robench.numerics.goal import Goal

JUDGE_DRAWS = 64
"""Answers that the judge draws for each point."""
BLOCK = 16
"""Draws after which the judge drops the points that are decided."""
GOLDEN, MIX_1, MIX_2 = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""Constants of SplitMix64 (Steele et al. 2014)."""

Ask = Callable[[Tensor], Tensor]
"""A function from images to logits (M, K)."""


class Expectation(NamedTuple):
    """Result of a function over several draws.

    Attributes:
        means: the outputs of the function, averaged over the draws.
        won: share of the draws that are a success, float32 (M,).
    """

    means: tuple[Tensor, ...]
    won: Tensor


class Votes(NamedTuple):
    """Answers of a network to repeated questions about some points, on the CPU.

    Attributes:
        counts: number of answers of each class, int64 (M, K).
        won: number of answers that are a success, int64 (M,).
        draws: number of answers, int64 (M,).
        finite: whether all logits were finite, bool (M,).
        varied: whether the answers differ, bool (M,).
    """

    counts: Tensor
    won: Tensor
    draws: Tensor
    finite: Tensor
    varied: Tensor

    def right(self, y: Tensor) -> Tensor:
        """Return how many answers were the label, int64 (M,)."""
        return self.counts.gather(1, y.cpu()[:, None])[:, 0]

    def prediction(self, y: Tensor) -> Tensor:
        """Return the label if at least half of the answers gave it, else the most frequent other class, int64 (M,)."""
        y = y.cpu()
        other = self.counts.scatter(1, y[:, None], -1).argmax(1)
        return torch.where(2 * self.right(y) >= self.draws, y, other)


@dataclass
class Draws:
    """The randomness of a network, drawn by seeds that belong to an example and to a question.

    Attributes:
        count: draws for each question of an attack, R.
        seed: the user's seed.
        by_row: whether the network draws row by row; if not, it is asked for one row at a time.
        repeats: whether equal seeds give equal answers; False if the network has a source of randomness that cannot be
            seeded.
        parts: what each random operation draws for a row, if the network draws row by row (`RowRandom.parts`).
    """

    count: int
    seed: int
    by_row: bool = False
    repeats: bool = True
    parts: list[int] | None = None

    @classmethod
    def recognised(cls, count: int, seed: int, network: Ask, x: Tensor) -> "Draws":
        """Find out how a network draws.

        Args:
            count: draws for each question of an attack.
            seed: the user's seed.
            network: is asked for a few images.
            x: images (M, C, H, W), of which a few are used.
        """
        few = variants(x[:1])
        parts = parts_of(network, few)
        draws = cls(count, seed, by_row=parts is not None, parts=parts)
        seeds = range(len(few))
        alone = cls(count, seed).ask(network, seeds, few)
        if draws.by_row and not _alike(alone, draws.ask(network, seeds, few)):
            draws = cls(count, seed)  # the parts of a row do not lie side by side
        if not _alike(alone, cls(count, seed).ask(network, seeds, few)):
            draws = cls(count, seed, repeats=False)
        return draws

    def ask(self, function: Callable[..., Any], seeds: Any, *parts: Tensor) -> Any:
        """Call a function whose rows draw by their seeds; a network that draws for several rows gets one at a time."""
        seeds = [int(each) for each in seeds]
        if self.by_row:
            try:
                return one_draw(function, seeds, *parts, by_row=True, expected=self.parts)
            except SharedDraw:
                self.by_row = False
        return one_draw(function, seeds, *parts, by_row=False)

    def seeds(self, purpose: str, ids: Tensor, questions: Tensor, draws: Tensor) -> Tensor:
        """Return a seed for each triple of example, question and draw, int64 (M,), all arguments int64 (M,)."""
        text = f"{self.seed}|{purpose}".encode()
        mixed = np.frombuffer(hashlib.sha256(text).digest()[:8], dtype=np.uint64)
        for part in (ids, questions, draws):
            mixed = _mixed(mixed ^ part.cpu().numpy().astype(np.uint64))
        return torch.from_numpy((mixed >> np.uint64(1)).astype(np.int64))

    def expectation(
        self,
        batcher: MicroBatcher,
        function: Callable[..., tuple[Tensor, ...]],
        goal: Goal,
        ids: Tensor,
        questions: Tensor,
        *parts: Tensor,
        differentiates: bool = True,
    ) -> Expectation:
        """Return the mean of a function's outputs over R draws, and the share of draws that are a success.

        Args:
            batcher: calls the function on micro-batches.
            function: runs the network; its last output is the logits (M, K).
            goal: the predictions that are a success at each point.
            ids, questions: example of each point and number of its question, int64 (M,).
            parts: arguments of the function.
            differentiates: whether the function makes a backward pass.
        """
        n = len(ids)
        size = batcher.size if differentiates else batcher.forward_size
        together = max(1, min(self.count, size // max(n, 1)))
        sums: list[Tensor] = []
        won = torch.zeros_like(ids, dtype=torch.float32)
        for first in range(0, self.count, together):
            draws = torch.arange(first, min(first + together, self.count))
            rows = torch.arange(n).repeat_interleave(len(draws))
            seeds = self.seeds("search", ids.cpu()[rows], questions.cpu()[rows], draws.repeat(n))
            here = rows.to(ids.device)
            answers = batcher(
                lambda seeds, *rest: self.ask(function, seeds, *rest),
                seeds, *(part[here] for part in parts), differentiates=differentiates,
            )  # fmt: skip
            won += goal.take(here).reached(answers[-1]).float().view(n, -1).sum(1)
            folded = [each.unflatten(0, (n, len(draws))) for each in answers]
            added = [each.sum(1) if each.is_floating_point() else each[:, 0] for each in folded]
            sums = [a + b if a.is_floating_point() else a for a, b in zip(sums, added, strict=True)] if sums else added
        means = (each / self.count if each.is_floating_point() else each for each in sums)
        return Expectation(tuple(means), won / self.count)

    def votes(
        self, batcher: MicroBatcher, network: Ask, x: Images, ids: Tensor, goal: Goal, *, all_draws: bool = True
    ) -> Votes:
        """Ask the network `JUDGE_DRAWS` times about each point, with the judge's seeds.

        Args:
            batcher: calls the network.
            network: maps images to logits.
            x: the points (M, C, H, W).
            ids: example of each point (M,).
            goal: the predictions that are a success at each point.
            all_draws: whether all draws are wanted also for points that are no success any more whatever follows.
        """
        n, left = len(ids), torch.arange(len(ids))
        ids, goal = ids.cpu(), goal.to(torch.device("cpu"))
        counts = won = seen = torch.zeros(n, dtype=torch.int64)
        finite, varied = torch.ones(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)
        for first in range(0, JUDGE_DRAWS, BLOCK):
            rows = left.repeat_interleave(BLOCK)
            draws = torch.arange(first, first + BLOCK).repeat(len(left))
            seeds = self.seeds("judge", ids[rows], torch.zeros_like(rows), draws)
            logits = batcher(
                lambda seeds, rows: self.ask(network, seeds, x[rows]).cpu(), seeds, rows, differentiates=False
            )  # fmt: skip
            if not first:
                counts = torch.zeros(n, logits.shape[1], dtype=torch.int64)
                won, seen = (torch.zeros(n, dtype=torch.int64) for _ in range(2))
            chosen = one_hot(logits.argmax(1), logits.shape[1])
            counts[left] += chosen.unflatten(0, (-1, BLOCK)).sum(1)
            won[left] += goal.take(rows).reached(logits).unflatten(0, (-1, BLOCK)).sum(1)
            finite[left] &= logits.isfinite().all(1).unflatten(0, (-1, BLOCK)).all(1)
            answers = logits.unflatten(0, (-1, BLOCK))
            apart = (answers - answers[:, :1]).abs().flatten(1).amax(1)
            varied[left] |= apart > TWICE * largest(answers[:, 0])
            seen[left] += BLOCK
            if not all_draws:
                left = left[2 * (seen - won)[left] < JUDGE_DRAWS]
            if not len(left):
                break
        return Votes(counts, won, seen, finite, varied)


def variants(x: Tensor) -> Tensor:
    """Return a few unlike images made of one (1, C, H, W): itself, mirrored, inverted, dim and turned upside down."""
    return torch.cat([x, x.flip(3), 1.0 - x, 0.5 * x, x.flip(2)])


def _alike(first: Tensor, second: Tensor) -> bool:
    """Return whether two answers (M, K) are equal up to rounding; other checks refuse NaN and infinity by name."""
    same = (first == second) | (first.isnan() & second.isnan())
    off = (first - second).abs().masked_fill(same, 0.0).amax(1)
    return bool((off <= TWICE * largest(first.nan_to_num())).all())


class OneDraw(nn.Module):
    """One draw of a random network: the same random numbers for every image in every pass."""

    def __init__(self, network: nn.Module, draws: Draws) -> None:
        super().__init__()
        self.network, self.draws = network, draws

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (M, K)."""
        answer: Tensor = self.draws.ask(lambda part: check_logits(self.network(part), len(part)), [0] * len(x), x)
        return answer


def one_draw_of(network: FrozenNetwork, draws: Draws) -> FrozenNetwork:
    """Return a network that is not random: one draw of a random one, in the form in which verdicts are given."""
    module = OneDraw(network.module, draws)
    backward = None if network.backward is None else one_draw_of(network.backward, draws)
    return replace(network, module=module, layer=None, search="plain", accelerated_module=None, backward=backward)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return 64-bit numbers stirred by the finaliser of SplitMix64."""
    z = values + GOLDEN
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    return z ^ (z >> np.uint64(31))
