"""An evaluation that is interrupted in the middle of its only chunk goes on there, whatever its settings then are."""

import json

import pytest
from safetensors import SafetensorError

from robench.algorithms.mim import MIM
from robench.engine import saving
from robench.store import Store, read
from tests.support.interruptions import always
from tests.support.marks import slow
from tests.support.toys import Interrupted, evaluate

OPTIONS = {"attacks": ["pgd-20"], "save_adversarial": True}
COST = ("forwards", "backwards", "judge_forwards", "probe_forwards", "faults", "diagnostics", "invalid", "device")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The record of an undisturbed evaluation, its folder, and the number of calls of the network."""
    folder, many = tmp_path_factory.mktemp("undisturbed"), 10**9
    Interrupted.left = many
    result = evaluate(Interrupted(), results=folder, **OPTIONS).results[0]
    calls, Interrupted.left = many - Interrupted.left, many
    return result, folder, calls


def interrupted(folder, monkeypatch, left, **options):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        always(patched)
        patched.setattr(Interrupted, "left", left)
        evaluate(Interrupted(), results=folder, **OPTIONS, **options)


def written(folder):
    (path,) = Store(folder).paths()
    return read(path)


@pytest.mark.parametrize("options", [{"chunk_size": 2, "batch_size": 5}, slow({})], ids=str)
def test_the_same_call_goes_on_with_other_settings(options, undisturbed, monkeypatch, tmp_path):
    result, folder, calls = undisturbed
    interrupted(tmp_path, monkeypatch, calls - 12)
    (path,) = tmp_path.rglob("under-way.safetensors")
    assert path.parent.suffix == ".chunks-with-points"
    again = evaluate(Interrupted(), results=tmp_path, **OPTIONS, **options).results[0]
    assert 0 < again.forwards < result.forwards / 2, "it counts what this run spent"
    (header, rows), (expected, others) = written(tmp_path), written(folder)
    for name in COST:
        assert getattr(header, name) == getattr(expected, name), name
    for name, column in rows.columns().items():
        assert [*map(str, column.tolist())] == [*map(str, others.columns()[name].tolist())], name
    assert header.hash == expected.hash
    assert header.seconds > again.seconds
    assert not list(tmp_path.rglob("*.chunks*"))


def test_examples_that_are_finished_meanwhile_are_not_attacked_again(undisturbed, monkeypatch, tmp_path):
    """A checkpoint is left over if a run dies after it wrote the chunk, and before it removed the checkpoint."""
    _, folder, calls = undisturbed
    interrupted(tmp_path, monkeypatch, calls - 12)
    (path,) = tmp_path.rglob("under-way.safetensors")
    left_over = path.read_bytes()
    monkeypatch.setattr(Store, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Interrupted(), results=tmp_path, **OPTIONS)
    assert not path.exists()
    path.write_bytes(left_over)
    monkeypatch.undo()
    assert evaluate(Interrupted(), results=tmp_path, **OPTIONS).results[0].forwards == 0
    assert written(tmp_path)[1].robust.tolist() == written(folder)[1].robust.tolist()


def stop(*_):
    raise KeyboardInterrupt


def pressed(cli, monkeypatch, command):
    """What a command says if the user presses Ctrl-C after seven steps."""
    step = MIM.step

    def press(self, state, t, task):
        return step(self, state, t, task) if t < 7 else stop()

    with monkeypatch.context() as patched:
        always(patched)
        patched.setattr(MIM, "step", press)
        return cli(*command)


COMMAND = ("eval", "--model", "pgdat", "--attack", "mim-20", "--limit", 20, "--results")


def test_the_command_says_what_is_kept_and_where_it_goes_on(cli, monkeypatch, tmp_path):
    said = pressed(cli, monkeypatch, (*COMMAND, tmp_path))
    assert said.code == 130
    kept = "robench: interrupted: what was finished is kept, and mim-20 as it was 0 s ago; the same command continues "
    assert said.last == kept + "from there."
    again = cli(*COMMAND, tmp_path)
    assert again.code == 0
    assert "pgdat mim-20: goes on where it was interrupted, at 35% of 20 images\n" in again.err


@pytest.mark.slow
def test_a_forecast_says_how_far_an_interrupted_attack_is(cli, monkeypatch, tmp_path):
    pressed(cli, monkeypatch, (*COMMAND, tmp_path))
    planned = json.loads(cli(*COMMAND, tmp_path, "--dry-run", "--json", "-").out)["plans"]
    assert [row["source"] for row in planned["digits/pgdat"]] == ["compute, 20 are 35% done"]


def test_a_damaged_checkpoint_costs_a_notice(undisturbed, monkeypatch, tmp_path):
    _, folder, calls = undisturbed
    interrupted(tmp_path, monkeypatch, calls - 12)
    (path,) = tmp_path.rglob("under-way.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="is damaged or cut short: it is not used"):
        evaluate(Interrupted(), results=tmp_path, **OPTIONS)
    assert written(tmp_path)[1].step.tolist() == written(folder)[1].step.tolist()


def test_the_default_pace_is_twenty_seconds():
    assert saving.PACE == saving.SPARING == 20.0


def test_a_full_disk_costs_the_checkpoint_and_not_the_attack(undisturbed, monkeypatch, tmp_path):
    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device")

    always(monkeypatch)
    monkeypatch.setattr("robench.store.under_way.save_file", full)
    with pytest.warns(UserWarning, match="no checkpoint is made, the attack goes on"):
        result = evaluate(Interrupted(), results=tmp_path, **OPTIONS).results[0]
    assert (result.record.robust == undisturbed[0].record.robust).all()
    assert not list(tmp_path.rglob("under-way*"))
