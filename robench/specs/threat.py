"""The threat model: the perturbations that an attack may make."""

from math import inf, isfinite
from typing import Literal, get_args

from robench.errors import InputError
from robench.specs.base import Declared, fraction

Norm = Literal["linf", "l2", "l1"]
"""The name of a norm; the class with its geometry stands in `robench.numerics.norms.P_NORMS`."""
NORMS: tuple[Norm, ...] = get_args(Norm)
ORDERS: dict[Norm, float] = {"linf": inf, "l2": 2.0, "l1": 1.0}
"""The order p of each norm, as NumPy takes it."""
LARGEST: dict[Norm, float] = {"linf": 1.0, "l2": 1000.0, "l1": 1e6}
"""The largest sensible eps: with more, every image in [0, 1] is in the ball (linf), or that of a million values
(l2, l1), and eps is a typing error."""
NUMBERS: dict[object, Norm] = {order: norm for norm, order in ORDERS.items()}
"""Norms by their order."""


def _plain(number: object) -> object:
    """Return a number of Python for one of torch; those of NumPy keep their short text."""
    kept = isinstance(number, int | float) or type(number).__module__ == "numpy"
    return number if kept or not hasattr(number, "item") else number.item()


class ThreatModel(Declared):
    """All perturbations of at most `eps` in `norm`, for images in [0, 1].

    `text` keeps eps as the user wrote it ("8/255" is not "0.031"); `eps` is the value.
    """

    norm: Norm
    text: str
    eps: float

    @classmethod
    def parse(cls, norm: str | float, eps: str | float) -> "ThreatModel":
        """Parse norm and eps as a user wrote them; the numbers 1, 2 and infinity are norms, too.

        Raises:
            InputError: unknown norm, or eps is not a positive number of a sensible size.
        """
        named = norm.lower() if isinstance(norm, str) else NUMBERS.get(_plain(norm), str(norm))
        if named not in NORMS:
            raise InputError(f"unknown norm '{named}': use {', '.join(NORMS[:-1])} or {NORMS[-1]}.")
        text = eps.strip() if isinstance(eps, str) else str(_plain(eps))
        try:
            value = fraction(text)
        except (ValueError, OverflowError):
            raise InputError(f"eps '{text}' is not a number: write it like 8/255 or 0.031.") from None
        if not isfinite(value) or value <= 0:
            raise InputError(f"eps '{text}' must be positive and finite: write it like 8/255 or 0.031.")
        if value > LARGEST[named]:
            hint = f"did you mean {text}/255?" if value <= 255 else "images are in [0, 1]."
            raise InputError(f"eps '{text}' is too large for {named} on images in [0, 1]: {hint}")
        return cls(norm=named, text=text, eps=value)

    def __str__(self) -> str:
        return f"{self.norm} {self.text}"
