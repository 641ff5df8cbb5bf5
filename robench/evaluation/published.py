"""What published records and their points were made of: networks, examples, balls."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robench.access.judge import TIE, JudgeResult, judge_of
from robench.classifiers.frozen import FrozenNetwork, frozen_network
from robench.classifiers.outputs import largest
from robench.data.split import Split
from robench.evaluation.target import LEAST_LIKELY
from robench.evaluation.verified import Sources, mask_of
from robench.numerics.ball import Ball
from robench.numerics.losses import margin
from robench.store import Column, Header, Rows, Store, ids_sha256
from robench.store.examples import as_floats
from robench.store.grid import Point
from robench.store.points import NOT_RANDOM, PointsKey

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Evaluated:
    """Examples that records were made on.

    Attributes:
        x: images, float32 (N, C, H, W).
        y: labels, int64 (N,).
        ids: ids, int64 (N,).
    """

    x: Tensor
    y: Tensor
    ids: Column

    def take(self, rows: Column) -> "Evaluated":
        """Return the examples at some positions."""
        at = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        return Evaluated(self.x[at], self.y[at], self.ids[rows])

    def with_ids(self, ids: Iterable[int]) -> "Evaluated":
        """Return the examples with these ids, in their order; ids that are not there are left out."""
        place = {each: at for at, each in enumerate(self.ids.tolist())}
        return self.take(np.array([place[each] for each in ids if each in place], dtype=np.int64))


@dataclass
class Bench:
    """Networks, examples and masks of the published records of one results folder.

    Attributes:
        results: the folder.
        data_dir: folder of downloaded datasets.
    """

    results: Path
    data_dir: Path | None = None
    _sources: Sources = field(init=False)
    _found: dict[tuple[str, str], Evaluated | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._sources = Sources(self.results, data_dir=self.data_dir)

    @contextmanager
    def network(self, header: Header) -> Iterator[FrozenNetwork]:
        """Load the network of a record, frozen.

        Raises:
            InputError: it is not there, or not the one that was evaluated.
        """
        with frozen_network(self._sources.network(header, self._place(header)), CPU) as network:
            yield network

    def examples(self, header: Header) -> Evaluated | None:
        """Return the examples of a record in their order; None if a record does not tell which ones they are.

        Raises:
            InputError: they are not there, or others than those that were evaluated.
        """
        data = header.identity["data"]
        key = str(data["ids"]), str(data.get("sha256", ""))
        if key not in self._found:
            self._found[key] = self._examples(header, data["n"], key[0])
        return self._found[key]

    def _examples(self, header: Header, n: int, ids: str) -> Evaluated | None:
        whole = self._sources.examples(header, self._place(header))
        if not isinstance(whole, Split):
            return Evaluated(torch.from_numpy(as_floats(whole.x)), torch.from_numpy(whole.y), whole.ids)
        for split in _choices(whole, n, header.target):
            if ids_sha256(split.ids.numpy()) == ids:
                return Evaluated(split.x[:], split.y, split.ids.numpy())
        return None

    def ids(self, header: Header) -> Column | None:
        """Return the ids of the examples of a record in their order, as `examples`."""
        found = self.examples(header)
        return None if found is None else found.ids

    def rows(self, header: Header, path: Path, rows: Rows) -> tuple[Evaluated, Tensor | None]:
        """Return the examples of some rows of a raw record, and their masks if there are masks.

        Raises:
            InputError: they are not there, or others than those that were evaluated.
        """
        x, y = self._sources.clean(header, path, rows)
        return Evaluated(x, y, rows.id), mask_of(header, path, rows.id)

    def mask(self, header: Header, examples: Evaluated) -> Tensor | None:
        """Load the mask of a record for some examples; None if it has none.

        Raises:
            InputError: the mask is not in results/raw.
        """
        return mask_of(header, self._place(header), examples.ids)

    def _place(self, header: Header) -> Path:
        """Return the path of the raw record, beside which the files of a user's network and data lie."""
        return Store(self.results).path(header)


def _choices(whole: Split, n: int, target: str) -> Iterator[Split]:
    """Yield the possible examples of an evaluation of n: all, those of `--limit`, or either without a target class."""
    yield whole
    if not target.isdigit():
        yield whole.first(n)
        return
    others = whole.y != int(target)
    yield whole.take(others)
    for more in range(int((~others).sum()) + 1):
        limited = whole.first(n + more)
        yield limited.take(limited.y != int(target))


def rule(
    network: FrozenNetwork,
    key: PointsKey,
    clean: Evaluated,
    points: Sequence[Point],
    mask: Tensor | None,
    target: Tensor | None,
) -> JudgeResult:
    """Judge points, one for each example; `target` holds the class that each was to be turned into, int64 (M,)."""
    values = [torch.from_numpy(point.around(x.numpy())) for point, x in zip(points, clean.x, strict=True)]
    ball = Ball(clean.x, key.norm, key.eps, mask)
    judge = judge_of(network, _seed(key.draws_seed), clean.x)
    return judge.rule(ball, torch.stack(values), clean.y, target, ids=torch.from_numpy(clean.ids), all_draws=True)


def _seed(draws_seed: int) -> int | None:
    return None if draws_seed == NOT_RANDOM else draws_seed


def clean_verdicts(network: FrozenNetwork, examples: Evaluated, draws_seed: int) -> tuple[Column, Column]:
    """Return which clean examples are classified correctly, and for which rounding decides, each bool (N,)."""
    judge, ids = judge_of(network, _seed(draws_seed), examples.x), torch.from_numpy(examples.ids)
    if judge.draws is not None:
        right = judge.clean(examples.x, examples.y, ids) == examples.y
        return right.numpy(), np.zeros(len(right), dtype=bool)
    logits = judge.predict(examples.x)
    near = margin(logits, examples.y).abs() <= TIE * largest(logits)
    return (logits.argmax(1) == examples.y).numpy(), near.numpy()


def targets(network: FrozenNetwork, key: PointsKey, examples: Evaluated, points: Sequence[Point]) -> Tensor | None:
    """Return the class that each example was to be turned into, int64 (M,); None if any wrong class will do.

    Classes that a record gives by their SHA-256 alone are taken from the points.
    """
    target = key.target
    if not target:
        return None
    if target == LEAST_LIKELY:
        judge = judge_of(network, _seed(key.draws_seed), examples.x)
        judge.clean(examples.x, examples.y, torch.from_numpy(examples.ids), least_likely=True)
        return judge.least_likely
    given, y = torch.tensor([int(target) if target.isdigit() else point.predicted for point in points]), examples.y
    # No example is turned into its label: such a point gets another class, which it does not reach.
    return torch.where(given == y, torch.where(y > 0, y - 1, 1), given)
