"""Exact points of l1 balls cut by a box (Croce & Hein 2021, "Mind the box", ICML 2021).

A row is an example: `room` (N, D) is how far each value may move, `budget` (N,) how far all values of a row together.
All numbers are float64.
"""

import torch
from torch import Tensor, where


def shortened(values: Tensor, room: Tensor, budget: float) -> Tensor:
    """Return the points nearest to `values` with |d_i| <= room_i and sum_i |d_i| <= budget, exactly.

    Where the values are too long, d_i = sign(v_i) min(max(|v_i| - cut, 0), room_i). The sum falls with the cut along
    straight lines, with knots where a value leaves its limit, at |v_i| - room_i, and where it reaches 0, at |v_i|.

    Args:
        values: any numbers (N, D).
        room: at least 0, infinity included; counts in the direction of each value.
        budget: above 0, the same for all rows.
    """
    result = values.abs().minimum(room)
    rows = (result.sum(1) > budget).nonzero().flatten()
    if len(rows):
        result[rows] = _cut(values[rows].abs(), room[rows], budget)
    return values.sign() * result


def _cut(size: Tensor, room: Tensor, budget: float) -> Tensor:
    """Return the sizes of `shortened` for rows that are too long."""
    begin, most = (size - room).clamp_min(0), size.minimum(room)
    knots, order = torch.cat([begin, size], 1).sort(dim=1)
    falling = where(order < size.shape[1], 1.0, -1.0).to(size.dtype).cumsum(1)
    left = most.sum(1, keepdim=True) - (falling[:, :-1] * knots.diff(dim=1)).cumsum(1)
    # The cut lies between knot `at` and the next one, where the sum falls below the budget.
    at = (left > budget).sum(1, keepdim=True).clamp_max(left.shape[1] - 1)
    low, high = knots.gather(1, at), knots.gather(1, at + 1)
    moves, full = (begin <= low) & (size >= high) & (most > 0), begin >= high
    kept = where(moves, size, where(full, most, 0.0)).sum(1, keepdim=True)
    cut = ((kept - budget) / moves.sum(1, keepdim=True).clamp_min(1)).minimum(high).maximum(low)
    return (size - cut).clamp_min(0).minimum(room)


def greedy(slope: Tensor, room: Tensor, budget: Tensor) -> Tensor:
    """Return the d with |d_i| <= room_i and sum_i |d_i| <= budget that makes slope . d largest, exactly.

    Values move as far as they may, the steepest first; values without slope stay.
    """
    order = slope.abs().argsort(dim=1, descending=True, stable=True)
    sorted_room = where(slope != 0, room, 0.0).gather(1, order)
    before = sorted_room.cumsum(1) - sorted_room
    taken = (budget[:, None] - before).clamp_min(0).minimum(sorted_room)
    return slope.sign() * torch.zeros_like(room).scatter(1, order, taken)


def cheapest(slope: Tensor, room: Tensor, gain: Tensor) -> Tensor:
    """Return the d of least sum_i |d_i| with |d_i| <= room_i and slope . d = gain; all room if the gain is beyond it.

    Args:
        slope, room: (N, D).
        gain: at least 0, (N,).
    """
    speed = slope.abs()
    order = speed.argsort(dim=1, descending=True, stable=True)
    sorted_room, sorted_speed = room.gather(1, order), speed.gather(1, order)
    each = sorted_room * sorted_speed
    missing = (gain[:, None] - (each.cumsum(1) - each)).clamp_min(0)
    taken = where(missing < each, missing / sorted_speed.clamp_min(torch.finfo(speed.dtype).tiny), sorted_room)
    taken = where((sorted_speed > 0) & (missing > 0), taken, 0.0)
    return slope.sign() * torch.zeros_like(room).scatter(1, order, taken)


def steps(center: Tensor, delta: Tensor) -> Tensor:
    """Return center + delta in the center's precision, every value rounded towards the center.

    So a sum of |d_i| over any number of values does not grow by rounding.
    """
    point = (center.double() + delta).to(center.dtype)
    beyond = (point.double() - center.double()).abs() > delta.abs()
    return where(beyond, torch.nextafter(point, center), point)
