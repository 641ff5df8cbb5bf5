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

from robench.access.stochastic import JUDGE_DRAWS
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
from robench.evaluation.draw_noise import fall, noise_share
from robench.evaluation.kept import keep
from robench.evaluation.progress import Progress, Quiet, Watcher, tally
from robench.evaluation.request import EvaluationRequest
from robench.evaluation.transfer import FOLDER, TransferCrafter
from robench.evaluation.under_way import checkpoints_of, interrupted
from robench.specs import COUNTED, AttackSpec, digest
from robench.specs.diagnostic import INFINITE_GRADIENTS, REJECTED
from robench.store import SCHEMA, Header, Record, Rows, Store, read
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
    if outcome.results:
        outcome.elsewhere = store.beside(outcome.results[0].record.header, watcher.notice)
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
            path = self.store.family(header, self.watcher.notice) if self._prefix_closed(spec) else None
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
        if self._prefix_closed(spec) and self.store.family(header, self.watcher.notice):
            return "read from a longer run"
        return "compute"

    def planned(self, spec: AttackSpec, specs: Sequence[AttackSpec], history: CostHistory | None) -> Planned:
        """Forecast the cost of one attack among others, given the records that exist now."""
        source = self.source(spec)
        kin = (each for each in specs if each.family_identity() == spec.family_identity())
        longer = next((each for each in kin if each.steps > spec.steps), None)
        if source == "compute" and longer and self._prefix_closed(spec):
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
        draws = 1 if bind(spec).needs_draws else self.request.settings.draws or 1
        most = draws * bind(spec).cost(spec.steps, classes)[0] * spec.restarts * left
        special = self.request.target is not None or self.request.mask is not None
        if history is None or self.request.under_test.service or special:
            return Planned(spec.name, source, seconds=None, most=most)
        try:
            speed_probe = self.context.speed_probe
        except GradientError:  # the speed of outputs alone is not measured
            return Planned(spec.name, source, seconds=None, most=most)
        correct = speed_probe.clean * left
        forwards, backwards = (draws * correct * each for each in history.passes(spec, speed_probe.survivors, classes))
        seconds = speed_probe.seconds(forwards, backwards, spec.steps * spec.restarts, correct)
        return Planned(spec.name, source, round(forwards), round(backwards), seconds, most)

    def _of_draws(self, draws: int, spec: AttackSpec, rows: Rows) -> dict[str, float]:
        """Return the indicators of an attack on a random network."""
        found = {"unseeded": float(self.context.draws is not None and not self.context.draws.repeats)}
        if spec.access == "gradient" and not bind(spec).needs_draws:
            found["noisy-gradients"] = round(noise_share(self.context.noise_to_signal, draws, spec.steps), 6)
        half = self._half_the_draws(spec) if draws > 1 else None
        return found if half is None else {**found, "falls-with-draws": fall(read(half)[1], rows)}

    def _half_the_draws(self, spec: AttackSpec) -> Path | None:
        """Return the record of the same attack with half the draws, if there is one."""
        settings = self.request.settings
        half = replace(self.request, settings=replace(settings, draws=(settings.draws or 0) // 2))
        return self.store.find(self._header(spec, half))

    def _header(self, spec: AttackSpec, request: EvaluationRequest | None = None) -> Header:
        request = request or self.request
        whole = {
            "model": request.under_test.identity,
            **request.attack_identity(spec),
        }
        kin = {key: value for key, value in whole["attack"].items() if key != "steps"}
        return Header(
            hash=digest(whole),
            family=digest({**whole, "attack": kin}),
            identity=whole,
            dataset=request.dataset,
            model=request.under_test.model,
            attack=spec,
            threat=request.threat,
            seed=request.settings.seed,
            n=len(self.split),
            target="" if request.target is None else request.target.text,
            mask=request.mask and request.mask.summary,
            precision=request.settings.precision,
            device=device_name(self.context.device),
            versions=versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            has_adversarial=request.settings.save_adversarial,
            has_curve=self._prefix_closed(spec),
            normalisation=request.under_test.normalisation,
            remark=request.under_test.remark,
            backward=request.backward_of(spec) or "",
            **_drawn(request.settings.draws),
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
        if self.request.under_test.rejects:
            found[REJECTED] = float((self.context.clean == self.context.classes).float().mean())
        found["two-classes"] = float(self.context.classes == 2)
        if self.request.settings.draws:
            found |= self._of_draws(self.request.settings.draws, header.attack, rows)
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

    def _prefix_closed(self, spec: AttackSpec) -> bool:
        """Return whether a longer run of its family contains the attack: stanza and algorithm must both allow it.

        On a random network no run does, because the judge rules on the best point of the whole run.
        """
        return self.request.settings.draws is None and spec.is_prefix_closed and bind(spec).is_prefix_stable

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


def _drawn(draws: int | None) -> dict[str, int]:
    """Return the fields of a header that only records of random networks have."""
    return {} if draws is None else {"draws": draws, "judge_draws": JUDGE_DRAWS, "schema_version": SCHEMA}


def _record(header: Header, rows: Rows, store: Store) -> Record:
    path = store.write(header, rows)
    return Record.of(header, rows, path)


def _read(path: Path) -> Result:
    header, rows = read(path, ["id", "label", "clean_prediction", "robust", "step", "queries"])
    return Result(Record.of(header, rows, path), "stored", 0, 0, 0.0)
