"""The header of a record: everything that can change a verdict, and the cost of the run."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pydantic import ConfigDict, Field

from robench.errors import InputError
from robench.numerics.stats import drawn_interval, wilson
from robench.specs import AttackSpec, MaskSummary, Normalisation, ThreatModel, digest, fraction
from robench.specs.base import Declared, build
from robench.store.rows import Column, Rows, robust_after

SCHEMA = 3
"""Newest version of the format of records; version 1 had no diagnostics, version 2 no random networks."""
NOT_RANDOM = 2
"""Version of the records of networks that are not random."""
MEND = "delete it and run the same command again, or publish again"
SHORT = 16
"""Number of hex digits of a hash in a file's name."""


class Hashed(Declared):
    """A stored thing with the hash of its identity, which holds everything that can change its verdicts."""

    hash: str
    identity: dict[str, Any]


HashedKind = TypeVar("HashedKind", bound=Hashed)


class Header(Hashed):
    """The description of one attack on one defense.

    `identity` holds everything that can change a verdict and `hash` is its digest; `family` is the digest without
    the attack's step count. `forwards` and `backwards` count the examples that the search passed through the
    network; the passes of the clean prediction, the judge and the probe are counted apart. `search` names how the
    network was run during the search; like device and versions, it can change a verdict by rounding only.
    `diagnostics` holds measures by the names of `attacks/diagnostics.toml`. `has_curve` tells whether the verdicts
    after fewer steps can be read from the record. `normalisation` holds the mean and std that were applied before the
    network, and where they come from; None in records of older versions and for services.

    `remark` names the settings of a user's network that robench chose or the user had to say: family, variant, last
    layer.

    `target` names the class that the attack aimed at: a class number, `least-likely`, or `given:` and the SHA-256 of
    one class per example; it is empty if any wrong class was a success. With a target, `robust` means: correct on the
    clean example and not turned into the target.

    `mask` describes the values that attacks might change; it is None if all values might change.

    `draws` is the number of draws of a random network's answers for each question of the attack, and `judge_draws` that
    of the judge for each point; both are 0 if the network is not random.

    `backward` names the gradient that the search followed in place of the network's own, with a version or a digest of
    its code; it is empty if the search followed the network's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: int = Field(NOT_RANDOM, alias="schema")
    family: str
    dataset: str
    model: str
    attack: AttackSpec
    threat: ThreatModel
    seed: int
    n: int
    precision: str
    search: str = "plain"
    device: str
    versions: dict[str, str]
    created: str
    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0
    clean_forwards: int = 0
    judge_forwards: int = 0
    probe_forwards: int = 0
    invalid: int = 0
    faults: dict[str, int] = Field(default_factory=dict)
    diagnostics: dict[str, float] = Field(default_factory=dict)
    derived_from: str = ""
    has_adversarial: bool = False
    has_curve: bool = True
    normalisation: Normalisation | None = None
    remark: str = ""
    target: str = ""
    mask: MaskSummary | None = None
    draws: int = 0
    judge_draws: int = 0
    backward: str = ""

    @property
    def model_identity(self) -> str:
        """The digest of the identity of the network."""
        return digest(self.identity["model"])

    def dump(self) -> dict[str, Any]:
        """Return the header as JSON-ready data; what older versions did not record is left out if it says nothing."""
        silent = {
            "search": self.search == "plain",
            "normalisation": self.normalisation is None,
            "target": not self.target,
            "mask": self.mask is None,
            "remark": not self.remark,
            "draws": not self.draws,
            "judge_draws": not self.judge_draws,
            "backward": not self.backward,
        }
        return self.model_dump(by_alias=True, exclude={name for name, left_out in silent.items() if left_out})

    @property
    def goal(self) -> str:
        """Threat model, target, mask and draws in words, e.g. `linf 0.2, target 3`."""
        said = [str(self.threat)]
        if self.target:
            kind, _, sha256 = self.target.partition(":")
            said.append(f"target {f'{kind} {sha256[:SHORT]}' if sha256 else kind}")
        if self.mask:
            said.append(f"{self.mask} (mask {self.mask.sha256[:SHORT]})")
        if self.draws:
            said.append(f"mean of {self.draws} draw{'s' * (self.draws > 1)}")
        return ", ".join(said)


class ComparisonKey(NamedTuple):
    """The settings that two records must share to stand in one table; the network is apart from them.

    Attributes:
        data: digest of the identity of the examples (dataset, SHA-256, ids).
        norm, eps: the threat model.
        seed: the seed of all random draws.
        precision: the precision of the search.
        target: the class that attacks aim at, as in a header.
        mask: SHA-256 of the mask; empty without one.
        draws: draws for each question of an attack on a random network; 0 if the network is not random.
    """

    data: str
    norm: str
    eps: float
    seed: int
    precision: str
    target: str = ""
    mask: str = ""
    draws: int = 0


class Record:
    """A header with the verdicts that tables, leaderboard and gate read; all columns have shape (N,).

    Attributes:
        header: the description of the attack and the defense.
        clean: correct on the clean example, bool.
        robust: correct on the clean example and not broken, bool.
        step: step of the first success, int64; -1 if robust, 0 if misclassified clean.
        queries: forwards up to and including the first success, int64; -1 if robust, 0 if misclassified clean. None if
            the record does not keep them.
        right: how many of the judge's draws were no success, int64; see `Rows`. None if the network is not random.
        path: the file that the record was read from, if any.
    """

    def __init__(
        self,
        header: Header,
        clean: Column,
        robust: Column,
        step: Column,
        path: Path | None = None,
        queries: Column | None = None,
        right: Column | None = None,
    ) -> None:
        self.header, self.clean, self.robust, self.step = header, clean, robust, step
        self.queries, self.path, self.right = queries, path, right

    @classmethod
    def of(cls, header: Header, rows: Rows, path: Path | None) -> "Record":
        """Build a record from its header and its rows."""
        right = rows.right if header.draws else None
        return cls(header, rows.clean, rows.robust, rows.step, path, rows.queries, right)

    @cached_property
    def model_identity(self) -> str:
        """The digest of the identity of the network, computed once because reports read it often."""
        return self.header.model_identity

    @property
    def network(self) -> tuple[str, str]:
        """The name of the network and the digest of its identity."""
        return self.header.model, self.model_identity

    @cached_property
    def comparison_key(self) -> ComparisonKey:
        """The settings that another record must share to stand in one table with this one.

        The key holds examples, threat model, seed, precision, target and mask, not the network, nor the form in which a
        search ran the network (see `robench.report.groups`).
        """
        header = self.header
        data, threat = digest(header.identity["data"]), header.threat
        mask = header.mask.sha256 if header.mask else ""
        return ComparisonKey(
            data, threat.norm, threat.eps, header.seed, header.precision, header.target, mask, header.draws
        )

    def after(self, steps: int) -> "Record":
        """Return the verdicts had the attack stopped after `steps` steps, under the same header and without a path.

        They are right only if `header.has_curve` and the attack took at least `steps` steps.
        """
        robust = robust_after(steps, self.clean, self.robust, self.step)
        queries = None if self.queries is None else np.where(robust, -1, self.queries)
        return Record(self.header, self.clean, robust, np.where(robust, -1, self.step), queries=queries)

    @property
    def clean_accuracy(self) -> float:
        """Accuracy on clean examples in percent."""
        return percent(self.clean)

    @property
    def robust_accuracy(self) -> float:
        """Robust accuracy in percent."""
        return percent(self.robust)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the robust accuracy in percent: Wilson's; see `drawn_interval` for random networks."""
        return interval_of(self.robust, [self])

    @property
    def single_draw(self) -> tuple[float, float, float] | None:
        """Accuracy of a single answer of a random network at the attack's points, in percent, and its 95% interval."""
        if self.right is None:
            return None
        answers = float(self.right.sum()) / self.header.judge_draws
        low, high = wilson(answers, len(self.right))
        return 100.0 * answers / len(self.right), 100.0 * low, 100.0 * high


def percent(mask: Column) -> float:
    """Return the share of true values in percent."""
    return 100.0 * float(np.count_nonzero(mask)) / len(mask)


def robust_to_all(records: Iterable[Record]) -> Column:
    """Return which examples withstood every attack, bool (N,); the records hold the same examples."""
    return reduce(np.logical_and, [record.robust for record in records])


def interval_of(robust: Column, records: Sequence[Record]) -> tuple[float, float]:
    """Return the 95% interval of the share of robust examples, in percent, also for random networks.

    Args:
        robust: which examples withstood all attacks, bool (N,).
        records: the attacks on one network; of a random one, the fewest right answers to any of the attacks count.
    """
    drawn = [record.right for record in records if record.right is not None]
    if not drawn:
        return interval(robust)
    right: Column = np.minimum.reduce(drawn)
    low, high = drawn_interval(robust, right, records[0].header.judge_draws)
    return 100.0 * low, 100.0 * high


def interval(mask: Column) -> tuple[float, float]:
    """Return Wilson's 95% interval of the share of true values, in percent."""
    low, high = wilson(int(np.count_nonzero(mask)), len(mask))
    return 100.0 * low, 100.0 * high


def validated(kind: type[HashedKind], data: dict[str, Any], where: str, newest_schema: int, mend: str) -> HashedKind:
    """Build a stored thing from data that was read from disk.

    Raises:
        InputError: the data is malformed, has a schema above `newest_schema`, or its hash is not that of its identity.
    """
    schema = data.get("schema")
    if isinstance(schema, int) and schema > newest_schema:
        raise InputError(f"{where} has schema {schema}, this robench reads up to {newest_schema}: update robench.")
    found = build(kind, data, where)
    if digest(found.identity) != found.hash:
        raise InputError(f"{where}: its hash does not match its contents: {mend}.")
    return found


def check_header(data: Any, where: str) -> Header:
    """Build a header that was read from disk.

    Raises:
        InputError: the header is malformed, of a newer schema, or its parts contradict each other.
    """
    if not isinstance(data, dict):
        raise InputError(f"{where} has no header: {MEND}.")
    header = validated(Header, data, where, SCHEMA, MEND)
    for field in _contradictions(header):
        raise InputError(f"{where}: its {field} contradicts its identity: {MEND}.")
    return header


def _contradictions(header: Header) -> Iterator[str]:
    """Yield the names of the header's fields that contradict its identity."""
    identity = header.identity
    attack, threat, data = (identity.get(key, {}) for key in ("attack", "threat", "data"))
    said = {**header.attack.identity(), "params": {**attack.get("params", {}), **header.attack.params}}
    pairs = {
        "attack": (said, {key: value for key, value in attack.items() if key not in ("version", "backward")}),
        "backward": (header.backward, attack.get("backward", "")),
        "eps": ((header.threat.norm, header.threat.eps), (threat.get("norm"), threat.get("eps"))),
        "written eps": (fraction(header.threat.text), header.threat.eps),
        "seed": (header.seed, identity.get("seed")),
        "precision": (header.precision, identity.get("precision")),
        "target": (header.target, identity.get("target", "")),
        "mask": (header.mask.sha256 if header.mask else None, identity.get("mask")),
        "draws": ([header.draws, header.judge_draws], identity.get("draws", [0, 0])),
        "dataset": (header.dataset, data.get("name")),
        "number of examples": (header.n, data.get("n")),
    }
    return (field for field, (beside, inside) in pairs.items() if beside != inside)
