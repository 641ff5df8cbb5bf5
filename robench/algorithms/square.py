"""The Square attack: random search with squares."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, where

from robench.algorithms.base import STRICT, Algorithm, Positive, State, Task
from robench.numerics.ball import TINY, per_example
from robench.numerics.randomness import one_of
from robench.specs import Access, Norm

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which the share of changed pixels is halved, for a budget of 10,000 (paper and its code)."""


@dataclasses.dataclass(frozen=True)
class SquareSearch(State):
    """The proposal x, the best point so far (N, C, H, W) and its margin (N,)."""

    best: Tensor
    margin: Tensor


@dataclass(frozen=True, config=STRICT)
class Square(Algorithm[SquareSearch]):
    """Algorithm 1 of Andriushchenko et al. 2020 (Square attack, ECCV 2020).

    Each query changes one square window of the best point so far, chosen at random, and is kept if the
    margin Z_y - max Z_k falls. For linf the window moves by +-2 eps per channel before the projection
    (Alg. 2), and the start is vertical stripes of +-eps. For l2 a second window gives its budget to the
    first (Alg. 3), and the start is a grid of bumps; see `_bump`. For l1 (Croce & Hein 2021, "Mind the box", ICML
    2021) the same is done with sums of changes in place of lengths, with more peaked bumps, and with a budget for each
    channel that the exact projection cuts down. Each example has separate random numbers.

    Windows reach every pixel, as in the paper (positions 0 to w - h inclusive); the paper's code and AutoAttack
    never touch the last row and column, which on small images costs them a few points. `inner` copies that.

    The sides of the squares follow the paper's schedule for 10,000 queries whatever the budget, as in
    AutoAttack, so a short run is the beginning of a long one. The engine's look at the last proposal is
    a query, too: s steps mean s + 1 queries.

    Attributes:
        share: p, the share of pixels that a square covers at first.
        inner: whether windows stay off the last row and column.
    """

    share: Positive = 0.8
    inner: bool = False

    access: ClassVar[Access] = "score"
    can_aim: ClassVar[bool] = True

    def init(self, task: Task) -> SquareSearch:
        """Return the paper's start, not queried yet."""
        start = STARTS[task.ball.norm](task)
        return SquareSearch(start, best=task.x, margin=torch.full_like(task.x[:, 0, 0, 0], float("inf")))

    def step(self, state: SquareSearch, t: int, task: Task) -> SquareSearch:
        """Query the proposal, keep it if it is better, and make the next one."""
        found = task.goal.margin(task.oracle.logits(state.x, candidate=True))
        better = found < state.margin
        best = where(per_example(better, task.x), state.x, state.best)
        x = PROPOSALS[task.ball.norm](best, covered(self.share, t + 1), t + 1, task, spare=int(self.inner))
        return SquareSearch(x, best=best, margin=where(better, found, state.margin))


def covered(share: float, query: int) -> float:
    """Return the share of pixels that the square of a query covers, for the share of the first square."""
    return share * 0.5 ** sum(query > after for after in HALVINGS)


def _signs(uniform: Tensor) -> Tensor:
    return (uniform < 0.5).to(uniform.dtype) * 2 - 1


def _stripes(task: Task) -> Tensor:
    """Make the start for linf: +-eps, equal along each column of each channel."""
    _, channels, _, width = task.x.shape
    return task.x + task.ball.eps * _signs(task.random.uniform((channels, 1, width), 0, "start"))


def _one_square(best: Tensor, share: float, query: int, task: Task, *, spare: int) -> Tensor:
    """Move a window of the best point by +-2 eps, one sign per channel (Alg. 2); the engine projects."""
    _, channels, height, width = best.shape
    side = min(max(round((share * height * width) ** 0.5), 1), height, width)
    draws = task.random.uniform((2 + channels,), query, "square")
    ((rows, columns),) = _windows(draws[:, :2], side, query, task, spare)
    inside = _mask(rows, height)[:, None, :, None] & _mask(columns, width)[:, None, None, :]
    return best + 2 * task.ball.eps * _signs(draws[:, 2:])[:, :, None, None] * inside


def _two_squares(best: Tensor, share: float, query: int, task: Task, *, spare: int) -> Tensor:
    """Renew the perturbation in a window with the budget of another window, which is emptied (Alg. 3)."""
    n, channels, height, width = best.shape
    limit = min(height, width) - (1 - min(height, width) % 2)
    side = min(max(round((share * height * width) ** 0.5), 3) // 2 * 2 + 1, limit)
    draws = task.random.uniform((5 + channels,), query, "square")
    delta = best - task.x
    here, there = (
        (_mask(rows, height)[:, None, :, None] & _mask(columns, width)[:, None, None, :], rows, columns)
        for rows, columns in _windows(draws[:, :4], side, query, task, spare)
    )
    unused = (task.ball.eps**2 - _length(delta, (1, 2, 3)) ** 2).clamp_min(0) / channels
    budget = (unused + _length(delta * (here[0] | there[0])) ** 2).sqrt()
    at = (
        torch.arange(n, device=best.device)[:, None, None, None],
        torch.arange(channels, device=best.device)[None, :, None, None],
        here[1][:, None, :, None],
        here[2][:, None, None, :],
    )
    old = delta[at]
    bump = _bump(side, best)
    bump = where((draws[:, 4] < 0.5)[:, None, None, None], bump, bump.T)
    new = bump * _signs(draws[:, 5:])[:, :, None, None] + old / _length(old).clamp_min(TINY)
    delta = delta * ~there[0]
    delta[at] = new / _length(new).clamp_min(TINY) * budget
    delta = task.ball.restrict(delta)
    return task.x + delta / _length(delta, (1, 2, 3)).clamp_min(TINY) * task.ball.eps


def _two_squares_l1(best: Tensor, share: float, query: int, task: Task, *, spare: int) -> Tensor:
    """Do the same as `_two_squares` with sums of changes; the engine projects."""
    n, channels, height, width = best.shape
    limit = min(height, width) - (1 - min(height, width) % 2)
    side = min(max(round((share * height * width) ** 0.5), 3) // 2 * 2 + 1, limit)
    draws = task.random.uniform((5 + channels,), query, "square")
    delta = best - task.x
    (rows, columns), (other_rows, other_columns) = _windows(draws[:, :4], side, query, task, spare)
    here, there = (
        _mask(down, height)[:, None, :, None] & _mask(across, width)[:, None, None, :]
        for down, across in ((rows, columns), (other_rows, other_columns))
    )
    unused = (task.ball.eps - _sum(delta, (1, 2, 3))).clamp_min(0)
    budget = unused + channels * _sum(delta * (here | there))
    at = (
        torch.arange(n, device=best.device)[:, None, None, None],
        torch.arange(channels, device=best.device)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    )
    old = delta[at]
    bump = _bump(side, best, power=4)
    bump = where((draws[:, 4] < 0.5)[:, None, None, None], bump, bump.T)
    new = bump * _signs(draws[:, 5:])[:, :, None, None] + old / _sum(old).clamp_min(TINY)
    delta = delta * ~there
    delta[at] = new / _sum(new).clamp_min(TINY) * budget
    return task.x + delta


def _grid_l1(task: Task) -> Tensor:
    """Make the start for l1: bumps of sum 1, or more if all together would stay below eps; the engine projects."""
    delta = task.ball.restrict(_tiles(task, power=4))
    return task.x + delta * (task.ball.eps / _sum(delta, (1, 2, 3)).clamp_min(TINY)).clamp_min(1.0)


def _grid(task: Task) -> Tensor:
    """Make the start for l2: bumps, of random sign per channel, on a grid of five by five tiles, of length eps."""
    delta = task.ball.restrict(_tiles(task))
    return task.x + delta / _length(delta, (1, 2, 3)).clamp_min(TINY) * task.ball.eps


def _tiles(task: Task, power: int = 2) -> Tensor:
    """Make bumps, of random sign per channel, on a grid of five by five tiles."""
    _, channels, height, width = task.x.shape
    side = max(height // 5, 1)
    down, across = range(0, height - side + 1, side), range(0, width - side + 1, side)
    draws = task.random.uniform((channels, len(down), len(across)), 0, "start")
    turned = task.random.uniform((len(down), len(across)), 0, "turn") < 0.5
    bump, delta = _bump(side, task.x, power), torch.zeros_like(task.x)
    for i, top in enumerate(down):
        for j, left in enumerate(across):
            tile = where(turned[:, None, i, j, None, None], bump, bump.T)
            delta[:, :, top : top + side, left : left + side] = tile * _signs(draws[:, :, i, j])[:, :, None, None]
    return delta


def _bump(side: int, like: Tensor, power: int = 2) -> Tensor:
    """Make eta of Sec. 3.3: two rectangular bumps of opposite signs, one above the other, of total length 1.

    With power 2 it is the bump for l2, with power 4 that for l1, whose length is the sum of sizes.
    """
    size = _length if power == 2 else _sum
    bump = torch.cat([_rectangles(side // 2, side, like, power), -_rectangles(side - side // 2, side, like, power)])
    return bump / size(bump, (0, 1)).clamp_min(TINY)


def _rectangles(height: int, width: int, like: Tensor, power: int) -> Tensor:
    """Make a pyramid of centred rectangles, the k-th of weight 1 / k^power, of length 1."""
    pyramid = like.new_zeros(height, width)
    row, column = height // 2, width // 2
    for k in range(max(height, width) // 2 + 1):
        pyramid[max(row - k, 0) : row + k + 1, max(column - k, 0) : column + k + 1] += 1 / (k + 1) ** power
    size = _length if power == 2 else _sum
    return pyramid / size(pyramid, (0, 1)).clamp_min(TINY)


def _windows(draws: Tensor, side: int, query: int, task: Task, spare: int) -> list[tuple[Tensor, Tensor]]:
    """Make a window for every two columns of `draws`; with a mask, every window holds a pixel that may change."""
    pairs, (height, width), mask = draws.split(2, dim=1), task.x.shape[2:], task.ball.mask
    if mask is None:
        return [_window(pair, side, height, width, spare) for pair in pairs]
    chosen, free = task.random.uniform((len(pairs),), query, "pixel"), mask.any(1).flatten(1)
    pixels = [one_of(free, chosen[:, at]) for at in range(len(pairs))]
    return [_around(pixel, pair, side, height, width, spare) for pixel, pair in zip(pixels, pairs, strict=True)]


def _around(pixel: Tensor, draws: Tensor, side: int, height: int, width: int, spare: int) -> tuple[Tensor, Tensor]:
    """Return rows and columns (N, side) of a window that holds a pixel (N,), placed by two numbers in [0, 1)."""
    span, back = torch.arange(side, device=draws.device), (draws * side).long()
    # Among the last rows and columns, the pixel goes before the spare ones.
    row, column = pixel // width, pixel % width
    down, right = (max(size - side - spare, 0) for size in (height, width))
    top = (row - back[:, 0]).clamp(0, down).maximum((row - side + 1).clamp(max=height - side))
    left = (column - back[:, 1]).clamp(0, right).maximum((column - side + 1).clamp(max=width - side))
    return top[:, None] + span, left[:, None] + span


def _window(draws: Tensor, side: int, height: int, width: int, spare: int) -> tuple[Tensor, Tensor]:
    """Return rows and columns (N, side) of a window, placed by two numbers in [0, 1), off the `spare` last ones."""
    span = torch.arange(side, device=draws.device)
    top = (draws[:, :1] * max(height - side + 1 - spare, 1)).long()
    left = (draws[:, 1:] * max(width - side + 1 - spare, 1)).long()
    return top + span, left + span


def _mask(places: Tensor, size: int) -> Tensor:
    """Return whether each of `size` places is in the window, bool (N, size)."""
    at = torch.arange(size, device=places.device)
    return (at >= places[:, :1]) & (at <= places[:, -1:])


def _length(x: Tensor, over: tuple[int, ...] = (2, 3)) -> Tensor:
    """Return the l2 norm of each channel, or over the given axes, which are kept with size 1."""
    return x.square().sum(over, keepdim=True).sqrt()


def _sum(x: Tensor, over: tuple[int, ...] = (2, 3)) -> Tensor:
    """Return the l1 norm of each channel, or over the given axes, which are kept with size 1."""
    return x.abs().sum(over, keepdim=True)


STARTS: dict[Norm, Callable[[Task], Tensor]] = {"linf": _stripes, "l2": _grid, "l1": _grid_l1}
PROPOSALS: dict[Norm, Callable[..., Tensor]] = {"linf": _one_square, "l2": _two_squares, "l1": _two_squares_l1}

ALGORITHM = Square
