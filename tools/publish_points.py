"""Make the points of published records: cheap attacks first, each on the examples that still lack a point.

python -m tools.publish_points [--dataset digits] [--model pgdat_he ...] [--results results] [--scratch DIR]

Goes through the registered defenses with published records. The last attacks are those that broke the remaining
examples: on these examples alone, then, for attacks that draw for their whole batch, on all. A second run goes on where
the first stopped: points on file are not made again. Published lines stay byte for byte.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from robench.data import dataset_of
from robench.errors import RobenchError
from robench.evaluation.points import file_points
from robench.evaluation.progress import Quiet
from robench.evaluation.published import Bench
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate
from robench.paths import data_root
from robench.report.points_on_file import Lack, lacks, offers, raw_headers
from robench.specs import Card, digest, find_attack, find_card, is_registered, list_attacks
from robench.store import Record, Store, read_file
from robench.store.points import PointsKey, points_path

CHEAP = (("cascade", 0), ("cascade", 1), ("cascade", 2), ("square", 0), ("fab-t", 0), ("apgd-t", 0))
"""Attacks and seeds, in the order in which they are run."""
LOG = logging.getLogger("points")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="only this dataset")
    parser.add_argument("--model", action="append", help="only this defense, without its dataset; repeatable")
    parser.add_argument("--results", type=Path, default=data_root() / "results")
    parser.add_argument("--scratch", type=Path, help="keeps the records of the runs; by default they are thrown away")
    parser.add_argument("--data-dir", type=Path, default=None)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for path in sorted(asked.results.glob(f"{asked.dataset or '*'}/[!.]*.jsonl")):
        for name in dict.fromkeys(record.header.model for record in read_file(path)):
            if is_registered(name) and (not asked.model or name.rpartition("/")[2] in asked.model):
                with tempfile.TemporaryDirectory(prefix="points-") as place:
                    complete(path, find_card(name), asked.scratch or Path(place), asked.data_dir)


def complete(path: Path, card: Card, scratch: Path, data_dir: Path | None = None) -> int:
    """Make the points that a defense's published records lack; return how many are still missing.

    Args:
        path: the file of published records.
        card: the defense.
        scratch: results folder of the runs.
        data_dir: folder of downloaded datasets.
    """
    work = Completion(path, card, scratch, data_dir)
    LOG.info("%s: %d of %d broken examples lack a point", card.name, work.lack.number, work.lack.broken)
    begin = time.perf_counter()
    for key in list(work.lack.missing):
        if key.target or key.mask:
            LOG.info("%s: points with a target or a mask come from `robench publish` alone", card.name)
        else:
            work.complete(key)
    size = points_path(path).stat().st_size if points_path(path).is_file() else 0
    spent = time.perf_counter() - begin
    LOG.info("%s: %d lack a point after %.1f s; the file has %d bytes", card.name, work.lack.number, spent, size)
    for key, ids in work.lack.missing.items():
        LOG.info("%s: %s %s: %s", card.name, key.norm, key.eps, sorted(ids))
    return work.lack.number


class Completion:
    """The work on one defense.

    Attributes:
        lack: the points that are missing now.
        records: its published records of the current weights.
    """

    def __init__(self, path: Path, card: Card, scratch: Path, data_dir: Path | None) -> None:
        self.path, self.card, self.scratch = path, card, scratch
        self.split = dataset_of(card).load("test", data_dir)
        self.bench = Bench(scratch, data_dir)
        self.records = [record for record in read_file(path) if record.network == (card.name, digest(card.identity()))]
        self.lack = self._lack()

    def complete(self, key: PointsKey) -> None:
        """Run attacks until no example lacks a point, or no attack is left."""
        for record, attack, seed, whole in self._attacks(key):
            missing = self.lack.missing.get(key, set())
            if not missing:
                return
            begin = time.perf_counter()
            ids = self.bench.ids(record.header).tolist() if whole else sorted(missing)
            added = self._run(record, attack, seed, ids)
            self.lack, spent = self._lack(), time.perf_counter() - begin
            LOG.info("%s %s seed %d on %d: %d points, %.1f s", self.card.name, attack, seed, len(ids), added, spent)

    def _attacks(self, key: PointsKey) -> Iterator[tuple[Record, str, int, bool]]:
        """Yield a record of the threat model, an attack, its seed, and whether to run it on all examples."""
        mine = [record for record in self.records if PointsKey.of(record.header) == key]
        yield from ((mine[0], attack, seed, False) for attack, seed in CHEAP)
        for whole in (False, True):
            for record in sorted(mine, key=lambda record: record.header.seconds):
                name, ids = record.header.attack.name, self.bench.ids(record.header)
                broken = set(ids[record.clean & ~record.robust].tolist())
                if not broken & self.lack.missing.get(key, set()):
                    continue
                if name in list_attacks() and record.header.attack.access != "transfer":
                    yield record, name, record.header.seed, whole
                else:
                    LOG.info("%s: not run, it needs more than its name", name)

    def _run(self, record: Record, attack: str, seed: int, ids: list[int]) -> int:
        """Run one attack with points saved, and put the confirmed points on file; return how many were added."""
        settings = Settings(seed=seed, device="cpu", save_adversarial=True)
        under_test, attacks = NetworkUnderTest.of_card(self.card), (find_attack(attack),)
        request = EvaluationRequest(under_test, self.split.only(ids), record.header.threat, attacks, settings)
        try:
            evaluate(request, Store(self.scratch), Quiet())
        except RobenchError as error:
            LOG.info("%s seed %d: not run, %s", attack, seed, error)
        return file_points(offers(raw_headers(self.scratch), self.lack), self.lack, self.bench)

    def _lack(self) -> Lack:
        return next(iter(lacks([self.path], [self.card.name], self.bench.ids)), Lack(self.path, self.card.name, 0, {}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
