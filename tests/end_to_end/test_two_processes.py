"""Training in two processes under torchrun."""

import json
import os
import subprocess
import sys

import pytest

from robench.paths import data_root
from robench.specs import read_card
from tests.support.marks import slow
from tests.support.trained import apart, declare, run, weights

WATCH = """
import os, sys
rank = os.environ.get("RANK")
if rank:
    def heard(event, arguments):
        if event == "os.rename":
            with open(os.environ["WATCHED"] + rank, "a") as stream:
                stream.write(os.path.basename(os.fspath(arguments[1])) + "\\n")
    sys.addaudithook(heard)
"""
"""As `sitecustomize`: notes every file that a process puts in its place."""


def together(*arguments, folder, limit=120):
    """Two processes under torchrun."""
    (folder / "watch").mkdir(exist_ok=True)
    (folder / "watch" / "sitecustomize.py").write_text(WATCH)
    paths = os.pathsep.join([str(folder / "watch"), str(data_root()), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "WATCHED": str(folder / "rank"), "PYTHONPATH": paths},
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=limit)
        finally:
            process.terminate()  # it takes its workers with it
    assert process.returncode == 0, err
    return out, err


@pytest.mark.parametrize("holdout", [slow(157, id="even"), slow(156, id="odd")])
def test_two_processes_train_as_one_and_one_of_them_speaks_and_writes(tmp_path, holdout):
    """The last mini-batch has 12 examples, or 13."""
    changes = {"recipe.holdout": holdout}
    run(tmp_path / "one", changes)
    declare(tmp_path / "card", changes)
    made = tmp_path / "digits" / "card"
    command = ("-m", "robench", "train", "--model", tmp_path / "card" / "card.toml", "--out", tmp_path)
    out, err = together(*command, "--device", "cpu", folder=tmp_path)
    assert apart(weights(made), weights(tmp_path / "one")) < 1e-5
    assert read_card(made).sha256
    assert out.splitlines()[0] == f"wrote {made / 'card.toml'}"
    assert len(out.splitlines()) == 2
    assert [line.split("  loss")[0] for line in err.splitlines()] == [
        f"digits/card@ epoch   {number}/2" for number in (1, 2)
    ]
    first, second = (set((tmp_path / f"rank{rank}").read_text().split()) - {".writable"} for rank in (0, 1))
    assert first == {"checkpoint.pt", "log.csv", "weights.safetensors", "card.toml"}
    assert not second


@pytest.mark.slow
def test_two_processes_share_a_last_mini_batch_of_one(tmp_path):
    """1,257 - 168 = 17 * 64 + 1."""
    run(tmp_path / "one", {"recipe.holdout": 168})
    declare(tmp_path / "card", {"recipe.holdout": 168})
    card = tmp_path / "card" / "card.toml"
    together("-m", "robench", "train", "--model", card, "--out", tmp_path, "--device", "cpu", folder=tmp_path)
    assert apart(weights(tmp_path / "digits" / "card"), weights(tmp_path / "one")) < 1e-5


@pytest.mark.slow
def test_two_processes_train_several_cards_in_a_row(tmp_path):
    """Joining again and again, as `train --all` does, must not wait for ever."""
    chosen = []
    for number, framework in enumerate(["standard", "trades", "alp", "free_at"] * 3):
        declare(tmp_path / f"c{number}", {"recipe.framework": framework, "recipe.epochs": 1})
        chosen += ["--model", tmp_path / f"c{number}" / "card.toml"]
    out, _ = together("-m", "robench", "train", *chosen, "--out", tmp_path / "out", "--device", "cpu", folder=tmp_path)
    assert out.count("wrote ") == 12


HEARD = """
import json, os, sys
from pathlib import Path
import torch
from robench.specs import read_card
from robench.training import train
seen = []
folder = Path(sys.argv[1])
train(read_card(folder), folder, torch.device("cpu"), lambda e: seen.append([e.clean_accuracy, e.robust_accuracy]))
(folder / f"heard{os.environ['RANK']}.json").write_text(json.dumps(seen))
"""


@pytest.mark.slow
def test_two_processes_agree_on_every_epoch(tmp_path):
    """Each sees other examples in batch norm, but patience must stop both at once, or one waits for ever."""
    network = {"architecture.name": "wide_resnet", "architecture.args": {"depth": 10, "widen_factor": 1}}
    declare(tmp_path, {**network, "recipe.framework": "pgd_at", "recipe.eps": "0.05", "recipe.epochs": 3})
    (tmp_path / "heard.py").write_text(HEARD)
    together(tmp_path / "heard.py", tmp_path, folder=tmp_path)
    first, second = (json.loads((tmp_path / f"heard{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
