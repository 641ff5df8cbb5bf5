"""A3: Liu, Cheng, Gao, Liu, Zhang, Song: Practical evaluation of adversarial robustness via adaptive auto attack, CVPR
2022, arXiv:2203.05154; constants from github.com/liuye6666/adaptive_auto_attack.

Rounds of restarts, each from a random point of the ball: some steps of length eps along sign(grad(w . z)) for a
direction w of the logits, then steps on the margin max_{i != y} z_i - z_y whose length falls from eps along a cosine.

Adaptive direction initialisation. In the first round with directions, w is uniform in [-1, 1]. Of the examples that it
broke, the sum of w at the class they fell to and the sum at their own class say which sign helps; from the second round
on w at one wrong class is 0.8 with the former sign, the classes taking turns from the likeliest down, and w at y is
drawn from (-0.1, 0.5) or (-0.5, 0.1) by the latter sign. Both are multiplied by K / 10.

Online statistics-based discarding. Each round attacks a share of the survivors, those with the largest margin that any
of their points has reached, at least 100; the others rest. Shares fall and steps grow from round to round, unless the
directions alone break at least a twentieth of the first round's survivors: then all are attacked by short runs.

Unlike their code the first round's survivors are those of all batches; a point is queried once and not twice.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.peers.published.search import Search, gradient, margin, project

ROUNDS, BUDGET = 13, 1000
"""Rounds; iterations for each example, after which runs are cut to `SHORTEST` steps."""
SHORTEST, FEWEST, FEW = 15, 100, 0.1
"""Steps of a run at least; examples of a round at least; below this share of survivors all are attacked, more often."""
WORKS = 0.05
"""Share of survivors that the directions must break to be trusted."""


@dataclass(frozen=True)
class Round:
    """One round: the share of survivors, steps at most, steps along a direction before them, and restarts."""

    share: float
    steps: int
    directed: int
    restarts: int = 1


FIRST = (Round(1, 8, 0), Round(1, 8, 7), Round(1, 8, 7))
LONG = (
    Round(0.7, 25, 7), Round(0.6, 30, 7), Round(0.5, 30, 7), Round(0.4, 35, 7), Round(0.3, 40, 7), Round(0.2, 45, 7),
    Round(0.1, 50, 7), Round(0.1, 50, 7, 4), Round(0.065, 55, 7, 4), Round(0.03, 60, 7, 50),
)  # fmt: skip
"""Rounds 3 to 12 if the directions do not work."""
DIRECTED = (
    Round(1, 5, 10, 10), Round(1, 5, 15), Round(1, 10, 15), Round(1, 10, 10), Round(1, 15, 10), Round(1, 18, 10),
    Round(1, 20, 10), Round(0.8, 25, 10, 5), Round(0.5, 35, 10, 5), Round(0.5, 45, 10, 20),
)  # fmt: skip
"""Rounds 3 to 12 if they do."""


@dataclass
class Statistics:
    """What the rounds have seen.

    Attributes:
        wrong, own: sums of w over the broken examples, at the class they fell to and at their own.
        by_direction: how many examples the steps along directions broke.
        iterations: so far, each counted once for each example.
        best: the largest margin of each example, (N,).
    """

    best: Tensor
    wrong: float = 0.0
    own: float = 0.0
    by_direction: int = 0
    iterations: int = 0


@dataclass(frozen=True)
class Direction:
    """Which directions a restart takes: random ones, or those that the statistics favour.

    Attributes:
        order: all classes by their logits at a random corner of the ball, the largest first, (N, K).
        turn: which wrong class has its turn.
        works: whether directions alone break examples.
        final: whether this is one of the last rounds.
    """

    order: Tensor
    turn: int
    adaptive: bool
    works: bool
    final: bool


def attack(model: nn.Module, x: Tensor, y: Tensor, eps: float, seed: int, rounds: int = ROUNDS) -> Tensor:
    """Points (N, C, H, W)."""
    search = Search(model, x, y, eps, seed)
    search.look(search.active, x)
    corner = (x + eps * search.uniform(*x.shape).sign()).clamp(0, 1)
    order = _order(search, corner)
    seen = Statistics(torch.full_like(y, -torch.inf, dtype=x.dtype))
    turn, first = -2, 0
    for number in range(rounds):
        works = number > 2 and seen.by_direction >= WORKS * first
        now = planned(number, works, len(search.active) / max(len(x), 1), order.shape[1])
        for _ in range(now.restarts):
            turn += 1
            rows = kept(seen.best, search.active, now.share)
            if not len(rows):
                return search.points
            final = number >= (11 if works else 10)
            direction = Direction(order, turn, number > 1, works, final)
            left = (BUDGET * len(x) - seen.iterations) / (now.restarts * (ROUNDS - number))
            steps = min(max(int(left * len(rows)), SHORTEST), now.steps + now.directed)
            _restart(search, rows, replace(now, steps=steps), direction, seen)
        if number == 0:
            first = len(search.active)
    return search.points


def planned(number: int, works: bool, survivors: float, classes: int) -> Round:
    """The round of this number; `survivors` is their share of all examples."""
    now = FIRST[number] if number < len(FIRST) else (DIRECTED if works else LONG)[number - len(FIRST)]
    if classes > 100:
        last = number == ROUNDS - 1 and not works
        now = replace(now, steps=now.steps + 10, restarts=1 + (31 if last else now.restarts))
    if survivors < FEW:
        now = replace(now, share=1.0, restarts=now.restarts + 10)
    return now


def kept(best: Tensor, active: Tensor, share: float) -> Tensor:
    """The rows that a round attacks: of the active ones those with the largest margin."""
    number = min(max(FEWEST, int(len(active) * share)), len(active))
    return active[best[active].topk(number).indices.sort().values]


def directions(search: Search, rows: Tensor, how: Direction, seen: Statistics) -> Tensor:
    """w, (N, K)."""
    classes = how.order.shape[1]
    w = search.uniform(len(rows), classes)
    if not how.adaptive:
        return w
    many = classes > 10
    plus = many or how.works or how.final or seen.wrong >= 0
    low, high = (-0.1, 0.5) if how.works or (seen.own > 0 and not many) else (-0.5, 0.1)
    if how.final:
        low, high = (0.0, 0.0) if how.works else (-0.8, 0.1)
    turn = how.turn % cycle(classes, how.final and not how.works)
    other = how.order[rows].scatter(1, _place(how.order[rows], search.y[rows]), -1)
    place = other[other >= 0].view(len(rows), classes - 1)[:, turn % (classes - 1)]
    at = torch.arange(len(rows), device=w.device)
    w[at, search.y[rows]] = classes / 10 * search.uniform(1, low=low, high=high)
    w[at, place] = classes / 10 * (0.8 if plus else -0.8)
    return w


def cycle(classes: int, final: bool) -> int:
    """How many of the likeliest wrong classes take turns."""
    if classes <= 10:
        return 4 if final else 9
    return 14 if classes <= 100 else 20


def step_size(s: int, steps: int) -> float:
    """Length of step s of the margin's steps, in eps."""
    least = 0.1 if steps <= 10 else 0.001
    return least + (1 - least) * (1 + math.cos(math.pi * s / (steps + 1))) / 2


def _order(search: Search, corner: Tensor) -> Tensor:
    """The classes of the images that are not broken, the likeliest first; those of others are all 0."""
    rows = search.active
    logits = search.look(rows, corner[rows])
    order = torch.zeros(len(corner), logits.shape[1], dtype=torch.int64, device=corner.device)
    order[rows] = logits.argsort(dim=1, descending=True, stable=True)
    return order


def _place(order: Tensor, y: Tensor) -> Tensor:
    return (order == y[:, None]).long().argmax(1, keepdim=True)


def _restart(search: Search, rows: Tensor, now: Round, how: Direction, seen: Statistics) -> None:
    """Attack some rows once."""
    points, w = search.start(rows), directions(search, rows, how, seen)
    for i in range(now.directed + now.steps):
        y, directed = search.y[rows], i < now.directed
        climbed = partial(_along, w) if directed else partial(margin, y=y)
        slope, _, logits = gradient(search.model, points, climbed)
        stay = _booked(search, rows, points, logits, w, i, now, how, seen)
        rows, points, slope, w = rows[stay], points[stay], slope[stay], w[stay]
        if not len(rows):
            return
        seen.iterations += len(rows)
        length = 1.0 if directed else step_size(i - now.directed, now.steps)
        points = project(points + length * search.eps * slope.sign(), search.x[rows], search.eps)
    with torch.no_grad():
        logits = search.model(points)
    _booked(search, rows, points, logits, w, now.directed + now.steps, now, how, seen)


def _along(w: Tensor, logits: Tensor) -> Tensor:
    return (w * logits).sum(1)


def _booked(
    search: Search,
    rows: Tensor,
    points: Tensor,
    logits: Tensor,
    w: Tensor,
    taken: int,
    now: Round,
    how: Direction,
    seen: Statistics,
) -> Tensor:
    """Book points after so many steps, and what they say; return which rows stay."""
    stay = search.book(rows, points, logits)
    if taken:  # a random start says nothing of the steps
        seen.best[rows] = torch.maximum(seen.best[rows], margin(logits, search.y[rows]))
    if taken and now.directed and not how.adaptive:
        fell, own = logits[~stay].argmax(1, keepdim=True), search.y[rows][~stay, None]
        seen.wrong += float(w[~stay].gather(1, fell).sum())
        seen.own += float(w[~stay].gather(1, own).sum())
    if 0 < taken <= now.directed:
        seen.by_direction += int((~stay).sum())
    return stay
