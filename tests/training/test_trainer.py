"""The training loop on real, tiny runs: schedules, augmentation, what is kept, several processes, image folders."""

import csv
import hashlib
import json
import os
import pickle
import subprocess
import sys
from itertools import pairwise, product
from math import cos, inf, pi

import numpy as np
import pytest
import tomlkit
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from robench.classifiers import load_card
from robench.cli.train import _names
from robench.data import find_dataset
from robench.errors import InputError
from robench.paths import data_root
from robench.specs import Recipe, read_card
from robench.store.log import read_log
from robench.training import train
from robench.training.augment import crop_flip
from robench.training.net import Net
from robench.training.schedule import schedule
from robench.training.variants import variant

CPU = torch.device("cpu")
TINY = {
    "sha256": "", "architecture.args": {"channels": [4, 8], "strides": [2, 2], "features": 16},
    "recipe.framework": "standard", "recipe.epochs": 2, "recipe.steps": 2,
}  # fmt: skip
COLLAPSES = {"recipe.schedule": "cyclic", "recipe.lr": 1.0, "recipe.epochs": 8}
"""The learning rate climbs until the network dies: the best epoch is an early one."""


def declare(folder, changes=None):
    """The card of PGD-AT on digits with a tiny network, standard training and other changes."""
    document = tomlkit.parse((data_root() / "models" / "digits" / "pgdat" / "card.toml").read_text())
    for key, value in {**TINY, **(changes or {})}.items():
        *tables, last = key.split(".")
        table = document
        for name in tables:
            table = table.setdefault(name, tomlkit.table())
        table[last] = value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.toml").write_text(tomlkit.dumps(document))
    return read_card(folder)


def run(folder, changes=None, hear=lambda _: None, **options):
    """Train a changed card in `folder`; the epochs it told of."""
    seen = []
    train(declare(folder, changes), folder, CPU, lambda epoch: (seen.append(epoch), hear(epoch)), **options)
    return seen


def weights(folder):
    return load_file(folder / "weights.safetensors")


def apart(a, b):
    """The largest difference between two networks' weights."""
    assert a.keys() == b.keys()
    return max((a[key].float() - b[key].float()).abs().max().item() for key in a)


def refusal(folder, changes, **options):
    with pytest.raises(InputError) as caught:
        run(folder, changes, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- Learning rates ----


def rates(epochs, batches, **changes):
    """The learning rate of every update."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5)
    plan = schedule(Recipe(framework="standard", epochs=epochs, batch_size=1, lr=0.5, **changes), optimizer, batches)
    out = []
    for _ in range(epochs * batches):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plan.step()
    return out


def test_constant():
    assert rates(3, 4, schedule="constant", milestones=[1]) == [0.5] * 12


def test_step_falls_to_a_tenth_at_each_milestone():
    have = rates(5, 3, schedule="step", milestones=[2, 4])
    assert have == pytest.approx([0.5] * 6 + [0.05] * 6 + [0.005] * 3)


def test_cyclic_climbs_over_two_fifths_and_falls_to_zero():
    have = rates(2, 10, schedule="cyclic")
    assert have == pytest.approx([0.5 * u / 8 if u <= 8 else 0.5 * (20 - u) / 12 for u in range(20)])


def test_one_cycle_climbs_over_a_fifth_and_falls_by_a_cosine():
    have = rates(5, 10, schedule="one_cycle")
    top, last, low = 9, 49, 0.5 / 25
    assert have[0] == pytest.approx(low)
    assert all(a < b for a, b in pairwise(have[: top + 1]))
    assert have[top] == pytest.approx(0.5)
    fall = [0.25 * (1 + cos(pi * (u - top) / (last - top))) for u in range(top, last + 1)]
    assert have[top:] == pytest.approx(fall, abs=1e-5)


@pytest.mark.parametrize("updates", range(1, 13))
@pytest.mark.parametrize("name", ["one_cycle", "cyclic", "step", "constant"])
def test_short_schedules(name, updates):
    have = rates(1, updates, schedule=name)
    assert all(0 <= rate <= 0.5 + 1e-9 for rate in have)


# ---- Augmentation ----


def crops_of(image):
    """Every crop of one image padded with 4 zeros a side, and its mirror image, by (top, left, flip)."""
    channels, height, width = image.shape
    padded = np.zeros((channels, height + 8, width + 8), np.float32)
    padded[:, 4:-4, 4:-4] = image
    for top, left in product(range(9), range(9)):
        crop = padded[:, top : top + height, left : left + width]
        yield (top, left, False), crop
        yield (top, left, True), crop[:, :, ::-1]


def test_crop_flip_is_a_crop_of_each_image_with_draws_of_its_own():
    """Every example is one of the crops that a loop makes of it; all offsets occur, on their own and evenly."""
    n, draws = 300, torch.Generator().manual_seed(3)
    x = torch.rand(n, 2, 6, 7, generator=draws) + 0.1
    before = x.clone()
    out = crop_flip(x, draws)
    assert torch.equal(x, before)
    assert out.shape == x.shape
    found = []
    for image, have in zip(x.numpy(), out.numpy(), strict=True):
        (one,) = [drawn for drawn, crop in crops_of(image) if np.array_equal(crop, have)]
        found.append(one)
    tops, lefts, flips = (np.array(each) for each in zip(*found, strict=True))
    assert len(set(found)) > 100
    for offsets in (tops, lefts):
        counts = np.bincount(offsets, minlength=9)
        assert counts.shape == (9,)
        assert counts.min() > 10
        assert counts.max() < 70
    assert 100 < flips.sum() < 200
    assert abs(np.corrcoef(tops, lefts)[0, 1]) < 0.25
    assert abs(np.corrcoef(lefts, flips)[0, 1]) < 0.25


def test_crop_flip_follows_its_generator():
    x = torch.rand(20, 1, 8, 8)
    a, b, c = (crop_flip(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_augmented_training_differs_and_the_wrong_augmentation_is_refused(tmp_path):
    run(tmp_path / "plain")
    run(tmp_path / "augmented", {"recipe.augment": "crop_flip"})
    assert apart(weights(tmp_path / "plain"), weights(tmp_path / "augmented")) > 1e-3
    said = refusal(tmp_path / "files", {"recipe.augment": "resized_crop_flip"})
    assert "key 'augment': 'digits' is augmented by none, crop_flip" in said


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

    class Looks(nn.Module):
        def forward(self, x):
            layouts.append(x.is_contiguous(memory_format=torch.channels_last))
            return x.mean((2, 3))

    for wanted in (False, True):
        net = Net(Looks(), Looks(), "fp32", CPU, channels_last=wanted)
        assert torch.equal(net(torch.ones(2, 3, 4, 5)), net.look(torch.ones(2, 3, 4, 5)))
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


# ---- Several processes ----

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


@pytest.fixture(scope="module", params=[157, 156], ids=["even", "odd"])
def pair(request, tmp_path_factory):
    """One recipe trained by one process and by two, the last mini-batch of 12 or 13 examples, and what was said."""
    folder = tmp_path_factory.mktemp("pair")
    changes = {"recipe.holdout": request.param}
    run(folder / "one", changes)
    declare(folder / "card", changes)
    command = ("-m", "robench", "train", "--model", folder / "card" / "card.toml", "--out", folder, "--device", "cpu")
    return folder, together(*command, folder=folder)


def test_two_processes_end_with_the_weights_of_one(pair):
    folder, _ = pair
    assert apart(weights(folder / "digits" / "card"), weights(folder / "one")) < 1e-5
    assert read_card(folder / "digits" / "card").sha256


def test_only_one_of_two_processes_speaks(pair):
    folder, (out, err) = pair
    assert out.splitlines()[0] == f"wrote {folder / 'digits' / 'card' / 'card.toml'}"
    assert len(out.splitlines()) == 2
    assert [line.split("  loss")[0] for line in err.splitlines()] == [
        f"digits/card@ epoch   {number}/2" for number in (1, 2)
    ]


def test_only_one_of_two_processes_writes(pair):
    first, second = (set((pair[0] / f"rank{rank}").read_text().split()) - {".writable"} for rank in (0, 1))
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


# ---- Image folders and archives ----


@pytest.fixture
def tree(tmp_path):
    """Three classes of random pictures: eight to train on, two to test on, of many sizes."""
    draws = np.random.default_rng(0)
    for part, n in (("train", 8), ("val", 2)):
        for label, i in product(range(3), range(n)):
            folder = tmp_path / "data" / part / f"n0{label}"
            folder.mkdir(parents=True, exist_ok=True)
            size = (256, 256) if part == "val" and i == 0 else (40 + 9 * i, 50 - 3 * label)
            Image.fromarray(draws.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{i}.JPEG", quality=90)
    return tmp_path / "data"


IMAGENET = {
    "dataset": "imagenet", "architecture.name": "torchvision_resnet", "architecture.args": {"name": "resnet18"},
    "input.mean": [0.485, 0.456, 0.406], "input.std": [0.229, 0.224, 0.225], "recipe.augment": "resized_crop_flip",
    "recipe.batch_size": 4, "recipe.epochs": 1, "recipe.schedule": "constant", "recipe.eps": "4/255",
    "recipe.holdout": 6,
}  # fmt: skip


def test_image_folders_train_a_resnet(tmp_path, tree):
    (epoch,) = run(tmp_path / "card", IMAGENET, data_dir=tree)
    assert 0 <= epoch.clean_accuracy <= 100
    model = load_card(read_card(tmp_path / "card"))
    assert model.head.weight.shape == (1000, 512)
    assert model.backbone.bn1.num_batches_tracked == -(-(24 - 6) // 4), "the held-out pictures are not trained on"
    test = find_dataset("imagenet").load("test", tree)
    with torch.no_grad():
        assert model(test.x[:2]).shape == (2, 1000)


def test_image_folders_train_without_held_out_pictures(tmp_path, tree):
    (epoch,) = run(tmp_path / "card", {**IMAGENET, "recipe.holdout": 0}, data_dir=tree)
    assert np.isnan(epoch.clean_accuracy)


def test_test_pictures_are_resized_and_cropped(tree):
    test = find_dataset("imagenet").load("test", tree)
    assert test.x.shape == (6, 3, 224, 224)
    assert test.y.tolist() == [0, 0, 1, 1, 2, 2]
    picture = np.asarray(Image.open(tree / "val" / "n01" / "0.JPEG"), np.float32) / 255
    np.testing.assert_array_equal(test.x[2].numpy(), picture[16:240, 16:240].transpose(2, 0, 1))
    assert find_dataset("imagenet").load("test", tree, limit=3).y.tolist() == [0, 0, 1]
    some = np.array([4, 1])
    np.testing.assert_array_equal(find_dataset("imagenet").images(some, tree), test.x[some].numpy())
    with pytest.raises(InputError, match="no test example 6"):
        find_dataset("imagenet").images(np.array([6]), tree)


def test_missing_or_damaged_pictures_are_refused_in_one_sentence(tmp_path, tree):
    with pytest.raises(InputError, match=r"^ImageNet is not in '[^\n]*val/<class>/\*\.JPEG there[^\n]*--data-dir\.$"):
        find_dataset("imagenet").load("test", tmp_path)
    with pytest.raises(InputError, match=r"--limit -1 must be at least 1"):
        find_dataset("imagenet").load("test", tree, limit=-1)
    (tree / "val" / "n02" / "1.JPEG").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"^[^\n]*1\.JPEG[^\n]*\.$"):
        find_dataset("imagenet").load("test", tree)


def archive(folder, monkeypatch):
    """Batches as CIFAR-10's, four random images each, whose checksums torchvision is told."""
    from torchvision.datasets import CIFAR10

    draws, base, pixels, labels = np.random.default_rng(0), folder / CIFAR10.base_folder, [], []
    base.mkdir()

    def write(name, content):
        (base / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((base / name).read_bytes()).hexdigest()]

    def batch(name):
        pixels.append(draws.integers(0, 256, (4, 3072), dtype=np.uint8))
        labels.append(draws.integers(0, 10, 4).tolist())
        return write(name, {"data": pixels[-1], "labels": labels[-1]})

    monkeypatch.setattr(CIFAR10, "train_list", [batch(f"data_batch_{i}") for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [batch("test_batch")])
    meta, checksum = write("batches.meta", {"label_names": [str(i) for i in range(10)]})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta, "key": "label_names", "md5": checksum})
    return base, np.concatenate(pixels).reshape(-1, 3, 32, 32), np.concatenate(labels)


def test_cifar10_in_its_own_order(tmp_path, monkeypatch):
    base, pixels, labels = archive(tmp_path, monkeypatch)
    for part, rows in (("train", slice(0, 20)), ("test", slice(20, 24))):
        split = find_dataset("cifar10").load(part, tmp_path)
        np.testing.assert_array_equal(split.x[:].numpy(), pixels[rows].astype(np.float32) / 255)
        assert split.y.tolist() == labels[rows].tolist()
    np.testing.assert_array_equal(
        find_dataset("cifar10").images(np.array([2, 0]), tmp_path), pixels[[22, 20]].astype(np.float32) / 255
    )
    path = base / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"^cifar10 is not in '[^\n]*' or is damaged: [^\n]*--data-dir\.$"):
        find_dataset("cifar10").load("train", tmp_path)


def test_missing_cifar10_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"^cifar10 is not in '[^\n]*' or is damaged: [^\n]*--data-dir\.$"):
        find_dataset("cifar10").load("test", tmp_path)


# ---- Variants and names ----


class Halted(Exception):
    pass


def test_variant_trains_once_and_again_when_it_differs(tmp_path):
    base, folder, heard = declare(tmp_path / "base", {"sha256": "f" * 64}), tmp_path / "variant", []

    def make(**changes):
        heard.clear()
        wanted = {f"recipe.{key}": value for key, value in changes.items()}
        return variant(base, folder, {**wanted, "head.kind": "he", "head.scale": 10.0}, CPU, heard.append)

    first = make(epochs=3)
    assert [epoch.epoch for epoch in heard] == [1, 2, 3]
    assert (first.recipe.epochs, first.head.kind, first.head.scale) == (3, "he", 10.0)
    assert load_card(first).constants.scale == 10
    before = (first.weights.read_bytes(), first.weights.stat().st_mtime_ns)
    again = make(epochs=3)
    assert not heard
    assert (again.sha256, again.weights.stat().st_mtime_ns) == (first.sha256, before[1])
    other = make(epochs=1)
    assert [epoch.epoch for epoch in heard] == [1]
    assert other.sha256 != first.sha256
    assert read_card(folder) == other
    other.weights.unlink()
    make(epochs=1)
    assert len(heard) == 1, "lost weights are made again"
    assert read_card(tmp_path / "base") == base


def test_interrupted_variant_does_not_stand_in_the_way_of_another(tmp_path):
    def halt(_):
        raise Halted

    base, folder, heard = declare(tmp_path / "base"), tmp_path / "variant", []
    with pytest.raises(Halted):
        variant(base, folder, {"recipe.epochs": 3}, CPU, halt)
    assert variant(base, folder, {"recipe.epochs": 3}, CPU, heard.append).recipe.epochs == 3
    assert len(heard) == 3
    with pytest.raises(Halted):
        variant(base, folder, {"recipe.epochs": 2}, CPU, halt)
    assert variant(base, folder, {"recipe.epochs": 1}, CPU).recipe.epochs == 1


def test_malformed_variant_is_refused_with_its_change(tmp_path):
    with pytest.raises(InputError, match=r"recipe\.stepz"):
        variant(declare(tmp_path / "base"), tmp_path / "variant", {"recipe.stepz": 3}, CPU)
    assert not (tmp_path / "variant").exists()


def test_all_chooses_every_card_of_a_dataset():
    for dataset in ("digits", "cifar10", "imagenet"):
        folders = (data_root() / "models" / dataset).glob("*/card.toml")
        assert sorted(_names(None, True, dataset)) == sorted(f"{dataset}/{path.parent.name}" for path in folders)
    assert len(_names(None, True, "digits")) == 19
    assert set(_names(None, True, None)) > set(_names(None, True, "digits"))
    assert _names(["pgdat", "alp"], False, None) == ["pgdat", "alp"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --model NAME, or --all"),
        (["--model", "pgdat", "--all"], "give --model NAME, or --all"),
        (["--dataset", "digits"], "give --model NAME, or --all"),
        (["--model", "pgdat", "--dataset", "digits"], "--dataset goes with --all"),
        (["--all", "--dataset", "digit"], "did you mean digits"),
    ],
)
def test_wrong_choice_of_cards_is_one_sentence(cli, tmp_path, arguments, words):
    said = cli("train", *arguments, "--out", tmp_path / "out")
    assert said.code == 2
    assert words in said.sentence
    assert not (tmp_path / "out").exists()
