"""Chunks as tasks of Ray: the verdicts of one process, whatever dies on the way.

Real processes on one machine: two nodes of a core each; workers and a node are killed with SIGKILL, a node is
stopped until it is taken for dead.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pyarrow.parquet as pq
import pytest
import torch

import robench
from robench.classifiers.classifier import assemble
from robench.errors import IncompleteError, InputError
from robench.specs import Architecture, Head, Input, find_attack
from robench.store import Store, read
from robench.store.raw import Chunks
from tests.support.shell import PYTHON
from tests.support.toys import Toy, X, evaluate, refusal

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402

pytestmark = pytest.mark.slow
DRIVER = os.getpid()
HEALTH = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_timeout_ms": 2000}
"""A node that does not answer is taken for dead after a few seconds, not half a minute."""


@pytest.fixture(scope="module")
def cluster():
    """A node with one worker, to which a test adds others; this process is connected to it."""
    for name in (__name__, "tests.support.toys"):  # no worker finds a test by name
        ray.cloudpickle.register_pickle_by_value(sys.modules[name])
    head = {
        "num_cpus": 1,
        "include_dashboard": False,
        "_system_config": {**HEALTH, "health_check_failure_threshold": 3},
    }
    started = Cluster(initialize_head=True, head_node_args=head)
    ray.init(started.address, log_to_driver=False)
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.fixture
def second(cluster):
    """A second node with one worker; a new one where the last was killed."""
    if not cluster.worker_nodes:
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    (node,) = cluster.worker_nodes
    return node


@pytest.fixture
def written(monkeypatch):
    """The positions of the chunks that are written, in order."""
    positions, write = [], Chunks.write

    def noted(self, position, rows, meta):
        positions.append(position)
        write(self, position, rows, meta)

    monkeypatch.setattr(Chunks, "write", noted)
    return positions


def columns(folder):
    """The verdicts of all records by attack and column."""
    found = {}
    for path in Store(folder).paths():
        header, rows = read(path)
        found[header.attack.name] = {name: list(map(repr, column.tolist())) for name, column in rows.columns().items()}
    assert found
    return found


def same(ours, theirs):
    ours, theirs = columns(ours), columns(theirs)
    assert ours.keys() == theirs.keys()
    for attack, verdicts in ours.items():
        for name, column in verdicts.items():
            assert column == theirs[attack][name], (attack, name)
    return ours


def wait(condition, limit=60):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


# ---- The same verdicts ----


def test_verdicts_are_those_of_one_process_example_by_example(second, digits, tmp_path, written):
    split = digits.limit(64)
    feature = find_attack("feature-attack").model_copy(update={"name": "feature-10", "steps": 10})
    options = {
        "eps": "0.2", "ids": split.ids, "max_queries": 100, "device": "cpu",
        "attacks": ["pgd-20", "square", "cascade", "transfer-pgd-20", feature],
        "substitutes": {"other": robench.load_model("pgdat")},
    }  # fmt: skip
    model = robench.load_model("pgdat_he")
    robench.evaluate(model, split.x, split.y, **options, results=tmp_path / "local")
    alone = len(written)
    robench.evaluate(model, split.x, split.y, **options, results=tmp_path / "ray", engine="ray", chunk_size=8)
    assert len(written) == alone + 5 * 8
    found = same(tmp_path / "local", tmp_path / "ray")
    assert {"pgd-20", "square-within-100", "cascade", "feature-10", "transfer-pgd-20-from-other"} == found.keys()
    assert next(model.parameters()).requires_grad


def test_all_workers_get_as_many_chunks_and_full_micro_batches_if_they_can(second):
    from robench.engine.executors.ray import Ray

    executor = Ray("cpu")
    assert executor.workers == 2
    assert [executor.chunk_size(n, 1024) for n in (0, 10, 540, 2000, 10**6)] == [1, 5, 135, 250, 1024]
    assert executor.chunk_size(10**6, 341) == 341


LAYERS = "from torch import nn\nclass Layer(nn.Linear):\n    pass\n"
NET = "from torch import nn\nimport layers\ndef make(): return nn.Sequential(nn.Flatten(), layers.Layer(64, 10))\n"


def test_a_network_of_ones_own_travels_with_what_lies_beside_it(second, cli, tmp_path):
    (tmp_path / "layers.py").write_text(LAYERS)
    (tmp_path / "net.py").write_text(NET)
    weights = {"1.weight": torch.randn(10, 64, generator=torch.Generator().manual_seed(0)), "1.bias": torch.zeros(10)}
    torch.save(weights, tmp_path / "w.pt")
    command = ["eval", "--model", f"{tmp_path / 'net.py'}:make", "--weights", tmp_path / "w.pt", "--dataset", "digits",
               "--attack", "mim-20", "--attack", "feature-attack", "--limit", 40]  # fmt: skip
    for engine in ("local", "ray"):
        said = cli(*command, "--engine", engine, "--results", tmp_path / engine)
        assert said.code == 0, said.err
    same(tmp_path / "local", tmp_path / "ray")


def test_workers_search_as_this_process_does(second, tmp_path):
    declared = Architecture(name="convnet", args={"channels": [8, 16], "strides": [1, 2], "batch_norm": True})
    torch.manual_seed(0)
    model, x = assemble(declared, Head(), Input(), (3, 32, 32), 10, "the test").eval(), torch.rand(40, 3, 32, 32)
    y = model(x).argmax(1)
    for engine in ("local", "ray"):
        found = robench.evaluate(
            model,
            x,
            y,
            eps=0.002,
            attacks=["pgd-20"],
            device="cpu",
            results=tmp_path / engine,
            engine=engine,
            chunk_size=10,
        )
        assert found.results[0].record.header.search == "fused"
    assert 0 < same(tmp_path / "local", tmp_path / "ray")["pgd-20"]["robust"].count("True") < 40


def test_workers_do_not_compile(second, cli, tmp_path):
    said = cli("eval", "--model", "pgdat", "--engine", "ray", "--search", "compiled", "--results", tmp_path)
    assert said.code == 2
    assert "use --search fused with Ray" in said.last


# ---- What dies ----


class Mortal(Toy):
    """A network whose worker is killed, once for each file in a folder."""

    def __init__(self, folder):
        super().__init__()
        self.folder = [folder]  # in a list it is no part of its identity

    def forward(self, x):
        if os.getpid() != DRIVER:
            for mark in self.folder[0].glob("kill-*"):
                mark.unlink(missing_ok=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


def test_killed_workers_lose_nothing_and_duplicate_nothing(second, tmp_path, written):
    model = Mortal(tmp_path)
    evaluate(model, results=tmp_path / "local")
    written.clear()
    for number in range(2):
        (tmp_path / f"kill-{number}").touch()
    evaluate(model, results=tmp_path / "ray", engine="ray", chunk_size=2)
    assert not list(tmp_path.glob("kill-*"))
    assert sorted(written) == list(range(0, len(X), 2))
    ids = same(tmp_path / "local", tmp_path / "ray")["pgd-20"]["id"]
    assert len(set(ids)) == len(ids) == len(X)


def test_a_chunk_that_kills_every_worker_ends_the_run_and_the_rest_is_kept(second, tmp_path, monkeypatch):
    monkeypatch.setattr("robench.engine.executors.ray.RETRIES", 0)
    (tmp_path / "kill-1").touch()
    with pytest.raises(IncompleteError, match="a worker was lost 1 times") as caught:
        evaluate(Mortal(tmp_path), results=tmp_path / "ray", engine="ray", chunk_size=1)
    assert "\n" not in str(caught.value)
    evaluate(Mortal(tmp_path), results=tmp_path / "ray", engine="ray", chunk_size=1)
    evaluate(Mortal(tmp_path), results=tmp_path / "local")
    same(tmp_path / "local", tmp_path / "ray")


class Held(Toy):
    """A network that waits on one node as long as a file is there, and says that it does."""

    def __init__(self, folder, node):
        super().__init__()
        self.where = [folder, node]

    def forward(self, x):
        folder, node = self.where
        if os.getpid() != DRIVER:
            (folder / f"seen-{x.sum().item()}-{os.getpid()}").touch()
            there = ray.get_runtime_context().get_node_id() == node
            if there and (folder / "hold").exists():
                (folder / "held").touch()
                wait(lambda: not (folder / "hold").exists(), limit=120)
                (folder / "late").touch()
            elif not there and (folder / "hold").exists():
                wait((folder / "held").exists)  # let the other node get a chunk
        return super().forward(x)


def test_a_node_that_dies_loses_nothing_and_duplicates_nothing(cluster, second, tmp_path, written):
    model = Held(tmp_path, second.node_id)
    evaluate(model, results=tmp_path / "local")
    written.clear()
    (tmp_path / "hold").touch()
    with ThreadPoolExecutor() as threads:
        run = threads.submit(evaluate, model, results=tmp_path / "ray", engine="ray", chunk_size=2)
        wait(lambda: run.done() or (tmp_path / "held").exists())
        cluster.remove_node(second, allow_graceful=False)
        run.result(timeout=120)
    assert sorted(written) == list(range(0, len(X), 2))
    same(tmp_path / "local", tmp_path / "ray")


def test_a_late_duplicate_of_a_chunk_is_not_written(cluster, second, tmp_path, written):
    """The node's daemon is stopped: the node is taken for dead while its worker goes on to the end; then it is back."""
    model = Held(tmp_path, second.node_id)
    evaluate(model, results=tmp_path / "local")
    written.clear()
    (tmp_path / "hold").touch()
    daemon = second.all_processes["raylet"][0].process.pid
    with ThreadPoolExecutor() as threads:
        run = threads.submit(evaluate, model, results=tmp_path / "ray", engine="ray", chunk_size=2)
        wait(lambda: run.done() or (tmp_path / "held").exists())
        os.kill(daemon, signal.SIGSTOP)
        try:
            wait(lambda: not next(n for n in ray.nodes() if n["NodeID"] == second.node_id)["Alive"])
            (tmp_path / "hold").unlink()
            wait((tmp_path / "late").exists)
        finally:
            os.kill(daemon, signal.SIGCONT)
        run.result(timeout=120)
    cluster.remove_node(second, allow_graceful=False)
    seen = [path.name.rpartition("-")[0] for path in tmp_path.glob("seen-*")]
    assert len(seen) > len(set(seen)), "no chunk was computed twice"
    assert sorted(written) == list(range(0, len(X), 2))
    same(tmp_path / "local", tmp_path / "ray")


# ---- What is refused ----


class Sick(Toy):
    """A network that is sound here and not on workers."""

    def forward(self, x):
        return super().forward(x) * (1.0 if os.getpid() == DRIVER else float("nan"))


def test_bad_input_found_by_a_worker_is_the_same_sentence(second, tmp_path):
    with pytest.raises(InputError, match="the network gives NaN or infinite logits for") as caught:
        evaluate(Sick(), engine="ray", chunk_size=2, results=tmp_path)
    assert type(caught.value) is InputError
    assert "\n" not in str(caught.value)


def test_other_faults_of_workers_are_shown_whole(second):
    class Broken(Toy):
        def forward(self, x):
            if os.getpid() != DRIVER:
                raise ZeroDivisionError("planted")
            return super().forward(x)

    with pytest.raises(ZeroDivisionError, match="planted"):
        evaluate(Broken(), engine="ray")


def test_what_cannot_travel_is_refused(second):
    toy = Toy()
    with socket.socket() as toy.line:  # type: ignore[assignment]
        assert "cannot be sent to workers" in refusal(toy, engine="ray")
    assert "engine='ray'" in refusal(robench.Service(Toy(), "toy"), engine="ray")
    assert "connected to Ray already" in refusal(engine="ray", ray_address="auto")
    assert "cuda:1" in refusal(engine="ray", device="cuda:1")
    assert "has no GPU" in refusal(engine="ray", device="cuda")


def test_a_worker_of_other_versions_is_refused(second, monkeypatch):
    monkeypatch.setattr(
        "robench.engine.executors.ray_worker.versions",
        lambda: {"python": "3", "robench": "0", "torch": "1.13", "numpy": "1"},
    )
    assert "install the same on all machines" in refusal(engine="ray")


# ---- Ctrl-C ----


def finished(folder):
    found = {}
    for path in folder.glob("raw/*/*/*.chunks/[0-9]*.parquet"):
        with suppress(FileNotFoundError):  # the record was finished meanwhile
            found[path] = path.stat().st_mtime_ns
    return found


def left_of(session):
    """The processes of a session that are still there."""
    listed = subprocess.run(["ps", "-o", "pid=", "-s", str(session)], capture_output=True, text=True, check=False)
    return listed.stdout.split()


def test_ctrl_c_keeps_finished_chunks_and_the_same_command_computes_the_rest(tmp_path):
    command = [*PYTHON, "eval", "--model", "pgdat", "--attack", "pgd-100", "--json", "-"]
    subprocess.run([*command, "--results", tmp_path / "local"], capture_output=True, check=True, timeout=300)
    command += ["--engine", "ray", "--results", tmp_path / "ray"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait(lambda: process.poll() is not None or len(finished(tmp_path / "ray")) >= 2, limit=200)
    assert process.poll() is None, "it ended before it could be interrupted"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.splitlines()[-1].startswith("robench: interrupted")
    assert "Traceback" not in said
    kept = finished(tmp_path / "ray")
    assert len(kept) >= 2
    wait(lambda: not left_of(process.pid), limit=30)
    before = sum(sum(pq.read_table(path)["forwards"].to_pylist()) for path in kept)

    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    (result,) = json.loads(again.stdout)["results"]
    forwards = columns(tmp_path / "local")["pgd-100"]["forwards"]
    assert result["forwards"] == sum(map(int, forwards)) - before
    same(tmp_path / "local", tmp_path / "ray")
