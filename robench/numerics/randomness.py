"""Random numbers that belong to an example, not to a batch.

Every draw comes from NumPy's Philox, a counter-based generator (Salmon et al. 2011), whose key is
(seed, stream, purpose) and whose counter is (step, restart, example id). A draw therefore does not depend on
batch size, chunking, order, number of workers, or a resume.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

Draw = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class ExampleRandom:
    """The random numbers of some examples in one restart of one attack.

    Attributes:
        seed: the user's seed.
        stream: name of the attack; equal for attacks that must share their draws.
        ids: the examples' stable ids, (N,), non-negative.
        restart: number of the restart.
        device: of the drawn tensors.
    """

    seed: int
    stream: str
    ids: tuple[int, ...]
    restart: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def uniform(self, shape: tuple[int, ...], step: int, purpose: str) -> Tensor:
        """Draw numbers in [0, 1), float32, (N, *shape)."""
        return self._draw(lambda generator: generator.random(shape, dtype=np.float32), step, purpose)

    def normal(self, shape: tuple[int, ...], step: int, purpose: str) -> Tensor:
        """Draw standard normal numbers, float32, (N, *shape)."""
        return self._draw(lambda generator: generator.standard_normal(shape, dtype=np.float32), step, purpose)

    def signs(self, shape: tuple[int, ...], step: int, purpose: str) -> Tensor:
        """Draw -1 or 1 with equal chances (Rademacher), float32, (N, *shape)."""
        size = math.prod(shape)

        def draw(generator: np.random.Generator) -> np.ndarray:
            bits = np.unpackbits(np.frombuffer(generator.bytes(-(-size // 8)), dtype=np.uint8), count=size)
            return (2 * bits.astype(np.float32) - 1).reshape(shape)

        return self._draw(draw, step, purpose)

    def take(self, rows: Tensor) -> "ExampleRandom":
        """Return the random numbers of some of the examples."""
        ids = tuple(self.ids[row] for row in rows.tolist())
        return ExampleRandom(self.seed, self.stream, ids, self.restart, self.device)

    def _draw(self, draw: Draw, step: int, purpose: str) -> Tensor:
        philox = np.random.Philox(key=self._key(purpose))
        generator, state = np.random.Generator(philox), philox.state
        drawn = []
        for example in self.ids:
            state["state"]["counter"][:] = (0, step, self.restart, example)
            philox.state = state
            drawn.append(draw(generator))
        return torch.from_numpy(np.stack(drawn)).to(self.device)

    def _key(self, purpose: str) -> np.ndarray:
        text = f"{self.seed}|{self.stream}|{purpose}"
        return np.frombuffer(hashlib.sha256(text.encode()).digest()[:16], dtype=np.uint64)


def one_of(choices: Tensor, uniform: Tensor) -> Tensor:
    """Choose one of the true entries of each row with equal chances.

    Args:
        choices: bool (N, K), at least one True in each row.
        uniform: numbers in [0, 1), (N,).

    Returns:
        The places of the chosen entries, int64 (N,).
    """
    count = choices.sum(1)
    place = (uniform * count).long().minimum(count - 1)
    return (choices.cumsum(1) > place[:, None]).long().argmax(1)
