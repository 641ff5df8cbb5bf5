"""Judge every published verdict "broken" again, from the points that are published with the records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robench.access.judge import FAULTS
from robench.classifiers.frozen import FrozenNetwork
from robench.errors import InputError
from robench.evaluation.published import Bench, Evaluated, clean_verdicts, rule, targets
from robench.report.points_on_file import on_file
from robench.store import Column, Header, Record
from robench.store.points import Groups, PointsKey, points_path

NO_POINT = "no point on file"
OTHER_NETWORK = "the points on file are of other weights"
OTHER_CLEAN = "another clean verdict"
UNKNOWN = "a published record of some examples does not tell which"
TIE = "so near to a tie that rounding decides"


@dataclass(frozen=True)
class Unconfirmed:
    """Examples of one record with a verdict that cannot be confirmed.

    Attributes:
        header: header of the record.
        ids: their ids; if these are not known, their positions.
        reason: the reason.
    """

    header: Header
    ids: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class PublishedVerification:
    """Result for one network.

    Attributes:
        model: the name of the network.
        records: number of its published records.
        broken: number of verdicts "broken" in all records together.
        confirmed: number of these that a point confirms.
        unconfirmed: the other verdicts, and clean verdicts that differ.
    """

    model: str
    records: int
    broken: int
    confirmed: int
    unconfirmed: tuple[Unconfirmed, ...]

    @property
    def without_point(self) -> int:
        """Number of verdicts "broken" without a point on file."""
        return sum(len(each.ids) for each in self.unconfirmed if each.reason in (NO_POINT, OTHER_NETWORK))


def verify_published(
    results: Path, records: Sequence[Record], data_dir: Path | None = None
) -> list[PublishedVerification]:
    """Judge the published points on the CPU in float32, and compare clean verdicts; one result for each network.

    Args:
        results: the results folder.
        records: published records below it.
        data_dir: folder of downloaded datasets.

    Raises:
        InputError: a file of points or a dataset is missing, or a file of points is damaged.
    """
    by_model: dict[tuple[str, Path], list[Record]] = {}
    for record in records:
        by_model.setdefault((record.header.model, _file(record)), []).append(record)
    lacking = [path for (_, path), mine in by_model.items() if _needs_points(mine) and not points_path(path).is_file()]
    if lacking:
        paths = list(dict.fromkeys(f"'{points_path(path)}'" for path in lacking))
        more = f" and {len(paths) - 1} others are" if len(paths) > 1 else " is"
        raise InputError(
            f"{paths[0]}{more} missing: choose others with --model, or publish from records that were made with "
            "--save-adversarial."
        )
    bench = Bench(results, data_dir)
    return [_verify(model, mine, on_file(path), bench) for (model, path), mine in by_model.items()]


def _needs_points(records: Sequence[Record]) -> bool:
    return any(_broken(record).any() for record in records)


def _file(record: Record) -> Path:
    if record.path is None:
        raise InputError("a record without a file is not published: give records that were read from results.")
    return record.path


def _verify(model: str, records: Sequence[Record], groups: Groups, bench: Bench) -> PublishedVerification:
    networks: dict[str, list[Record]] = {}
    for record in records:
        networks.setdefault(record.model_identity, []).append(record)
    found = [each for mine in networks.values() for each in _of_one_network(mine, groups, bench)]
    broken = sum(int(_broken(record).sum()) for record in records)
    lost = sum(len(each.ids) for each in found if each.reason != OTHER_CLEAN)
    return PublishedVerification(model, len(records), broken, broken - lost, tuple(found))


def _of_one_network(records: Sequence[Record], groups: Groups, bench: Bench) -> list[Unconfirmed]:
    # A dataset that is not there ends the command; a network that is not there is a reason.
    known = {record.comparison_key.data: bench.examples(record.header) for record in records}
    try:
        with bench.network(records[0].header) as network:
            return _judged(network, records, known, groups, bench)
    except InputError as error:
        said, found = str(error).rstrip("."), []
        for record in records:
            examples = known[record.comparison_key.data]
            ids = np.arange(record.header.n) if examples is None else examples.ids
            found.append(Unconfirmed(record.header, tuple(ids[_broken(record)].tolist()), said))
        return found


def _judged(
    network: FrozenNetwork,
    records: Sequence[Record],
    known: Mapping[str, Evaluated | None],
    groups: Groups,
    bench: Bench,
) -> list[Unconfirmed]:
    """Judge the clean examples and the points of one network's records, each once."""
    clean: dict[tuple[str, int], tuple[Column, Column]] = {}
    reasons: dict[tuple[PointsKey, str], dict[int, str]] = {}
    found: list[Unconfirmed] = []
    for record in records:
        header, data = record.header, record.comparison_key.data
        examples = known[data]
        if examples is None:
            found.append(Unconfirmed(header, tuple(np.flatnonzero(_broken(record)).tolist()), UNKNOWN))
            continue
        about = PointsKey.of(header), data
        drawn = data, about[0].draws_seed
        if drawn not in clean:
            clean[drawn] = clean_verdicts(network, examples, about[0].draws_seed)
        right, near = clean[drawn]
        if (differs := (right != record.clean) & ~near).any():
            found.append(Unconfirmed(header, tuple(examples.ids[differs].tolist()), OTHER_CLEAN))
        if about not in reasons:
            reasons[about] = _reasons(network, header, examples, groups, bench)
        found += _unconfirmed(record, examples.ids, reasons[about])
    return found


def _reasons(
    network: FrozenNetwork, header: Header, examples: Evaluated, groups: Groups, bench: Bench
) -> dict[int, str]:
    """Return for each example, by its id, why no point breaks it; empty if the judge confirms its point."""
    key = PointsKey.of(header)
    points = groups.get(key, {})
    others = any(other._replace(network=key.network, weights=key.weights) == key for other in groups)
    reasons = dict.fromkeys(examples.ids.tolist(), OTHER_NETWORK if others and not points else NO_POINT)
    there = examples.with_ids(points)
    if len(there.ids):
        mine = [points[each] for each in there.ids.tolist()]
        ruling = rule(network, key, there, mine, bench.mask(header, there), targets(network, key, there, mine))
        for each, fault, tied in zip(there.ids.tolist(), ruling.fault.tolist(), ruling.tied.tolist(), strict=True):
            reasons[each] = TIE if tied else FAULTS[fault]
    return reasons


def _unconfirmed(record: Record, ids: Column, reasons: Mapping[int, str]) -> list[Unconfirmed]:
    """Return the examples that a record counts as broken and that have a reason, one result for each reason."""
    found: dict[str, list[int]] = {}
    for each in ids[_broken(record)].tolist():
        if reasons[each]:
            found.setdefault(reasons[each], []).append(each)
    return [Unconfirmed(record.header, tuple(mine), reason) for reason, mine in found.items()]


def _broken(record: Record) -> Column:
    return np.asarray(record.clean & ~record.robust)
