"""Run an evaluation: find the records that exist, and compute those that are missing."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import Timeout

from robench.algorithms import bind
from robench.data import stored_mask
from robench.devices import device_name, versions
from robench.engine.executors.base import Executor
from robench.engine.executors.local import Local
from robench.engine.loop import Chunk, Job
from robench.engine.saving import Checkpoints
from robench.engine.sizing import CHUNK, chunk_for
from robench.errors import GradientError
from robench.evaluation.context import NetworkContext
from robench.evaluation.cost import CostHistory
from robench.evaluation.diagnostics import indicators, of_prefix
from robench.evaluation.kept import keep
from robench.evaluation.progress import Progress, Quiet, Watcher, tally
from robench.evaluation.request import EvaluationRequest
from robench.evaluation.transfer import FOLDER, TransferCrafter
from robench.evaluation.under_way import checkpoints_of, interrupted
from robench.specs import COUNTED, AttackSpec, digest
from robench.specs.diagnostic import INFINITE_GRADIENTS
from robench.store import Header, Record, Rows, Store, read
from robench.store.outcome import Outcome, Planned, Result, Skipped


def evaluate(
    request: EvaluationRequest,
    store: Store,
    watcher: Watcher,
    executor: Executor | None = None,
    *,
    for_later: bool = True,
) -> Outcome:
    """Run the attacks of a request, computing only what is missing; without an executor, in this process.

    If points are saved, what is needed to judge them `for_later` is written beside the first record.

    A transfer attack is run once for each substitute, on crafted examples; missing examples are crafted first. Attacks
    that meet NaN or infinite gradients are skipped, the others run.

    Raises:
        InputError: the network, the data or the settings cannot be evaluated.
    """
    outcome, made = Outcome(), {}
    if request.left_out:
        watcher.notice(f"{request.left_out} examples are left out: the target is their label.")
    if request.mask:
        stored_mask.store_mask(request.mask, store.raw / request.dataset / stored_mask.FOLDER)
    with ExitStack() as stack:
        run = EvaluationRun(request, store, watcher, stack, executor)
        applicable, outcome.skipped = run.sort_out(run.crafter.expand(request.attacks))
        # The longest attack of each family first: the shorter attacks are read from its record.
        families = [spec.family_identity() for spec in applicable]
        for spec in sorted(applicable, key=lambda spec: (families.index(spec.family_identity()), -spec.steps)):
            try:
                made[spec.name] = run.result(spec)
                if for_later and request.settings.save_adversarial and len(made) == 1:
                    keep(request, store)
            except GradientError as error:
                outcome.skipped.append(Skipped(spec.name, str(error).rstrip("."), infinite_gradients=True))
            else:
                watcher.finished(made[spec.name])
        if any(each.infinite_gradients for each in outcome.skipped):
            for result in made.values():
                run.mark(result.record)
    outcome.results = [made[spec.name] for spec in applicable if spec.name in made]
    return outcome


def skipped(request: EvaluationRequest, store: Store, watcher: Watcher) -> list[Skipped]:
    """List the attacks that `evaluate` would skip, each with its reason; no attack is run.

    Raises:
        InputError: the network, the data or the settings cannot be evaluated.
    """
    with ExitStack() as stack:
        return EvaluationRun(request, store, watcher, stack).sort_out(request.attacks)[1]


def plan(request: EvaluationRequest, store: Store, history: CostHistory | None = None) -> list[Planned]:
    """Forecast what `evaluate` would compute, after a short run on one micro-batch; nothing is stored.

    Args:
        request: the evaluation to forecast.
        store: holds finished records.
        history: passes that the attacks took on published defenses; without it, only upper bounds are given.
    """
    with ExitStack() as stack:
        run = EvaluationRun(request, store, Quiet(), stack)
        specs = run.crafter.expand([spec for spec in request.attacks if not run.context.unable(spec)])
        return [run.planned(spec, specs, history) for spec in specs]


class EvaluationRun:
    """The evaluation of one request: finds, derives or computes the record of each attack."""

    def __init__(
        self,
        request: EvaluationRequest,
        store: Store,
        watcher: Watcher,
        stack: ExitStack,
        executor: Executor | None = None,
    ) -> None:
        self.request, self.split, self.store, self.watcher = request, request.split, store, watcher
        self.executor = executor or Local(request.settings.device)
        device = self.executor.device
        self.context = NetworkContext(request, watcher, device, stack)
        self.crafter = TransferCrafter(request, store.raw / request.dataset / FOLDER, device)

    def sort_out(self, specs: Sequence[AttackSpec]) -> tuple[list[AttackSpec], list[Skipped]]:
        """Split attacks into those that apply and those that do not, with the reason."""
        reasons = [(spec, self.context.refusal(spec)) for spec in specs]
        skipped = [Skipped(spec.name, reason) for spec, reason in reasons if reason]
        return [spec for spec, reason in reasons if not reason], skipped

    def result(self, spec: AttackSpec) -> Result:
        """Return the record of an attack: found, cut from a longer record, or computed."""
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

    def mark(self, record: Record) -> None:
        """Note in a record, also on disk, that the network has NaN or infinite gradients."""
        if INFINITE_GRADIENTS in record.header.diagnostics or record.path is None:
            return
        with self._locked(record.header):
            header, rows = read(record.path)
            found = {**header.diagnostics, INFINITE_GRADIENTS: 1.0}
            record.header = header.model_copy(update={"diagnostics": found})
            self.store.write(record.header, rows)

    def source(self, spec: AttackSpec) -> str:
        """Return the source of an attack's verdicts, given the records that exist now."""
        header = self._header(spec)
        if self.store.find(header):
            return "stored"
        if _prefix_closed(spec) and self.store.family(header, self.watcher.notice):
            return "read from a longer run"
        return "compute"

    def planned(self, spec: AttackSpec, specs: Sequence[AttackSpec], history: CostHistory | None) -> Planned:
        """Forecast the cost of one attack among others, given the records that exist now."""
        source = self.source(spec)
        kin = (each for each in specs if each.family_identity() == spec.family_identity())
        longer = next((each for each in kin if each.steps > spec.steps), None)
        if source == "compute" and longer and _prefix_closed(spec):
            source = f"read from {longer.name}"
        if source != "compute":
            return Planned(spec.name, source)
        header = self._header(spec)
        chunks = self.store.chunks(header)
        done = tally(chunks.read()).ids
        left = len(self.split) - len(done)
        under_way = interrupted(header, chunks, self.watcher, {*self.split.ids.tolist()} - done)
        stored = f"{len(done)} of {len(self.split)} examples are stored" if done else ""
        source = ", ".join(filter(None, (source, stored, under_way)))
        classes = int(self.split.y.max()) + 1
        most = bind(spec).cost(spec.steps, classes)[0] * spec.restarts * left
        special = self.request.target is not None or self.request.mask is not None
        if history is None or self.request.under_test.service or special:
            return Planned(spec.name, source, seconds=None, most=most)
        try:
            speed_probe = self.context.speed_probe
        except GradientError:  # the speed of outputs alone is not measured
            return Planned(spec.name, source, seconds=None, most=most)
        correct = speed_probe.clean * left
        forwards, backwards = (correct * each for each in history.passes(spec, speed_probe.survivors, classes))
        seconds = speed_probe.seconds(forwards, backwards, spec.steps * spec.restarts, correct)
        return Planned(spec.name, source, round(forwards), round(backwards), seconds, most)

    def _header(self, spec: AttackSpec) -> Header:
        whole = {
            "model": self.request.under_test.identity,
            **self.request.attack_identity(spec),
        }
        kin = {key: value for key, value in whole["attack"].items() if key != "steps"}
        return Header(
            hash=digest(whole),
            family=digest({**whole, "attack": kin}),
            identity=whole,
            dataset=self.request.dataset,
            model=self.request.under_test.model,
            attack=spec,
            threat=self.request.threat,
            seed=self.request.settings.seed,
            n=len(self.split),
            target="" if self.request.target is None else self.request.target.text,
            mask=self.request.mask and self.request.mask.summary,
            precision=self.request.settings.precision,
            device=device_name(self.context.device),
            versions=versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            has_adversarial=self.request.settings.save_adversarial,
            has_curve=_prefix_closed(spec),
            normalisation=self.request.under_test.normalisation,
            remark=self.request.under_test.remark,
        )

    def _cut(self, path: Path, header: Header) -> Result:
        """Read an attack from a longer attack of its family."""
        longer, whole = read(path)
        rows = whole.after(header.attack.steps)
        if not header.has_adversarial:
            rows = replace(rows, adversarial=np.full(len(rows), None, dtype=object))
        header = header.model_copy(
            update={"derived_from": longer.hash, "device": longer.device, "versions": longer.versions,
                    "search": longer.search,
                    "invalid": int((~rows.valid).sum()),
                    "diagnostics": of_prefix(longer.diagnostics, whole, header.attack.steps)}
        )  # fmt: skip
        return Result(_record(header, rows, self.store), "prefix", 0, 0, 0.0)

    def _compute(self, header: Header) -> Result:
        chunks = self.store.chunks(header)
        before = tally(chunks.read())
        done = before.ids
        todo = np.array([i not in done for i in self.split.ids.tolist()]).nonzero()[0]
        # Before the first pass, so that no pass is lost if workers are missing.
        self.executor.join()
        # Before the attack, so that no attack is lost if the network cannot be probed.
        probe = self.context.probe if header.attack.access == "gradient" else None
        measured = probe.indicators(header.identity["attack"]["params"]) if probe else {}
        self.watcher.started(header.attack.name, len(self.context.correct), header.attack.steps)
        progress = Progress(self.watcher, before, len(self.split), header.attack)
        crafted = self.crafter.crafted(header.attack)
        job = self.context.job(header.attack, crafted, keep_adversarial=header.has_adversarial)
        checkpoints = checkpoints_of(header, chunks, self.watcher, job.network.search)
        positions = self._positions(todo, job, checkpoints)

        def finished(position: int, rows: Rows, cost: dict[str, Any]) -> None:
            chunks.write(position, rows, cost)
            if self.executor.goes_on:
                checkpoints.remove()
            progress.chunk_done(position, rows)

        self.executor.run(job, self._cut_up(positions, progress), progress.step, finished, checkpoints)
        whole = tally(chunks.read())
        rows = whole.rows(self.split.ids.numpy())
        found = indicators(whole.measures, whole.faults, header.attack) | measured
        if self.request.under_test.service is None:  # a service may give probabilities: it has no gradients
            found["probabilities"] = float(self.context.judge.looks_like_probabilities)
        else:
            found["shown"] = 1.0 + COUNTED.index(self.context.shown)
        found |= self.context.setup_faults
        found["two-classes"] = float(self.context.classes == 2)
        seconds = round(whole.seconds + self.context.take_compiling(), 3)
        header = header.model_copy(
            update={"seconds": seconds, "forwards": int(rows.forwards.sum()),
                    "backwards": int(rows.backwards.sum()), "clean_forwards": self.context.judge.forwards,
                    "judge_forwards": whole.judge_forwards, "probe_forwards": probe.forwards if probe else 0,
                    "device": " and ".join(sorted(whole.devices)) or header.device,
                    "search": " and ".join(sorted(whole.searches)) or header.search,
                    "faults": dict(whole.faults), "diagnostics": found, "invalid": int((~rows.valid).sum())}
        )  # fmt: skip
        record = _record(header, rows, self.store)
        earlier = checkpoints.earlier
        return Result(
            record, "computed", header.forwards - before.forwards - earlier.forwards,
            header.backwards - before.backwards - earlier.backwards, header.seconds - before.seconds - earlier.seconds,
        )  # fmt: skip

    def _positions(self, todo: np.ndarray, job: Job, checkpoints: Checkpoints) -> list[np.ndarray]:
        """Cut positions of the split into chunks; the examples of an interrupted attack come first, together."""
        found = checkpoints.find(self.split.ids[todo].tolist()) if self.executor.goes_on else None
        if found is None:
            return self._cut_evenly(todo, job)
        place = {i: at for at, i in enumerate(self.split.ids.tolist())}
        together = np.array([place[i] for i in found.ids])
        return [together, *self._cut_evenly(np.setdiff1d(todo, together), job)]

    def _cut_evenly(self, todo: np.ndarray, job: Job) -> list[np.ndarray]:
        """Cut positions of the split into chunks of nearly equal size.

        An attack that draws for its whole batch gets the chunks of the whole split, whatever the settings, the
        executor, and the examples that are done: its verdicts depend on them.
        """
        if job.algorithm.batch_random:
            whole = np.array_split(np.arange(len(self.split)), -(-len(self.split) // CHUNK))
            return [part for part in (np.intersect1d(each, todo) for each in whole) if len(part)]
        most = chunk_for(self.split.x, job.batcher)
        size = self.request.settings.chunk_size or self.executor.chunk_size(len(todo), most)
        return np.array_split(todo, -(-len(todo) // size)) if len(todo) else []

    def _cut_up(self, parts: list[np.ndarray], progress: Progress) -> Iterator[tuple[int, Chunk]]:
        """Yield the examples at some positions of the split as chunks, made one by one."""
        for positions in parts:
            chunk = self.context.chunk(torch.from_numpy(positions))
            progress.chunk_started(int(positions[0]), len(chunk))
            yield int(positions[0]), chunk

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
    """Return whether a longer run of its family contains the attack: stanza and algorithm must both allow it."""
    return spec.is_prefix_closed and bind(spec).is_prefix_stable


def _record(header: Header, rows: Rows, store: Store) -> Record:
    path = store.write(header, rows)
    return Record.of(header, rows, path)


def _read(path: Path) -> Result:
    header, rows = read(path, ["id", "label", "clean_prediction", "robust", "step", "queries"])
    return Result(Record.of(header, rows, path), "stored", 0, 0, 0.0)
