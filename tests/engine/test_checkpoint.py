"""An attack on one chunk that is interrupted goes on from its last checkpoint, and ends as if undisturbed."""

import numpy as np
import pytest
import torch

from robench.access.judge import Judge
from robench.algorithms import state_class
from robench.classifiers.frozen import frozen_network
from robench.engine import checkpoint
from robench.engine.checkpoint import LASTING, ORACLE, TALLIES, Checkpoint
from robench.engine.executors.base import work
from robench.engine.loop import AttackRun
from robench.errors import InputError
from robench.specs import find_attack, list_attacks
from robench.store.raw import Chunks
from robench.store.under_way import UnderWay
from tests.support.interruptions import MADE_WITH, always, checkpoints, over_and_over, same, until, work_on
from tests.support.marks import slow
from tests.support.networks import CPU, toy

N = 10
TARGET = torch.arange(N) % 6
MASK = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(3)) < 0.7
SHORT = {"opening": 2, "survey": 2, "hop": 3, "targets": 2}
CASES = {
    # attack, steps, restarts, parameters, options, a checkpoint every so many steps
    "cascade": ("cascade", 15, 1, SHORT, {}, 4),
    "square": ("square", 12, 1, {}, {"mask": MASK}, 5),
    "apgd, restarts": ("apgd-t", 6, 3, {}, {}, 4),
    "fab, l2": ("fab-t", 4, 3, {}, {"norm": "l2", "eps": "0.3"}, 3),
    "pgd, last iterate": ("pgd-20", 6, 2, {}, {"last": True}, 4),
    "mim, targeted": ("mim-20", 6, 1, {}, {"target": TARGET}, 4),
    "rays": slow("rays", 12, 1, {}, {"mask": MASK}, 5),
    "zoo": slow("zoo", 12, 1, {"rate": 0.5}, {"eps": "0.3"}, 4),
    "c&w": slow("cw-l2", 8, 1, {"iterations": 3}, {"norm": "l2", "eps": "0.3"}, 3),
    "deepfool": slow("deepfool", 4, 1, {}, {"target": TARGET}, 2),
    "features": slow("feature-attack", 5, 1, {}, {}, 3),
}


@pytest.fixture(scope="module")
def small():
    model, split = toy()
    with frozen_network(model, CPU) as frozen:
        yield frozen, split.limit(N)


def ordered(small, name="mim-20", steps=6, restarts=1, params=None, last=False, **options):
    spec = find_attack(name)
    change = {"steps": steps, "restarts": restarts, "params": {**spec.params, **(params or {})}}
    frozen, split = small
    return work_on(frozen, split, spec.model_copy(update=change | ({"success": "last"} if last else {})), **options)


@pytest.mark.parametrize(("name", "steps", "restarts", "params", "options", "every"), CASES.values(), ids=CASES.keys())
def test_an_attack_interrupted_over_and_over_ends_as_if_undisturbed(
    name, steps, restarts, params, options, every, small, monkeypatch, tmp_path
):
    job, chunk = ordered(small, name, steps, restarts, params, **options)
    expected = work(job, chunk, until(None))
    assert 1 <= expected[0].robust.sum() < N - 1, "some break and some do not"
    always(monkeypatch)
    result, places = over_and_over(job, chunk, tmp_path, every)
    same(result, expected)
    assert len(places) == -(-steps * restarts // every)
    assert len({restart for restart, _ in places}) >= min(restarts, 2), "one interruption is in the second restart"


@pytest.mark.parametrize("name", {find_attack(each).algorithm: each for each in list_attacks()}.values())
def test_the_state_of_every_algorithm_is_known_by_its_class(name, small):
    job, chunk = ordered(small, name, crafted=True)
    run = AttackRun(job, chunk, Judge(job.network, job.batcher), until(None))
    assert type(run.algorithm.init(run._task(0, torch.arange(N)))) is state_class(run.algorithm)


def test_everything_of_a_run_is_saved_or_made_again(small):
    """A new attribute of the oracle or of the loop must be put into one of the two sets."""
    job, chunk = ordered(small)
    run = AttackRun(job, chunk, Judge(job.network, job.batcher), until(None))
    given = {"goal", "network", "ball", "y", "ids", "access", "bounds", "batcher", "precision", "draws"}
    of_a_step = {"active", "watching", "step", "found", "points", "queries"}
    assert vars(run.oracle).keys() == {*ORACLE, *TALLIES} | given | of_a_step | {"closest"}
    assert vars(run).keys() == {"job", "chunk", "judge", "on_step", "algorithm", "ball", "oracle"} | {
        "attack_state", "claims", *LASTING,
    }  # fmt: skip
    others = {name for name, value in vars(run.attack_state).items() if not isinstance(value, torch.Tensor)}
    assert others == {"faults", "right"}, "the share of right answers is a tensor on random networks"


def test_values_keep_their_order_in_memory():
    for tensor in (
        torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.rand(2, 1, 4, 5).to(memory_format=torch.channels_last),
        torch.rand(4, 3).T,
        torch.rand(3),
        torch.rand(1, 3).expand(4, 3),
        torch.rand(4, 6)[:, ::2],
    ):
        values, strides = checkpoint._values(tensor), checkpoint._strides(tensor)
        back = checkpoint._restored(values, strides, CPU)
        assert torch.equal(back, tensor)
        dense = torch.empty_like(tensor).stride() == tensor.stride()
        assert (back.stride() == tensor.stride()) is dense


# ---- When ----


def test_a_short_attack_writes_nothing(small, tmp_path):
    kept, said = checkpoints(tmp_path / "none")
    job, chunk = ordered(small)
    work(job, chunk, until(None), kept)
    assert not (tmp_path / "none").exists()
    assert not said


@pytest.mark.parametrize(("writing", "times"), [(0.0, [21, 42, 63, 84]), (3.0, [21, 87])])
def test_a_checkpoint_in_20_seconds_and_at_most_a_twentieth_of_the_time(writing, times, small, monkeypatch, tmp_path):
    now, written = {"time": 0.0}, []
    monkeypatch.setattr("time.perf_counter", lambda: now["time"])

    def write(*_):
        written.append(now["time"])
        now["time"] += writing

    def on_step(_, t, __):
        now["time"] += 7.0 * (t > 0)

    monkeypatch.setattr(UnderWay, "write", write)
    job, chunk = ordered(small, steps=14)
    work(job, chunk, on_step, checkpoints(tmp_path)[0])
    assert written == times


def test_seconds_of_all_runs_add_up(small, monkeypatch, tmp_path):
    always(monkeypatch)
    job, chunk = ordered(small)
    now = {"time": 0.0}
    monkeypatch.setattr("time.perf_counter", lambda: now["time"])

    def on_step(restart, t, _):
        now["time"] += 10.0
        until((0, 3) if now["time"] < 50 else None)(restart, t, _)

    with pytest.raises(KeyboardInterrupt):
        work(job, chunk, on_step, checkpoints(tmp_path)[0])
    assert now["time"] == 40.0
    kept = checkpoints(tmp_path)[0]
    assert kept.find(chunk.ids.tolist()).spent.seconds == 30.0
    _, cost = work(job, chunk, on_step, kept)
    assert cost["seconds"] == 30.0 + 3 * 10.0


# ---- What does not fit ----


@pytest.fixture
def halfway(small, monkeypatch, tmp_path):
    """A job, its chunk and a folder with the checkpoint of three steps."""
    always(monkeypatch)
    job, chunk = ordered(small)
    with pytest.raises(KeyboardInterrupt):
        work(job, chunk, until((0, 3)), checkpoints(tmp_path)[0])
    return job, chunk, tmp_path


def rewritten(folder, change):
    place = UnderWay(Chunks(folder, "a" * 64))
    arrays, facts = place.read()
    change(arrays, facts)
    place.write(arrays, facts)


def cut(folder):
    path = folder / "under-way.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def flipped(folder):
    path = folder / "under-way.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


UNFIT = {
    "cut short": (cut, {}, "damaged"),
    "empty": (lambda folder: (folder / "under-way.safetensors").write_bytes(b""), {}, "damaged"),
    "one bit": (flipped, {}, "damaged"),
    "another record": (lambda _: None, {"hash_": "b" * 64}, "another record"),
    "another torch": (lambda _: None, {"made_with": {**MADE_WITH, "torch": "3"}}, "with torch 2, now it is 3"),
    "another device": (lambda _: None, {"made_with": {**MADE_WITH, "device": "gpu"}}, "now it is gpu"),
    "another form": (lambda folder: rewritten(folder, lambda _, facts: facts.pop("claims")), {}, "another version"),
    "another state": (
        lambda folder: rewritten(folder, lambda arrays, _: arrays.update({"state.y": arrays["state.x"]})),
        {},
        "another algorithm",
    ),
    "other examples": (
        lambda folder: rewritten(folder, lambda arrays, _: arrays.update({"run.ids": np.arange(3)})),
        {},
        "other examples",
    ),
    "part missing": (
        lambda folder: rewritten(folder, lambda arrays, _: arrays.pop("results.distance")),
        {},
        "parts that the attack needs",
    ),
    "more examples": (
        lambda folder: rewritten(folder, lambda arrays, _: arrays.update({"state.x": np.zeros((N + 1, 1, 8, 8))})),
        {},
        "another number",
    ),
}


@pytest.mark.parametrize(("spoil", "now", "word"), UNFIT.values(), ids=UNFIT.keys())
def test_a_checkpoint_that_does_not_fit_is_not_used_and_the_user_hears_it_once(spoil, now, word, halfway):
    job, chunk, folder = halfway
    spoil(folder)
    kept, said = checkpoints(folder, **now)
    kept.find(chunk.ids.tolist())
    begun = []
    result = work(job, chunk, lambda *step: begun.append(step), kept)
    assert begun[0][:2] == (0, 0)
    (notice,) = said
    assert word in notice
    assert "begins again" in notice
    same(result, work(job, chunk, until(None)))
    assert not any(kept.earlier)


def test_what_is_left_over_of_finished_examples_is_not_used(halfway):
    _, chunk, folder = halfway
    kept, said = checkpoints(folder)
    assert kept.find(chunk.ids.tolist()[1:]) is None
    assert not said


def test_a_full_disk_ends_checkpoints_but_not_the_attack(small, monkeypatch, tmp_path):
    def write(*_):
        raise InputError("cannot write: the disk is full.")

    always(monkeypatch)
    monkeypatch.setattr(UnderWay, "write", write)
    job, chunk = ordered(small)
    kept, said = checkpoints(tmp_path)
    same(work(job, chunk, until(None), kept), work(job, chunk, until(None)))
    assert said == ["no checkpoint is made, the attack goes on: cannot write: the disk is full."]


def test_states_that_cannot_be_written_are_no_fault(halfway, monkeypatch):
    job, chunk, folder = halfway
    (folder / "under-way.safetensors").unlink()

    monkeypatch.setattr(checkpoint, "state_class", lambda _: None)
    kept, said = checkpoints(folder)
    work(job, chunk, until(None), kept)
    assert not (folder / "under-way.safetensors").exists()
    assert not said


def test_a_checkpoint_knows_how_far_it_is(halfway):
    job, chunk, folder = halfway
    found = checkpoints(folder)[0].find(chunk.ids.tolist())
    assert isinstance(found, Checkpoint)
    assert found.share(job.spec) == 0.5
    assert found.spent.forwards >= found.spent.backwards > 0
