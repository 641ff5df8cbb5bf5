"""An evaluation: which records are needed, which exist, and the making of those that do not."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import Timeout
from torch import Tensor

from robench.algorithms import Algorithm, Pool, bind
from robench.classifiers.victim import Victim, frozen
from robench.data.split import Split
from robench.devices import device_name, versions
from robench.engine import Chunk, Job, identity
from robench.executors.base import Executor
from robench.executors.local import Local
from robench.forecast import History, Pilot
from robench.indicators import indicators, of_prefix
from robench.judge import Judge
from robench.oracle import ALLOWED
from robench.outcome import Outcome, Planned, Result, Skipped
from robench.packing import Packer
from robench.probe import EXAMPLES, Probe
from robench.progress import Progress, Quiet, Watcher, tally
from robench.request import Settings, Subject
from robench.specs import COUNTED, Access, AttackSpec, ThreatModel, digest
from robench.store import Header, Record, Rows, Store, read
from robench.transfer import FOLDER, Workbench


def evaluate(
    subject: Subject,
    split: Split,
    specs: Sequence[AttackSpec],
    threat: ThreatModel,
    settings: Settings,
    store: Store,
    watcher: Watcher,
    substitutes: Sequence[Subject] = (),
    executor: Executor | None = None,
) -> Outcome:
    """Run attacks on a network, computing only what is missing; in this process, unless an executor is given.

    Transfer attacks are run once for each substitute, from examples that are crafted where they are missing.

    Raises:
        InputError: the network, the data or the settings are not fit to be evaluated.
    """
    outcome, made = Outcome(), {}
    with ExitStack() as stack:
        bench = _Bench(subject, split, threat, settings, store, watcher, stack, substitutes, executor)
        applicable, outcome.skipped = bench.sort_out(bench.workbench.expand(specs, substitutes))
        # In the order asked for, but the longest of a family first: the others are its prefixes.
        families = [spec.family_identity() for spec in applicable]
        for spec in sorted(applicable, key=lambda spec: (families.index(spec.family_identity()), -spec.steps)):
            made[spec.name] = bench.result(spec)
            watcher.finished(made[spec.name])
    outcome.results = [made[spec.name] for spec in applicable]
    return outcome


def skipped(
    subject: Subject,
    split: Split,
    specs: Sequence[AttackSpec],
    threat: ThreatModel,
    settings: Settings,
    store: Store,
    watcher: Watcher,
) -> list[Skipped]:
    """Which attacks `evaluate` would pass over, and why; no attack is run.

    Raises:
        InputError: the network, the data or the settings are not fit to be evaluated.
    """
    with ExitStack() as stack:
        bench = _Bench(subject, split, threat, settings, store, watcher, stack, ())
        return bench.sort_out(specs)[1]


def plan(
    subject: Subject,
    split: Split,
    specs: Sequence[AttackSpec],
    threat: ThreatModel,
    settings: Settings,
    store: Store,
    substitutes: Sequence[Subject] = (),
    history: History | None = None,
) -> list[Planned]:
    """What `evaluate` would do, after a short run on one micro-batch; nothing is stored.

    Args:
        history: what the attacks took elsewhere; without it, only what they take at most is said.
    """
    with ExitStack() as stack:
        bench = _Bench(subject, split, threat, settings, store, Quiet(), stack, substitutes)
        specs = bench.workbench.expand(specs, substitutes)
        return [bench.planned(spec, specs, history) for spec in specs]


class _Bench:
    """One network, one split, one threat model; loads and asks only when something must be computed."""

    def __init__(
        self,
        subject: Subject,
        split: Split,
        threat: ThreatModel,
        settings: Settings,
        store: Store,
        watcher: Watcher,
        stack: ExitStack,
        substitutes: Sequence[Subject],
        executor: Executor | None = None,
    ) -> None:
        self.subject, self.split, self.threat, self.settings = subject, split, threat, settings
        self.store, self.watcher, self.stack = store, watcher, stack
        self.executor = executor or Local(settings.device)
        self.device = self.executor.device
        self.packer = Packer.of(settings.batch_size, self.device)
        self.substitutes = substitutes
        self.workbench = Workbench(split, threat, settings, store.raw / split.name / FOLDER, self.device)

    def sort_out(self, specs: Sequence[AttackSpec]) -> tuple[list[AttackSpec], list[Skipped]]:
        """The attacks that apply, and those that do not."""
        reasons = [(spec, self.refusal(spec)) for spec in specs]
        skipped = [Skipped(spec.name, reason) for spec, reason in reasons if reason]
        return [spec for spec, reason in reasons if not reason], skipped

    def refusal(self, spec: AttackSpec) -> str:
        """Why an attack does not apply, or nothing."""
        kind = bind(spec)
        if self.threat.norm not in kind.norms:
            return f"{spec.algorithm} is not defined for {self.threat.norm}"
        if spec.access not in ALLOWED[self.shown]:
            return f"it needs more than the {self.shown}s that the service shows"
        if kind.min_classes > 2 and self.classes < kind.min_classes:
            return f"{spec.algorithm} needs at least {kind.min_classes} classes, the network has {self.classes}"
        return "" if kind.sees == "logits" else self._blind(spec, kind)

    def _blind(self, spec: AttackSpec, kind: Algorithm) -> str:
        """Why an attack on features does not apply, or nothing."""
        if reason := self.seen.hides(kind.sees):
            return reason
        if kind.sees == "normalized" and self.seen.normalizes_features:
            return "the network normalises its features itself"
        if kind.sees == "features" and len(self.pool.y.unique()) < 2:
            return f"{spec.algorithm} needs correctly classified examples of at least two classes"
        return ""

    def result(self, spec: AttackSpec) -> Result:
        """The record of an attack: found, cut from a longer one, or made."""
        header = self._header(spec)
        with self._locked(header):
            path = self.store.find(header)
            if path:
                self.store.chunks(header).remove()  # left by a run that died between writing and removing
                return _read(path)
            path = self.store.family(header, self.watcher.notice) if _prefix_closed(spec) else None
            if path:
                return self._cut(path, header)
            return self._compute(header)

    def source(self, spec: AttackSpec) -> str:
        """Where the verdicts of an attack would come from as things stand."""
        header = self._header(spec)
        if self.store.find(header):
            return "stored"
        if _prefix_closed(spec) and self.store.family(header, self.watcher.notice):
            return "read from a longer run"
        return "compute"

    def planned(self, spec: AttackSpec, specs: Sequence[AttackSpec], history: History | None) -> Planned:
        """What an attack among others would cost as things stand."""
        source = self.source(spec)
        kin = (each for each in specs if each.family_identity() == spec.family_identity())
        longer = next((each for each in kin if each.steps > spec.steps), None)
        if source == "compute" and longer and _prefix_closed(spec):
            source = f"read from {longer.name}"
        if source != "compute":
            return Planned(spec.name, source)
        classes = int(self.split.y.max()) + 1
        most = bind(spec).cost(spec.steps, classes)[0] * spec.restarts * len(self.split)
        if history is None or self.subject.service:
            return Planned(spec.name, source, seconds=None, most=most)
        correct = self.pilot.clean * len(self.split)
        forwards, backwards = (correct * each for each in history.passes(spec, self.pilot.survivors, classes))
        seconds = self.pilot.seconds(forwards, backwards)
        return Planned(spec.name, source, round(forwards), round(backwards), seconds, most)

    @cached_property
    def pilot(self) -> Pilot:
        """Of the first micro-batch."""
        few = self.split.limit(min(self.packer.size, len(self.split)))
        clean = Judge(self.victim, self.packer).predict(few.x).argmax(1)
        x, y, ids = (each[:].to(self.device) for each in (few.x, few.y, few.ids))
        return Pilot.of(self.victim, Chunk(x, y, ids, clean), self.threat, self.packer)

    @cached_property
    def victim(self) -> Victim:
        """The network, frozen, on its device."""
        return self.stack.enter_context(frozen(self.subject.load(), self.device))

    @cached_property
    def seen(self) -> Victim:
        """The network with its penultimate features, for the attacks that work on them."""
        return self.victim.looked_into(self.subject.feature_layer, self.judge.predict, self.split.x[:1])

    @cached_property
    def judge(self) -> Judge:
        """For the clean pass."""
        return Judge(self.victim, self.packer)

    @cached_property
    def clean(self) -> Tensor:
        """The classes of the clean examples."""
        clean = self.judge.clean(self.split.x, self.split.y, self.split.ids)
        if self.judge.looks_like_probabilities and not self.subject.service:
            self.watcher.notice("the network returns probabilities, not logits: gradients vanish; remove its softmax.")
        return clean

    @cached_property
    def probe(self) -> Probe | None:
        """Of the first correctly classified examples, if there are any."""
        rows = (self.clean.cpu() == self.split.y).nonzero().flatten()[:EXAMPLES]
        return Probe(self.victim, self._chunk(rows), self.threat, self.packer) if len(rows) else None

    @cached_property
    def classes(self) -> int:
        """How many the network knows."""
        return self.judge.predict(self.split.x[:1]).shape[1]

    @cached_property
    def shown(self) -> Access:
        """What the network shows: all, or for a service what its first answers were."""
        service = self.subject.service
        if service is None:
            return "gradient"
        if service.access is None:
            self.judge.predict(self.split.x[:1])
        return service.access or "decision"

    @cached_property
    def pool(self) -> Pool:
        """Reference examples for the algorithms that need them."""
        clean = self.clean.to(self.split.y.device)
        pool = Pool.of(self.split.x, self.split.y, self.split.ids, clean)
        return pool.to(self.device)

    def _header(self, spec: AttackSpec) -> Header:
        whole = {
            "model": self.subject.identity,
            **identity(spec, self.split, self.threat, self.settings.seed, self.settings.precision),
        }
        kin = {key: value for key, value in whole["attack"].items() if key != "steps"}
        return Header(
            hash=digest(whole),
            family=digest({**whole, "attack": kin}),
            identity=whole,
            dataset=self.split.name,
            model=self.subject.model,
            attack=spec,
            threat=self.threat,
            seed=self.settings.seed,
            n=len(self.split),
            precision=self.settings.precision,
            device=device_name(self.device),
            versions=versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            has_adversarial=self.settings.save_adversarial,
            has_curve=_prefix_closed(spec),
        )

    def _cut(self, path: Path, header: Header) -> Result:
        """Read an attack from a longer one of its family."""
        longer, whole = read(path)
        rows = whole.prefix(header.attack.steps)
        if not header.has_adversarial:
            rows = replace(rows, adversarial=np.full(len(rows), None, dtype=object))
        header = header.model_copy(
            update={"derived_from": longer.hash, "device": longer.device, "versions": longer.versions,
                    "invalid": int((~rows.valid).sum()),
                    "diagnostics": of_prefix(longer.diagnostics, whole, header.attack.steps)}
        )  # fmt: skip
        return Result(_record(header, rows, self.store), "prefix", 0, 0, 0.0)

    def _compute(self, header: Header) -> Result:
        chunks = self.store.chunks(header)
        before = tally(chunks.read())
        done = before.ids
        todo = [position for position, i in enumerate(self.split.ids.tolist()) if i not in done]
        # Before the first pass, so that workers who are not there do not cost one.
        size = self.settings.chunk_size or self.executor.chunk_size(len(todo))
        # Before the attack, so that a network that cannot be probed does not cost one.
        probe = self.probe if header.attack.access == "gradient" else None
        self.watcher.started(header.attack.name, int((self.clean.cpu() == self.split.y).sum()), header.attack.steps)
        progress = Progress(self.watcher, before, len(self.split), header.attack)
        algorithm = bind(header.attack)
        job = Job(
            self.victim if algorithm.sees == "logits" else self.seen,
            algorithm,
            header.attack,
            self.threat,
            self.settings.seed,
            self.settings.precision,
            self.packer,
            header.has_adversarial,
            self.pool if algorithm.sees == "features" else None,
            self.workbench.crafted(header.attack, self.substitutes),
        )

        def finished(position: int, rows: Rows, cost: dict[str, Any]) -> None:
            chunks.write(position, rows, cost)
            progress.chunk_done(position, rows)

        self.executor.run(job, self._cut_up(todo, size, progress), progress.step, finished)
        whole = tally(chunks.read())
        rows = whole.rows(self.split.ids.numpy())
        found = indicators(whole.measures, whole.faults, header.attack) | (probe.found if probe else {})
        if self.subject.service is None:  # what is never differentiated may give probabilities
            found["probabilities"] = float(self.judge.looks_like_probabilities)
        else:
            found["shown"] = 1.0 + COUNTED.index(self.shown)
        found["two-classes"] = float(self.classes == 2)
        header = header.model_copy(
            update={"seconds": round(whole.seconds, 3), "forwards": int(rows.forwards.sum()),
                    "backwards": int(rows.backwards.sum()), "clean_forwards": self.judge.forwards,
                    "judge_forwards": whole.judge_forwards, "probe_forwards": probe.forwards if probe else 0,
                    "device": " and ".join(sorted(whole.devices)) or header.device,
                    "faults": dict(whole.faults), "diagnostics": found, "invalid": int((~rows.valid).sum())}
        )  # fmt: skip
        record = _record(header, rows, self.store)
        return Result(
            record, "computed", header.forwards - before.forwards, header.backwards - before.backwards,
            header.seconds - before.seconds,
        )  # fmt: skip

    def _cut_up(self, todo: list[int], size: int, progress: Progress) -> Iterator[tuple[int, Chunk]]:
        """The examples at some positions of the split, in chunks of nearly equal size, each made when it is wanted."""
        parts = -(-len(todo) // size)
        for positions in np.array_split(np.array(todo, dtype=np.int64), parts) if parts else []:
            chunk = self._chunk(torch.from_numpy(positions))
            progress.chunk_started(int(positions[0]), chunk)
            yield int(positions[0]), chunk

    def _chunk(self, at: Tensor) -> Chunk:
        """The examples at some positions of the split, on the network's device."""
        x, y, ids = (each[at].to(self.device) for each in (self.split.x, self.split.y, self.split.ids))
        return Chunk(x, y, ids, self.clean[at.to(self.device)])

    @contextmanager
    def _locked(self, header: Header) -> Iterator[None]:
        """Hold the record's lock; if another run is making the record, wait for it."""
        lock = self.store.lock(header)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self.watcher.waiting(header.attack.name)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _prefix_closed(spec: AttackSpec) -> bool:
    """Whether a longer run of its family holds the attack: the stanza and the algorithm must agree."""
    return spec.is_prefix_closed and bind(spec).prefix


def _record(header: Header, rows: Rows, store: Store) -> Record:
    path = store.write(header, rows)
    return Record.of(header, rows, path)


def _read(path: Path) -> Result:
    header, rows = read(path, ["id", "label", "clean_prediction", "robust", "step", "queries"])
    return Result(Record.of(header, rows, path), "stored", 0, 0, 0.0)
