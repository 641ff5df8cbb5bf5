"""Two runs on one record: the lock of a dead process is free, that of a living one is waited for."""

import json
import signal
import subprocess
import sys
import time
from threading import Thread

from filelock import FileLock

from robench.cli import run
from tests.support.records import raw_record
from tests.support.shell import SMALL


def lock_of(record):
    return record.parent / ".locks" / f"{record.stem[-16:]}.lock"


def test_the_lock_of_a_dead_process_is_free(cli, results):
    record = raw_record(results)
    code = f"import filelock, os; filelock.FileLock({str(lock_of(record))!r}).acquire(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert lock_of(record).is_file()
    record.unlink()
    said = cli(*SMALL, "--results", results)
    assert said.code == 0
    assert "waiting" not in said.err
    assert record.is_file()


def test_a_run_waits_for_another_and_takes_its_result(results, tmp_path, capsys):
    record, out = raw_record(results), tmp_path / "out.json"
    aside = record.rename(tmp_path / record.name)
    command = [*map(str, SMALL), "--results", str(results), "--json", str(out)]
    run_ = Thread(target=run, args=(command,))
    with FileLock(lock_of(record)):
        run_.start()
        heard, deadline = "", time.monotonic() + 20
        while "waiting" not in heard and time.monotonic() < deadline:
            time.sleep(0.02)
            heard += capsys.readouterr().err
        aside.rename(record)
    run_.join(20)
    assert "pgd-20: another run is computing it, waiting for its result" in heard
    assert [row["forwards"] for row in json.loads(out.read_text())["results"]] == [0, 0]
