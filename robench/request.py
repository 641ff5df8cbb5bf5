"""What an evaluation is asked for: a network and how to run it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from robench.classifiers import load_card
from robench.classifiers.precision import PRECISIONS, Precision
from robench.errors import InputError
from robench.service import Service
from robench.specs import Card

CHUNK = 1024
"""Examples that advance together: enough for full micro-batches, few enough to lose little."""


@dataclass(frozen=True)
class Subject:
    """A network to evaluate: its name, what of it can change a verdict, and how to get it."""

    model: str
    identity: dict[str, Any]
    load: Callable[[], nn.Module]
    service: Service | None = None
    """The network itself, where it can only be asked."""

    @classmethod
    def of_card(cls, card: Card) -> "Subject":
        """A registered defense."""
        return cls(card.name, card.identity(), lambda: load_card(card))


@dataclass(frozen=True)
class Settings:
    """How to run; only `seed` and `precision` can change a verdict."""

    seed: int = 0
    precision: Precision = "fp32"
    device: str = "auto"
    batch_size: int | None = None
    chunk_size: int = CHUNK
    save_adversarial: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"unknown precision '{self.precision}': use {', '.join(PRECISIONS)}.")
        sizes = {"seed": self.seed, "chunk_size": self.chunk_size, "batch_size": self.batch_size}
        for name, value in sizes.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise InputError(f"{name} {value!r} must be a whole number.")
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size} must be at least 1.")
        if self.seed < 0:
            raise InputError(f"seed {self.seed} must not be negative.")
        if self.chunk_size < 1:
            raise InputError(f"chunk_size {self.chunk_size} must be at least 1.")
