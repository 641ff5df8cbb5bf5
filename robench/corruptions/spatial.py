"""Rotations and translations: all views of a grid (Engstrom et al., ICML 2019, Sec. 3.1; no ball, no gradient)."""

from itertools import product
from math import cos, radians, sin

import torch
import torch.nn.functional as F
from torch import Tensor

from robench.store.corrupted import SPATIAL

NAME = SPATIAL
VERSION = 1
"""Version of the views, raised when a view can come out differently."""
TURN, ANGLES = 30.0, 31
"""Largest angle to either side in degrees, and number of angles."""
SHIFT, SIDE, SHIFTS = 3.0, 32.0, 5
"""Largest shift to either side in pixels of an image of `SIDE` pixels, in proportion on others; shifts per axis."""

CONSTANTS = {"turn": TURN, "angles": ANGLES, "shift": SHIFT / SIDE, "shifts": SHIFTS}
"""Constants of the grid, for records."""

View = tuple[float, float, float]
"""Angle in degrees counter-clockwise, then shifts to the right and down as shares of a side."""


def grid() -> list[View]:
    """Return all views, the largest changes first: they break most examples, and broken ones skip the rest."""
    angles = [TURN * (2 * k / (ANGLES - 1) - 1) for k in range(ANGLES)]
    shifts = [SHIFT / SIDE * (2 * k / (SHIFTS - 1) - 1) for k in range(SHIFTS)]

    def extent(view: View) -> float:
        angle, right, down = view
        return abs(angle) / TURN + (abs(right) + abs(down)) * SIDE / SHIFT

    return sorted(product(angles, shifts, shifts), key=extent, reverse=True)


@torch.no_grad()
def moved(x: Tensor, view: View) -> Tensor:
    """Turn images about their middle, then shift them: bilinear, black where nothing was.

    Args:
        x: (N, C, H, W), in [0, 1].
        view: see `View`.

    Returns:
        Images like x.
    """
    angle, right, down = view
    height, width = x.shape[-2:]
    c, s = cos(radians(angle)), sin(radians(angle))
    # The place that a pixel comes from, in halves of a side from the middle: undo first the shift, then the turn.
    turn = torch.tensor([[c, -s * height / width], [s * width / height, c]], dtype=torch.float64)
    shift = turn @ torch.tensor([-2 * right, -2 * down], dtype=torch.float64)
    affine = torch.cat([turn, shift[:, None]], dim=1).to(x)
    places = F.affine_grid(affine.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, places, mode="bilinear", padding_mode="zeros", align_corners=False)


RULE = (
    f"Worst of {ANGLES * SHIFTS**2} views: {ANGLES} angles to {TURN:g} degrees, {SHIFTS} x {SHIFTS} shifts to "
    f"{SHIFT:g} pixels of {SIDE:g}, bilinear, black outside (Engstrom et al. 2019)."
)
"""A note for readers of the numbers."""
