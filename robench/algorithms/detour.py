"""Runs that begin outside the ball: for the l2 norm, where the gradient inside the ball often says little.

A network trained in linf hardly answers to small changes: on digits, the points that break it in a small l2 ball differ
from the image in two or three pixels, and around the image the gradient does not point to them. In a larger ball it
does; while the ball shrinks, the run keeps what it found. AutoAttack's l1 attacks begin in larger balls, too (Croce and
Hein: Mind the box, ICML 2021). The constants were chosen on training examples (tools/choose_detour.py).
"""

from dataclasses import replace

from robench.numerics.ball import Ball
from robench.specs import Norm

NORMS: tuple[Norm, ...] = ("l2",)
"""Norms in which runs begin outside the ball."""

STEPS = 4
"""Steps of a run whose points may lie outside the ball."""

REACH = 5.0
"""Radius of the first ball in units of eps."""

RATE = 2.0
"""First step size of a run in units of its ball's radius."""

HOPS = 3
"""Ordinary hops for which a hop from outside counts when examples are given up."""

CLASSES = 5
"""Wrong classes in the survey: a run that begins outside costs more, and depends less on the class."""


def widened(ball: Ball, i: int, outside: int) -> Ball:
    """Return the ball of the points before step i: from `REACH` eps, its radius falls to eps over `outside` steps."""
    if i >= outside:
        return ball
    return replace(ball, eps=ball.eps * (1 + (REACH - 1) * (1 - i / outside)))
