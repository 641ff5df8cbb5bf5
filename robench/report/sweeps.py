"""Sweeps: verdicts of one network on one corrupted version of its examples, which a table may show together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple, get_args

from robench.paths import results_folders
from robench.specs import card_digests, catalogue_order, digest
from robench.specs.corruption import SEVERITIES, corruptions, declared
from robench.specs.corruption_3d import CORRUPTIONS_3D
from robench.store.corrupted import CLEAN, SPATIAL, Corrupted, Origin, read_corrupted

IMAGENET = "imagenet"
Kind = Literal["common", "3d", "spatial"]
"""The kind of a sweep: common corruptions, 3D common corruptions, or rotations and translations."""


class SweepKey(NamedTuple):
    """The settings that two sweeps must share to stand in one table; the network is apart from them.

    Attributes:
        dataset: the name of the dataset.
        origin: generated or published images.
        data: digest of the identity of the clean examples.
        seed: the seed of the generator.
        version: the version of the generator; 0 for published images.
    """

    dataset: str
    origin: Origin
    data: str
    seed: int
    version: int


@dataclass(frozen=True)
class Sweep:
    """Lines of one network, one set of examples, one seed and one origin; accuracies in percent.

    Attributes:
        lines: the clean split if it is stored, then one line per corruption and severity.
    """

    lines: tuple[Corrupted, ...]

    @property
    def kind(self) -> Kind:
        """The kind of the images."""
        return next((kind for kind in map(_kind, self.lines) if kind != "common"), "common")

    @property
    def averaged(self) -> list[str]:
        """The corruptions that the mean is over."""
        return list(CORRUPTIONS_3D) if self.kind == "3d" else corruptions()

    @cached_property
    def cells(self) -> dict[tuple[str, int], Corrupted]:
        """Lines by corruption and severity."""
        return {(line.corruption, line.severity): line for line in self.lines}

    @property
    def head(self) -> Corrupted:
        """The last line, for the fields that all lines share."""
        return self.lines[-1]

    @property
    def comparison_key(self) -> SweepKey:
        """The settings that another sweep must share to stand in one table with this one."""
        data = digest(self.head.identity["data"])
        return SweepKey(self.head.dataset, self.head.origin, data, self.head.seed, _generator(self.head))

    @property
    def names(self) -> list[str]:
        """The corruptions that have severities, in order."""
        return list(dict.fromkeys(line.corruption for line in self.lines if line.severity))

    @property
    def severities(self) -> list[int]:
        """The severities in ascending order, without the 0 of clean images and rotations."""
        return sorted({line.severity for line in self.lines} - {0})

    @property
    def complete(self) -> bool:
        """True if all corruptions of the mean are stored at all severities, or if the sweep is of rotations."""
        wanted = [(name, severity) for name in self.averaged for severity in SEVERITIES]
        return self.kind == "spatial" or all(key in self.cells for key in wanted)

    @property
    def clean(self) -> float | None:
        """Accuracy on the clean split in percent; None if it is not stored."""
        line = self.cells.get((CLEAN, 0))
        return None if line is None else line.accuracy

    @property
    def means(self) -> dict[str, float]:
        """Mean accuracy of each corruption over its severities, in percent; only corruptions that have all five."""
        return {
            name: fmean(self.cells[name, severity].accuracy for severity in SEVERITIES)
            for name in self.names
            if all((name, severity) in self.cells for severity in SEVERITIES)
        }

    @property
    def mca(self) -> float | None:
        """Mean accuracy over the corruptions of the mean and five severities, in percent; None if one is missing."""
        if self.kind == "spatial" or not self.complete:
            return None
        return fmean(self.means[name] for name in self.averaged)

    @property
    def mean_error(self) -> float | None:
        """Mean corruption error in percent (Hendrycks & Dietterich 2019, Sec. 4); None if AlexNet's is unknown.

        AlexNet's errors are known for ImageNet-C as published, on all fifteen corruptions.
        """
        known = (self.head.dataset, self.head.origin, self.kind) == (IMAGENET, "published", "common")
        if not known or self.mca is None:
            return None
        reference = {each.name: each.alexnet for each in declared().values() if each.alexnet}
        return fmean(100.0 * (100.0 - self.means[name]) / error for name, error in reference.items())


def sweeps(
    results: Path | None = None, models: Sequence[str] | None = None, *, published: bool = False, every: bool = False
) -> dict[str, list[Sweep]]:
    """Read the sweeps of each defense, by its name: the fullest sweep per dataset, kind and origin.

    Sweeps of other weights than those of a registered defense's card are left out.

    Args:
        results: a results folder; by default the default folder and the results that robench ships.
        models: the names of the defenses; by default the registered ones or, if none has sweeps, all.
        published: leave out lines that are not published.
        every: keep the sweeps of all examples, seeds and versions of the generator that a table may show.
    """
    digests = card_digests()
    groups: dict[str, dict[tuple[Any, ...], list[Corrupted]]] = {}
    for line in (line for folder in results_folders(results) for line in read_corrupted(folder, published=published)):
        network = digest(line.identity["model"])
        if digests.get(line.model, network) == network:
            groups.setdefault(line.model, {}).setdefault(_group(line, network), []).append(line)
    chosen = models if models is not None else groups.keys() & digests.keys() or groups.keys()
    return {
        name: _fullest(groups[name].values(), every) for name in sorted(chosen, key=catalogue_order) if name in groups
    }


def comparable_groups(found: Mapping[str, Iterable[Sweep]]) -> list[dict[str, Sweep]]:
    """Return the sweeps that compare with each other, one group per comparison key; those in 3D come last."""
    made: dict[tuple[bool, SweepKey], dict[str, Sweep]] = {}
    for name, each in found.items():
        for sweep in each:
            if sweep.kind != "spatial":
                made.setdefault((sweep.kind == "3d", sweep.comparison_key), {})[name] = sweep
    return [made[key] for key in sorted(made)]


def stored_models(results: Path | None = None) -> set[str]:
    """Return the names of all defenses that have verdicts under corruptions."""
    return {line.model for folder in results_folders(results) for line in read_corrupted(folder)}


def common(found: Mapping[str, Iterable[Sweep]]) -> dict[str, Sweep]:
    """Return one sweep over common corruptions per defense: complete if possible, then published if possible."""
    return _best(found, "common")


def in_3d(found: Mapping[str, Iterable[Sweep]]) -> dict[str, Sweep]:
    """Return one sweep over 3D common corruptions per defense."""
    return _best(found, "3d")


def spatial(found: Mapping[str, Iterable[Sweep]]) -> dict[str, Sweep]:
    """Return one sweep over rotations and translations per defense."""
    return _best(found, "spatial")


def mca_on(data: str, found: Iterable[Sweep]) -> float | None:
    """Return one defense's mCA in percent, measured on the examples with this digest; None if it is not stored."""
    fitting = [sweep for sweep in found if sweep.comparison_key.data == data]
    best = common({"it": fitting})
    return best["it"].mca if best else None


def comparable(found: Mapping[str, Sweep]) -> tuple[dict[str, Sweep], list[str]]:
    """Return the sweeps with the commonest comparison key, and the names of the defenses whose sweeps have another."""
    keys = [sweep.comparison_key for sweep in found.values()]
    if not keys:
        return {}, []
    usual = max(keys, key=keys.count)
    kept = {name: sweep for name, sweep in found.items() if sweep.comparison_key == usual}
    return kept, [name for name in found if name not in kept]


def _best(found: Mapping[str, Iterable[Sweep]], kind: Kind) -> dict[str, Sweep]:
    best = {}
    for name, each in found.items():
        if fitting := [sweep for sweep in each if sweep.kind == kind]:
            best[name] = max(
                fitting, key=lambda sweep: (sweep.complete, sweep.head.origin == "published", sweep.head.n)
            )
    return best


def _kind(line: Corrupted) -> Kind:
    if line.corruption == SPATIAL:
        return "spatial"
    return "3d" if line.corruption in CORRUPTIONS_3D else "common"


def _generator(line: Corrupted) -> int:
    """Return the version of the generator of the images; 0 for clean and published images."""
    return int(line.identity["images"].get("version", 0))


def _group(line: Corrupted, network: str) -> tuple[Any, ...]:
    """Return the key that the lines of a sweep share."""
    return network, line.dataset, digest(line.identity["data"]), line.n, line.seed, line.origin


def _fullest(groups: Iterable[Sequence[Corrupted]], every: bool) -> list[Sweep]:
    """Return the best sweep per dataset, kind and origin: complete, most examples, lowest seed, newest."""
    best: dict[tuple[Any, ...], Sweep] = {}
    for sweep in (sweep for lines in groups for sweep in _sweeps(lines)):
        where: tuple[Any, ...] = sweep.head.dataset, sweep.kind, sweep.head.origin
        where = (*where, sweep.comparison_key) if every else where
        best[where] = max(best.get(where, sweep), sweep, key=_rank)
    return [best[where] for where in sorted(best)]


def _rank(sweep: Sweep) -> tuple[Any, ...]:
    return sweep.complete, sweep.head.n, -sweep.head.seed, sweep.head.created


def _sweeps(lines: Sequence[Corrupted]) -> Iterable[Sweep]:
    """Split a group of lines into one sweep per kind, each with the clean split.

    Keep the latest generator version; among duplicates keep the newest.
    """
    latest: dict[tuple[str, int], Corrupted] = {}
    made = [line for line in lines if line.corruption != CLEAN]
    last = {
        rotated: max((_generator(line) for line in made if (line.corruption == SPATIAL) is rotated), default=0)
        for rotated in (False, True)
    }
    for line in lines:
        if line.corruption != CLEAN and _generator(line) != last[line.corruption == SPATIAL]:
            continue
        key = line.corruption, line.severity
        latest[key] = max(latest.get(key, line), line, key=lambda each: each.created)
    clean = [latest[CLEAN, 0]] if (CLEAN, 0) in latest else []
    others = [line for line in latest.values() if line.corruption != CLEAN]
    kinds = [[line for line in others if _kind(line) == kind] for kind in get_args(Kind)]
    return [Sweep((*clean, *found)) for found in kinds if found]
