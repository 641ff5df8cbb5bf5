"""The training loop on real, tiny runs: what is kept, how it computes, how often it updates."""

import csv
from math import inf

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from robench.classifiers import Classifier, load_card
from robench.specs import read_card
from robench.store.log import read_log
from robench.training import train
from robench.training.net import Net
from tests.support.networks import CPU
from tests.support.trained import COLLAPSES, apart, declare, refusal, run, weights

# ---- What is kept: best weights, patience, log, checkpoints ----


def kept_states(folder, changes):
    """The epochs of a run and the network after each, from its checkpoints."""
    states = []

    def look(_):
        states.append(torch.load(folder / "checkpoint.pt", weights_only=True)["model"])

    return run(folder, changes, look), states


def test_keep_best_publishes_the_best_epoch(tmp_path):
    seen, states = kept_states(tmp_path, {**COLLAPSES, "recipe.keep": "best"})
    scores = [epoch.clean_accuracy for epoch in seen]
    best = scores.index(max(scores))
    assert best < len(scores) - 1, "the run must get worse, or it shows nothing"
    assert apart(weights(tmp_path), states[best]) == 0
    assert apart(weights(tmp_path), states[-1]) > 0
    assert load_card(read_card(tmp_path)).training is False
    assert apart(load_file(tmp_path / "last.safetensors"), states[-1]) == 0
    kept = ["card.toml", "last.safetensors", "log.csv", "weights.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_best_means_robust_where_training_is_adversarial(tmp_path):
    """Noise in place of attacks: clean accuracy first, no robustness until the dead network answers a constant."""
    noise = {"recipe.framework": "pgd_at", "recipe.eps": "0.5", "recipe.steps": 1, "recipe.rel_step": "1/1000"}
    seen, states = kept_states(tmp_path, {**COLLAPSES, **noise, "recipe.keep": "best"})
    clean, robust = ([getattr(epoch, f"{kind}_accuracy") for epoch in seen] for kind in ("clean", "robust"))
    best = robust.index(max(robust))
    assert best != clean.index(max(clean))
    assert apart(weights(tmp_path), states[best]) == 0


def test_keep_last_publishes_the_last_epoch(tmp_path):
    seen, states = kept_states(tmp_path, COLLAPSES)
    assert len(seen) == 8
    assert apart(weights(tmp_path), states[-1]) == 0


@pytest.mark.parametrize("patience", [1, 2])
def test_patience_stops_after_so_many_epochs_without_a_better_one(tmp_path, patience):
    seen = run(tmp_path, {**COLLAPSES, "recipe.patience": patience})
    scores, best, waited = [epoch.clean_accuracy for epoch in seen], -inf, 0
    for number, score in enumerate(scores):
        best, waited = (score, 0) if score > best else (best, waited + 1)
        assert waited < patience or number == len(scores) - 1, "it went on for too long"
    assert waited == patience
    assert len(seen) < COLLAPSES["recipe.epochs"]


@pytest.mark.parametrize("key", ["recipe.patience", "recipe.keep"])
def test_choosing_epochs_without_held_out_examples_is_refused(tmp_path, key):
    """Otherwise every epoch scores NaN: the first one would be published, or the run stopped."""
    assert "holdout" in refusal(
        tmp_path, {key: {"recipe.patience": 1, "recipe.keep": "best"}[key], "recipe.holdout": 0}
    )


@pytest.mark.parametrize("holdout", [1257, 5000])
def test_holding_everything_out_is_refused(tmp_path, holdout):
    assert "holdout" in refusal(tmp_path, {"recipe.holdout": holdout})


def test_log_has_a_line_an_epoch(tmp_path):
    lines = []

    def look(_):
        lines.append(len((tmp_path / "log.csv").read_text().splitlines()))

    seen = run(tmp_path, {"recipe.epochs": 3, "recipe.framework": "pgd_at"}, look)
    assert lines == [2, 3, 4], "also while training"
    with (tmp_path / "log.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row, epoch in zip(rows, seen, strict=True):
        for key in ("lr", "loss", "clean_accuracy", "robust_accuracy", "seconds"):
            assert float(row[key]) == pytest.approx(getattr(epoch, key), rel=1e-4, abs=0.006)
    assert [e.loss for e in read_log(tmp_path / "log.csv")] == pytest.approx([e.loss for e in seen], abs=1e-5)


def test_checkpoint_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """The disk fills while the second checkpoint is written: the first is still there, and training goes on from it."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole, {"recipe.epochs": 3})
    save = torch.save

    def full(state, path):
        if len(state["history"]) == 1:
            return save(state, path)
        path.write_bytes(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    assert "No space left" in refusal(broken, {"recipe.epochs": 3})
    monkeypatch.undo()
    assert len(torch.load(broken / "checkpoint.pt", weights_only=True)["history"]) == 1
    assert not list(broken.glob(".tmp-*"))
    assert [epoch.epoch for epoch in run(broken, {"recipe.epochs": 3})] == [1, 2, 3]
    assert apart(weights(whole), weights(broken)) == 0


class Runs:
    """A pickle that would run code."""

    def __reduce__(self):
        return print, ("this must not run",)


@pytest.mark.parametrize("kind", ["empty", "cut", "garbage", "code", "list", "part"])
def test_damaged_checkpoint_is_refused_in_one_sentence(tmp_path, cli, capsys, kind):
    class Interrupted(Exception):
        pass

    def stop(_):
        raise Interrupted

    out = tmp_path / "out" / "digits" / "card"
    with pytest.raises(Interrupted):
        train(declare(tmp_path / "card"), out, CPU, stop)
    path = out / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    if kind in ("code", "list", "part"):
        torch.save({"code": Runs(), "list": [1], "part": {"key": state["key"]}}[kind], path)
    else:
        path.write_bytes({"empty": b"", "cut": path.read_bytes()[:-200], "garbage": b"\x80garbage" * 99}[kind])
    before = path.read_bytes()
    said = cli("train", "--model", tmp_path / "card" / "card.toml", "--out", tmp_path / "out", "--device", "cpu")
    assert said.code == 2
    assert "checkpoint.pt'" in said.sentence
    assert "delete it" in said.sentence
    assert "must not run" not in said.out
    assert path.read_bytes() == before
    again = ("train", "--model", tmp_path / "card" / "card.toml", "--out", tmp_path / "out", "--device", "cpu")
    assert cli(*again, "--no-resume").code == 0, "starting over needs no checkpoint"


# ---- Arithmetic and updates ----


def test_bf16_is_used_and_trains(tmp_path):
    kinds = set()
    handle = register_module_forward_hook(
        lambda module, _, out: kinds.add(out.dtype) if isinstance(module, nn.Conv2d) else None
    )
    try:
        seen = run(tmp_path / "bf16", {"recipe.precision": "bf16", "recipe.epochs": 4})
    finally:
        handle.remove()
    assert kinds == {torch.bfloat16}
    assert seen[-1].loss < 0.8 * seen[0].loss
    assert all(value.dtype == torch.float32 for value in weights(tmp_path / "bf16").values())


def test_channels_last_is_used_and_trains_alike(tmp_path):
    layouts = set()
    handle = register_module_forward_hook(
        lambda module, images, _: (
            layouts.add(images[0].is_contiguous(memory_format=torch.channels_last))
            if isinstance(module, nn.Conv2d)
            else None
        )
    )
    try:
        seen = run(tmp_path / "last", {"recipe.channels_last": True, "recipe.epochs": 4})
    finally:
        handle.remove()
    assert layouts == {True}
    assert seen[-1].loss < 0.8 * seen[0].loss
    run(tmp_path / "first", {"recipe.epochs": 4})
    assert apart(weights(tmp_path / "last"), weights(tmp_path / "first")) < 1e-3


def test_channels_last_images():
    """One channel lies alike either way, so here are three."""
    layouts = []

    class Looks(Classifier):
        def __init__(self):
            nn.Module.__init__(self)

        def forward(self, x):
            layouts.append(x.is_contiguous(memory_format=torch.channels_last))
            return x.mean((2, 3))

    for wanted in (False, True):
        net = Net(Looks(), Looks(), "fp32", CPU, channels_last=wanted)
        assert torch.equal(net(torch.ones(2, 3, 4, 5)), net.infer(torch.ones(2, 3, 4, 5)))
    assert layouts == [False, False, True, True]


@pytest.mark.parametrize(
    ("framework", "args", "each"), [("pgd_at", {}, 1), ("trades", {}, 1), ("free_at", {"replays": 3}, 3)]
)
def test_updates_a_mini_batch(tmp_path, framework, args, each):
    """FreeAT replays each mini-batch m times; the schedule counts mini-batches."""
    steps = []
    handle = register_optimizer_step_post_hook(lambda optimizer, *_: steps.append(optimizer.param_groups[0]["lr"]))
    try:
        run(
            tmp_path,
            {"recipe.framework": framework, "recipe.args": args, "recipe.epochs": 1, "recipe.schedule": "cyclic"},
        )
    finally:
        handle.remove()
    batches = -(-1100 // 64)
    assert len(steps) == each * batches
    assert steps[::each] == pytest.approx(
        [0.1 * np.interp(b / batches, [0, 0.4, 1], [0, 1, 0]) for b in range(batches)]
    )
