"""Rotations and translations: every view of a grid (Engstrom et al., ICML 2019, Sec. 3.1; no ball, no gradient)."""

from itertools import product
from math import cos, radians, sin

import torch
import torch.nn.functional as F
from torch import Tensor

from robench.store.corrupted import SPATIAL

NAME = SPATIAL
VERSION = 1
"""Raised when a view can come out differently."""
TURN, ANGLES = 30.0, 31
"""Degrees to either side, and how many angles between."""
SHIFT, SIDE, SHIFTS = 3.0, 32.0, 5
"""Pixels to either side on images of `SIDE` pixels, in proportion on others, and how many shifts on either axis."""

CONSTANTS = {"turn": TURN, "angles": ANGLES, "shift": SHIFT / SIDE, "shifts": SHIFTS}
"""What the grid is made of."""

View = tuple[float, float, float]
"""Degrees counter-clockwise, and the shares of a side by which the image then moves right and down."""


def grid() -> list[View]:
    """All views, the furthest from the image itself first: those break most, and what is broken needs no others."""
    angles = [TURN * (2 * k / (ANGLES - 1) - 1) for k in range(ANGLES)]
    shifts = [SHIFT / SIDE * (2 * k / (SHIFTS - 1) - 1) for k in range(SHIFTS)]

    def extent(view: View) -> float:
        angle, right, down = view
        return abs(angle) / TURN + (abs(right) + abs(down)) * SIDE / SHIFT

    return sorted(product(angles, shifts, shifts), key=extent, reverse=True)


@torch.no_grad()
def moved(x: Tensor, view: View) -> Tensor:
    """Images turned about their middle and then shifted: bilinear, black where nothing was.

    Args:
        x: (N, C, H, W), in [0, 1].
        view: see `View`.

    Returns:
        Images like x.
    """
    angle, right, down = view
    height, width = x.shape[-2:]
    c, s = cos(radians(angle)), sin(radians(angle))
    # From where a pixel comes, in halves of a side about the middle: first the shift is undone, then the turn.
    turn = torch.tensor([[c, -s * height / width], [s * width / height, c]], dtype=torch.float64)
    shift = turn @ torch.tensor([-2 * right, -2 * down], dtype=torch.float64)
    affine = torch.cat([turn, shift[:, None]], dim=1).to(x)
    places = F.affine_grid(affine.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, places, mode="bilinear", padding_mode="zeros", align_corners=False)


RULE = (
    f"Worst of {ANGLES * SHIFTS**2} views: {ANGLES} angles to {TURN:g} degrees, {SHIFTS} x {SHIFTS} shifts to "
    f"{SHIFT:g} pixels of {SIDE:g}, bilinear, black outside (Engstrom et al. 2019)."
)
"""What a reader of the numbers must know."""
