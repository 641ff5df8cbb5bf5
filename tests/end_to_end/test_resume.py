"""A run that is killed loses no finished chunk, and ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from robench.store import Store, read
from tests.support.marks import slow

SCRIPT = """
import sys, robench
from robench.data import find_dataset
split = find_dataset("digits").load("test").limit(int(sys.argv[2]))
robench.evaluate(robench.load_model("pgdat"), split.x, split.y, ids=split.ids, attacks=[sys.argv[3]], eps="0.2",
                 results=sys.argv[1], chunk_size=int(sys.argv[2]) // 8, batch_size=6)
"""


def run_here(folder, examples, attack):
    """The same evaluation in this process."""
    values = [repr(str(folder)), str(examples), repr(attack)]
    code = SCRIPT
    for at, value in enumerate(values, start=1):
        code = code.replace(f"sys.argv[{at}]", value)
    exec(code, {})


def start(folder, examples, attack):
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), str(examples), attack], env=one_thread)


def finished_chunks(folder):
    found = {}
    for path in folder.glob("raw/*/*/*.chunks/[0-9]*.parquet"):
        with suppress(FileNotFoundError):  # the record was finished meanwhile
            found[path.name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def only_record(folder):
    (path,) = Store(folder).paths()
    return read(path)


def wait_for_more(folder, known, process, limit=60):
    end = time.monotonic() + limit
    while process.poll() is None and time.monotonic() < end and len(finished_chunks(folder)) <= known:
        time.sleep(0.005)


@pytest.mark.parametrize(("times", "examples", "attack"), [(1, 24, "pgd-20"), slow(5, 96, "pgd-100")])
def test_kill_9_in_a_loop(tmp_path, times, examples, attack):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    run_here(undisturbed, examples, attack)
    moments, kills, chunks = random.Random(0), 0, {}
    while True:
        process = start(killed, examples, attack)
        wait_for_more(killed, len(chunks), process)
        if process.poll() is None and kills < times:
            time.sleep(moments.random() * 0.1)
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            now = finished_chunks(killed)
            assert now or list(Store(killed).paths())
            if now:
                assert {name: now[name] for name in chunks} == chunks, "a finished chunk was computed again"
            chunks = now
            continue
        beside = [start(killed, examples, attack)] if times > 1 else []  # two identical runs share what is left
        assert [each.wait() for each in (process, *beside)] == [0] * (1 + len(beside))
        break
    assert kills >= times - 2 * (times > 2)

    (header, rows), (header_again, rows_again) = only_record(undisturbed), only_record(killed)
    assert header.hash == header_again.hash
    assert not finished_chunks(killed)
    assert not list(killed.rglob("*.chunks"))
    for name in ("id", "label", "robust", "step", "queries", "forwards", "backwards", "prediction"):
        assert rows.columns()[name].tolist() == rows_again.columns()[name].tolist(), name
    assert header.forwards == header_again.forwards


OFTEN = "import robench.engine.saving as c; c.PACE, c.SPARING = 0.1, 2.0"


@pytest.mark.slow
def test_kill_9_within_the_only_chunk(tmp_path):
    """Killed twice at whatever moment, also while a checkpoint is written, the attack goes on within its chunk."""
    undisturbed, killed, attack = tmp_path / "undisturbed", tmp_path / "killed", "pgd-500"
    code = SCRIPT.replace("int(sys.argv[2]) // 8, batch_size=6", "None")
    commands = {to: [sys.executable, "-c", OFTEN + code, to, "24", attack] for to in (undisturbed, killed)}
    subprocess.run(commands[undisturbed], check=True)
    moments, seen = random.Random(1), []

    def saved():
        return [path.stat().st_mtime_ns for path in killed.rglob("under-way.safetensors")]

    for _ in range(2):
        process = subprocess.Popen(commands[killed])
        end = time.monotonic() + 60
        while time.monotonic() < end and saved() in ([], seen):
            time.sleep(0.005)
        seen = saved()
        time.sleep(moments.random() / 5)
        assert process.poll() is None, "it ended before it was killed"
        process.kill()
        process.wait()
    assert not [*killed.rglob("*.parquet")], "no chunk was finished"
    subprocess.run(commands[killed], check=True)
    (header, rows), (header_again, rows_again) = only_record(undisturbed), only_record(killed)
    assert not [*killed.rglob("*.chunks")]
    for name, column in rows.columns().items():
        assert [*map(str, column.tolist())] == [*map(str, rows_again.columns()[name].tolist())], name
    for name in ("forwards", "backwards", "judge_forwards", "faults", "diagnostics"):
        assert getattr(header, name) == getattr(header_again, name), name


def test_death_between_write_and_rename_leaves_nothing_that_is_read(tmp_path, monkeypatch):
    from pathlib import Path

    from robench.paths import atomic_path

    def die(*_):
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", die)
        with pytest.raises(SystemExit), atomic_path(tmp_path / "raw" / "d" / "m" / "a-0.parquet") as temporary:
            temporary.write_bytes(b"half")
    (tmp_path / "raw" / "d" / "m" / ".tmp-left.parquet").write_bytes(b"half")
    assert not list(Store(tmp_path).paths())


@pytest.mark.slow
def test_two_identical_runs_share_the_work(tmp_path):
    first = start(tmp_path, 96, "pgd-100")
    wait_for_more(tmp_path, 0, first)
    second = start(tmp_path, 96, "pgd-100")
    assert first.wait() == second.wait() == 0
    header, rows = only_record(tmp_path)
    assert len(rows) == header.n == 96
