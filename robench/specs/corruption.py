"""The declared corruptions and the constants of their severities, as data. Never imports torch."""

from functools import cache
from typing import Annotated

from pydantic import BeforeValidator, Field

from robench.errors import unknown
from robench.paths import data_root
from robench.specs.base import Declared, build, read_stanzas

CORRUPTIONS = "corruptions.toml"
SEVERITIES = (1, 2, 3, 4, 5)

Constants = tuple[float, ...]
"""Constants of one severity of one corruption, in the order that its stanza explains."""


def _as_tuple(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Severities = Annotated[
    tuple[Annotated[Constants, BeforeValidator(_as_tuple)], ...],
    Field(min_length=len(SEVERITIES), max_length=len(SEVERITIES)),
]


class Corruption(Declared):
    """One stanza of `attacks/corruptions.toml`.

    Attributes:
        name: as in the published sets.
        about: meaning of the constants.
        extra: whether it is one of the four that the paper holds out; tables average over the other fifteen.
        small: CIFAR-10-C's constants, severities 1 to 5.
        large: ImageNet-C's constants, severities 1 to 5.
        alexnet: AlexNet's mean error on ImageNet-C in percent; the mCE divides errors by it.
    """

    name: str
    about: str
    extra: bool = False
    small: Severities
    large: Severities
    alexnet: float | None = Field(default=None, gt=0, le=100)


@cache
def declared() -> dict[str, Corruption]:
    """Read all corruptions by name, in the paper's order, the extra ones last.

    Raises:
        InputError: a malformed stanza.
    """
    path = data_root() / "attacks" / CORRUPTIONS
    return {name: build(Corruption, stanza, f"'{path}', corruption '{name}'") for name, stanza in read_stanzas(path)}


def corruptions() -> list[str]:
    """Return the names of the fifteen corruptions that tables average over, in the paper's order."""
    return [each.name for each in declared().values() if not each.extra]


def extra_corruptions() -> list[str]:
    """Return the names of the four corruptions that the paper holds out for tuning."""
    return [each.name for each in declared().values() if each.extra]


def find_corruption(name: str) -> Corruption:
    """Find a corruption by name.

    Raises:
        InputError: unknown corruption; the message names the nearest.
    """
    try:
        return declared()[name]
    except KeyError:
        raise unknown("corruption", name, list(declared())) from None
