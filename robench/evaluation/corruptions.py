"""Evaluate networks on corrupted images: find the verdicts that exist, and compute those that are missing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import torch
from filelock import FileLock

from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.classifiers.frozen import FrozenNetwork, frozen_network
from robench.corruptions import SEVERITIES, VERSION, corrupt, corruptions, spatial
from robench.corruptions.size import rule
from robench.data.corrupted import CorruptedSet
from robench.data.split import Split
from robench.devices import device_name, pick_device, versions
from robench.errors import InputError
from robench.evaluation.request import NetworkUnderTest, Settings
from robench.numerics.ball import finite
from robench.specs import digest
from robench.specs.corruption import find_corruption
from robench.store import Column
from robench.store.corrupted import CLEAN, RAW, Corrupted, Origin, hashed, path_of, read_lines, write_lines

BLOCK = 1024
"""Number of examples that are corrupted together."""
Say = Callable[[str], None]
Images = Callable[[torch.Tensor], torch.Tensor]
"""Function from rows (M,) of a split to corrupted images of its examples (M, C, H, W)."""


class Source(Protocol):
    """Corrupted images of a split.

    Attributes:
        origin: origin of the images, generated here or published.
        corruptions: names of the corruptions, in the paper's order.
        severities: severities of each corruption; only 0 if there are no degrees.
        count: number of views of each example.
        rule: one sentence on how the images were made, for readers of the numbers; may be empty.
        lacking: one sentence on corruptions of the mean that are not there; empty if all are.
    """

    origin: Origin
    corruptions: Sequence[str]
    severities: Sequence[int]
    count: int
    rule: str
    lacking: str

    def identity(self, corruption: str) -> dict[str, Any]:
        """Return everything about the images that can change a verdict, apart from the split."""

    def views(self, split: Split, corruption: str, severity: int, seed: int) -> Iterator[Images]:
        """Yield one or several views of the split's corrupted examples; a verdict must hold under all views."""


class Generated:
    """Images corrupted here (`robench.corruptions`): the fifteen corruptions that tables average, or those named."""

    origin: Origin = "generated"
    severities: Sequence[int] = SEVERITIES
    count = 1
    lacking = ""

    def __init__(self, split: Split, names: Sequence[str] | None = None) -> None:
        self.corruptions: Sequence[str] = corruptions() if names is None else names
        self.rule = rule(tuple(split.x.shape))

    def identity(self, corruption: str) -> dict[str, Any]:
        """Return the version of the generator, and the constants."""
        return {
            "version": VERSION,
            "constants": find_corruption(corruption).model_dump(mode="json", include={"small", "large"}),
        }

    def views(self, split: Split, corruption: str, severity: int, seed: int) -> Iterator[Images]:
        """Yield one view, in which every example has separate random numbers."""
        yield lambda rows: corrupt(split.x[rows], corruption, severity, split.ids[rows], seed)


class RotatedTranslated:
    """Images rotated and translated here (`robench.corruptions.spatial`): the worst of a grid counts."""

    origin: Origin = "generated"
    corruptions: Sequence[str] = (spatial.NAME,)
    severities: Sequence[int] = (0,)
    count = len(spatial.grid())
    rule = spatial.RULE
    lacking = ""

    def identity(self, corruption: str) -> dict[str, Any]:
        """Return the version of the code, and the grid."""
        return {"version": spatial.VERSION, **spatial.CONSTANTS}

    def views(self, split: Split, corruption: str, severity: int, seed: int) -> Iterator[Images]:
        """Yield every view of the grid; nothing is random."""
        for view in spatial.grid():
            yield partial(_moved, split, view)


def _moved(split: Split, view: spatial.View, rows: torch.Tensor) -> torch.Tensor:
    return spatial.moved(split.x[rows], view)


class Published:
    """CIFAR-10-C or a like set, as its authors publish it; only files of the examples with these ids are hashed."""

    origin: Origin = "published"
    severities: Sequence[int] = SEVERITIES
    count = 1
    rule = ""

    def __init__(self, found: CorruptedSet, ids: Sequence[int] | None = None) -> None:
        self.found = found
        self.files = cache(lambda corruption: found.fingerprint(corruption, *_which(ids)))
        averaged, missing = found.family.averaged, found.family.missing(found.corruptions)
        self.corruptions: Sequence[str] = [name for name in averaged if name not in missing]
        self.lacking = (
            f"{found.name} lacks {len(missing)} of {len(averaged)} corruptions ({', '.join(missing)}), so there is no "
            f"mean over all."
            if missing
            else ""
        )

    def identity(self, corruption: str) -> dict[str, Any]:
        """Return the set's name and a fingerprint of its files."""
        return {"set": self.found.name, "files": self.files(corruption)}

    def views(self, split: Split, corruption: str, severity: int, seed: int) -> Iterator[Images]:
        """Yield one view: the set's images of the split's examples.

        Raises:
            InputError: the set is damaged, or holds other examples.
        """
        images = self.found.load(corruption, severity, *_which(split.ids.tolist()))
        if not torch.equal(images.ids, split.ids) or not torch.equal(images.y, split.y):
            raise InputError(
                f"{self.found.name} holds other examples than '{split.name}': get both from their authors."
            )
        yield lambda rows: images.x[rows]


def _which(ids: Sequence[int] | None) -> tuple[int | None] | tuple[None, Sequence[int]]:
    """Return the last arguments of `CorruptedSet.load`: a number of first examples if possible, else the ids."""
    if ids is None:
        return (None,)
    return (len(ids),) if list(ids) == list(range(len(ids))) else (None, ids)


def evaluate(
    under_test: NetworkUnderTest,
    split: Split,
    source: Source,
    settings: Settings,
    results: Path,
    say: Say = lambda text: None,
) -> list[Corrupted]:
    """Return verdicts under every corruption and severity; only missing verdicts are computed.

    The corruption `clean` is the clean split. Verdicts are written to disk after each corruption, so an
    interrupted run can continue.

    Raises:
        InputError: the network or the images cannot be evaluated.
    """
    path = path_of(results / RAW, split.name, under_test.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    made: list[Corrupted] = []
    with ExitStack() as stack:
        locks = results / "raw" / split.name / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        stack.enter_context(FileLock(locks / f"corruptions-{path.stem}.lock"))
        run = CorruptionRun(under_test, split, source, settings, stack)
        kept = {line.hash: line for line in read_lines(path)}
        there = {line.hash: line for line in read_lines(path_of(results, split.name, under_test.model))} | kept
        for corruption in (CLEAN, *source.corruptions):
            wanted = [run.identity(corruption, s) for s in ((0,) if corruption == CLEAN else source.severities)]
            missing = [identity for identity in wanted if digest(identity) not in there]
            fresh = {line.hash: line for line in map(run.line, missing)}
            kept, there = kept | fresh, there | fresh
            if fresh:
                write_lines(path, kept.values())
            lines = [there[digest(identity)] for identity in wanted]
            made += lines
            say(f"{corruption}: {sum(line.accuracy for line in lines) / len(lines):.2f}%")
    return made


def missing(under_test: NetworkUnderTest, split: Split, source: Source, settings: Settings, results: Path) -> int:
    """Count the corruptions and severities that must still be computed; the clean split counts as one."""
    with ExitStack() as stack:
        run = CorruptionRun(under_test, split, source, settings, stack)
        there = {line.hash for root in (results, results / RAW)
                 for line in read_lines(path_of(root, split.name, under_test.model))}  # fmt: skip
        wanted = [run.identity(CLEAN, 0)]
        wanted += [run.identity(name, severity) for name in source.corruptions for severity in source.severities]
        return sum(digest(identity) not in there for identity in wanted)


class CorruptionRun:
    """One network, one split, one source of corrupted images; loads only when something must be computed."""

    def __init__(
        self, under_test: NetworkUnderTest, split: Split, source: Source, settings: Settings, stack: ExitStack
    ) -> None:
        self.under_test, self.split, self.source, self.settings, self.stack = under_test, split, source, settings, stack
        self.device = pick_device(settings.device)
        batcher = MicroBatcher.of(settings.batch_size, self.device)
        self.batcher = batcher if under_test.service else batcher.cautious()

    def identity(self, corruption: str, severity: int) -> dict[str, Any]:
        """Return everything that can change the verdicts."""
        images = {} if corruption == CLEAN else self.source.identity(corruption)
        return {
            "model": self.under_test.identity,
            "data": self.split.identity(),
            "images": images,
            "corruption": corruption,
            "severity": severity,
            "origin": self.source.origin,
            "seed": self.settings.seed,
        }

    def line(self, identity: dict[str, Any]) -> Corrupted:
        """Compute the verdicts for one corruption at one severity."""
        begin = perf_counter()
        corruption, severity = identity["corruption"], identity["severity"]
        correct = self._correct(corruption, severity)
        return hashed(
            identity,
            correct,
            dataset=self.split.name,
            model=self.under_test.model,
            corruption=corruption,
            severity=severity,
            origin=self.source.origin,
            rule="" if corruption == CLEAN else self.source.rule,
            seed=self.settings.seed,
            device=device_name(self.device),
            versions=versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(perf_counter() - begin, 3),
        )

    @cached_property
    def network(self) -> FrozenNetwork:
        """The network, frozen, on its device."""
        return self.stack.enter_context(frozen_network(self.under_test.load(), self.device))

    def _correct(self, corruption: str, severity: int) -> Column:
        judge = Judge(self.network, self.batcher)
        if corruption == CLEAN:
            return (judge.clean(self.split.x, self.split.y, self.split.ids).cpu() == self.split.y).numpy()
        rows = torch.arange(len(self.split))
        for images in self.source.views(self.split, corruption, severity, self.settings.seed):
            right = [self._right(judge, images, part, f"{corruption} {severity}") for part in rows.split(BLOCK)]
            rows = rows[torch.cat(right)]
            if not len(rows):
                break
        correct = torch.zeros(len(self.split), dtype=torch.bool)
        correct[rows] = True
        verdicts: Column = correct.numpy()
        return verdicts

    def _right(self, judge: Judge, images: Images, rows: torch.Tensor, what: str) -> torch.Tensor:
        """Return whether each of some examples is classified correctly, bool (M,)."""
        logits = judge.predict(images(rows)).cpu()
        bad = self.split.ids[rows[~finite(logits)]].tolist()
        if bad:
            raise InputError(
                f"the network returns NaN or infinite logits for {len(bad)} examples under {what} (ids {bad[:3]}): "
                "mend the network first."
            )
        return logits.argmax(1) == self.split.y[rows]
