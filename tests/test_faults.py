"""Everything in the list of faults ends in one clear sentence with the right exit code, and nothing is lost.

The numbers are those of the list.
"""

import hashlib
import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import SMALL, change_column, change_header, copy_card, raw_record
from filelock import FileLock
from torch import nn

import robench
from robench import paths
from robench.algorithms.pgd import PGD
from robench.cli import run
from robench.data.split import Split
from robench.errors import InputError
from robench.specs import ThreatModel, catalog
from robench.store import read

EVAL = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--limit", 20)


def identity(logits, x):
    return logits


class Toy(nn.Module):
    """A linear network on 1x4x4 images; `answer(logits, x)` is what it returns."""

    def __init__(self, answer=identity, classes=4):
        super().__init__()
        weight = torch.randn(classes, 16, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight)
        self.answer = answer
        self.eval()

    def forward(self, x):
        return self.answer(x.flatten(1) @ self.weight.T, x)


X = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(1))
Y = Toy()(X).argmax(1)


def evaluate(model=None, x=X, y=Y, **options):
    return robench.evaluate(model or Toy(), x, y, **{"eps": 0.1, "attacks": ["pgd-20"], "device": "cpu", **options})


def refusal(model=None, **options):
    """The sentence of the InputError that an evaluation ends in."""
    with pytest.raises(InputError) as caught:
        evaluate(model, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text[-1] in ".?"
    return text


def test_the_toy_itself_is_fit():
    verdict = evaluate()["pgd-20"]
    assert verdict.clean_accuracy == 100
    assert 0 < verdict.robust_accuracy < 100


# ---- 2: weights ----


def weights_of(card, data):
    """Put other bytes in the place of a card's weights and give them the right checksum."""
    (card.parent / "weights.safetensors").write_bytes(data)
    text = re.sub(r'sha256 = "\w*"', f'sha256 = "{hashlib.sha256(data).hexdigest()}"', card.read_text())
    card.write_text(text)


def refused(cli, card, *words):
    said = cli("eval", "--model", card, "--attack", "fgsm", "--limit", 5, "--results", card.parent / "results")
    assert said.code == 2
    for word in words:
        assert word in said.last


BROKEN_WEIGHTS = {
    "an HTML page": (lambda whole: b"\n<!DOCTYPE html><html>404</html>", "HTML page"),
    "cut in half": (lambda whole: whole[: len(whole) // 2], "cannot be read"),
    "cut in the header": (lambda whole: whole[:5], "cannot be read"),
    "empty": (lambda whole: b"", "cannot be read"),
}


@pytest.mark.parametrize("what", BROKEN_WEIGHTS)
def test_broken_weights_are_named(cli, tmp_path, what):
    card = copy_card(tmp_path / "mine")
    change, words = BROKEN_WEIGHTS[what]
    weights_of(card, change((card.parent / "weights.safetensors").read_bytes()))
    refused(cli, card, "weights.safetensors", words, "fetch or train it again")


def test_a_wrong_checksum_names_both(cli, tmp_path):
    card = copy_card(tmp_path / "mine")
    weights = card.parent / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    actual = hashlib.sha256(weights.read_bytes()).hexdigest()
    refused(cli, card, str(weights), actual[:12], "its card says", "restore the file")


def test_weights_of_another_shape_name_the_first_three_keys(cli, tmp_path):
    card = copy_card(tmp_path / "mine", ("channels = [32, 64, 64, 128]", "channels = [16, 16, 16, 16]"))
    refused(cli, card, "do not fit", "of another shape", "backbone.body.0.weight, backbone.body.0.bias, ", "...")


def test_weights_of_another_head_name_the_keys(cli, tmp_path):
    card = copy_card(tmp_path / "mine", ('kind = "he"', 'kind = "linear"'), model="pgdat_he")
    refused(cli, card, "do not fit", "1 missing (head.bias)")


def test_missing_weights_name_a_command_that_works(cli, tmp_path):
    card = copy_card(tmp_path / "mine", ("epochs = 30", "epochs = 1"), model="standard")
    (card.parent / "weights.safetensors").unlink()
    said = cli("eval", "--model", card, "--attack", "fgsm", "--limit", 5, "--results", tmp_path)
    assert said.code == 2
    mend = re.search("`robench (.*?)`", said.sentence)[1].split()
    assert cli(*mend, "--out", tmp_path / "trained").code == 0


# ---- 3: logits ----


def ruin(rows, value):
    def answer(logits, x):
        logits = logits.clone()
        logits[rows] = value
        return logits

    return answer


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_logits_name_the_examples(value):
    text = refusal(Toy(ruin([2, 5], value)))
    assert "NaN or infinite logits" in text
    assert "2 clean examples (ids [2, 5])" in text


class Later(Toy):
    """Sound for some calls, then NaN."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def forward(self, x):
        self.calls -= 1
        return super().forward(x) * (1 if self.calls >= 0 else float("nan"))


def test_non_finite_logits_on_the_way_name_the_examples_and_the_step():
    text = refusal(Later(7))
    assert "NaN or infinite logits" in text
    assert "ids [" in text
    assert re.search(r"step \d+", text)


SHAPES = {
    "no classes": (lambda logits, x: logits[:, 0], r"(12,)"),
    "too few rows": (lambda logits, x: logits[:5], r"(5, 4)"),
    "one class": (lambda logits, x: logits[:, :1], r"(12, 1)"),
    "three axes": (lambda logits, x: logits[:, None], r"(12, 1, 4)"),
    "a tuple": (lambda logits, x: (logits, x), "tuple"),
    "a dictionary": (lambda logits, x: {"logits": logits}, "dict"),
}


@pytest.mark.parametrize("what", SHAPES)
def test_logits_of_another_shape_are_named(what):
    answer, words = SHAPES[what]
    text = refusal(Toy(answer))
    assert words in text
    assert "expected" in text


# ---- 4: networks that change their mind ----


def test_train_mode_is_named_with_its_mend():
    text = refusal(Toy().train())
    assert "training mode" in text
    assert "model.eval()" in text


def test_train_mode_of_a_part_is_found():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 4)).eval()
    model[1].train()
    assert "training mode" in refusal(model)


def test_a_network_that_rolls_dice_is_named_with_its_mend():
    text = refusal(Toy(lambda logits, x: logits + torch.rand_like(logits)))
    assert "differently twice on the same input" in text
    assert "switch its randomness off" in text


def test_the_network_comes_back_as_it_was_after_a_refusal():
    model = Toy(ruin([0], float("nan")))
    refusal(model)
    assert model.weight.requires_grad
    assert not model.training


# ---- 5: networks without gradients ----

GRADIENTLESS = {
    "detached": lambda logits, x: logits.detach(),
    "a leaf of its own": lambda logits, x: logits.detach() + torch.zeros(1, requires_grad=True),
}


@pytest.mark.parametrize("what", GRADIENTLESS)
def test_a_network_without_gradient_is_named_with_its_mend(what):
    text = refusal(Toy(GRADIENTLESS[what]))
    assert "no gradient" in text
    assert "detach" in text


class NoGrad(Toy):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


def test_a_network_under_no_grad_is_named():
    assert "no gradient" in refusal(NoGrad())


# ---- 6: inputs and labels ----

IMAGES = {
    "below 0": (X * 2 - 1, ["[-", "[0, 1]", "normalisation"]),
    "0-255 floats": (X * 255, ["[0, 1]", "divide by 255"]),
    "0-255 integers": ((X * 255).byte(), ["uint8", "divide by 255"]),
    "slightly above 1": (X + 0.01, ["[0, 1]"]),
    "NaN": (X.index_fill(0, torch.tensor([3, 5]), torch.nan), ["NaN", "2 examples", "3"]),
    "infinite": (X.index_fill(0, torch.tensor([3]), torch.inf), ["infinite", "3"]),
    "flat": (X.flatten(1), ["(12, 16)", "(N, C, H, W)"]),
    "one image": (X[0], ["(1, 4, 4)", "(N, C, H, W)"]),
    "booleans": (X > 0.5, ["bool", "floats"]),
    "empty": (X[:0], ["no examples"]),
    "without channels": (X[:, :0], ["(12, 0, 4, 4)"]),
    "objects": (np.array([None] * 12, dtype=object), ["images"]),
    "ragged": ([[1.0, 2.0], [3.0]], ["images"]),
    "text": ("digits", ["images"]),
    "nothing": (None, ["images"]),
}


@pytest.mark.parametrize("what", IMAGES)
def test_unfit_images_are_named(what):
    x, words = IMAGES[what]
    with pytest.raises(InputError) as caught:
        Split.checked("mine", x, Y[:0] if what == "empty" else Y)
    for word in ("mine", *words):
        assert word in str(caught.value)


LABELS = {
    "float": (Y.float(), ["float32", "integers"]),
    "one-hot": (torch.eye(4)[Y], ["(12, 4)", "one-hot"]),
    "one-hot integers": (torch.eye(4, dtype=torch.int64)[Y], ["(12, 4)", "one-hot"]),
    "booleans": (Y > 1, ["bool", "integers"]),
    "too few": (Y[:5], ["12 images", "5 labels"]),
    "too many": (torch.cat([Y, Y]), ["12 images", "24 labels"]),
    "negative": (Y - 9, ["negative"]),
    "names": (np.array(["a"] * 12), ["labels"]),
    "nothing": (None, ["labels"]),
}


@pytest.mark.parametrize("what", LABELS)
def test_unfit_labels_are_named(what):
    y, words = LABELS[what]
    with pytest.raises(InputError) as caught:
        Split.checked("mine", X, y)
    for word in ("mine", *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_labels_of_every_integer_kind_are_fit(kind):
    assert Split.checked("mine", X, Y.numpy().astype(kind)).y.tolist() == Y.tolist()


IDS = {
    "too few": [1, 2, 3],
    "twice the same": [1] * 12,
    "negative": list(range(-12, 0)),
    "fractions": [i + 0.5 for i in range(12)],
    "names": ["a"] * 12,
}


@pytest.mark.parametrize("what", IDS)
def test_unfit_ids_are_named(what):
    assert "ids" in refusal(ids=IDS[what])


def test_labels_beyond_the_network_are_named():
    text = refusal(y=Y + 10)
    assert f"label {int(Y.max()) + 10}" in text
    assert "4 classes" in text


@pytest.mark.parametrize("shape", [(12, 3, 4, 4), (12, 1, 5, 5)], ids=["channels", "size"])
def test_images_that_the_network_cannot_take_name_their_shape(shape):
    assert ", ".join(map(str, shape[1:])) in refusal(x=torch.rand(shape))


def test_a_network_in_another_precision_is_named():
    assert re.search("float64|double", refusal(Toy().double()).lower())


def test_a_set_without_a_correct_example_still_has_accuracies():
    verdict = evaluate(y=(Y + 1) % 4)["pgd-20"]
    assert (verdict.clean_accuracy, verdict.robust_accuracy) == (0, 0)
    assert verdict.as_dict()["forwards"] == 0


def test_what_is_no_network_is_named():
    with pytest.raises(InputError, match=r"function.*torch\.nn\.Module"):
        robench.evaluate(lambda x: x, X, Y, eps=0.1)


# ---- 7: too few classes ----


def test_an_attack_that_needs_more_classes_is_skipped_and_the_others_run(monkeypatch):
    monkeypatch.setattr(PGD, "min_classes", 4)
    two = Toy(classes=2)
    report = evaluate(two, y=two(X).argmax(1), attacks=["pgd-20", "mim-20"])
    assert [result.record.header.attack.name for result in report.results] == ["mim-20"]
    (skipped,) = report.skipped
    assert skipped.name == "pgd-20"
    assert "4 classes" in skipped.reason
    assert "has 2" in skipped.reason


def test_a_command_whose_attacks_are_all_skipped_says_why(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(PGD, "min_classes", 11)
    said = cli(*EVAL, "--results", tmp_path)
    assert said.code in (0, 3)
    assert "pgd-20: skipped, pgd needs at least 11 classes" in said.err
    assert "Traceback" not in said.err


# ---- 9: algorithms that break their promises ----


def plant(monkeypatch, spoil):
    """Make PGD promise to keep its own bounds, and break the promise."""

    class Planted(PGD):
        bounds = "own"

        def step(self, state, t, task):
            return replace(state, x=spoil(super().step(state, t, task).x, task))

    monkeypatch.setattr("robench.algorithms.pgd.ALGORITHM", Planted)


SPOILT = {
    "not finite": lambda x, task: x * torch.nan,
    "outside the ball": lambda x, task: (task.x + 10 * (x - task.x)).clamp(0, 1),
    "outside [0, 1]": lambda x, task: task.ball.project(x) - 0.01 * (task.ball.project(x) == 0),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_an_algorithm_whose_results_are_all_void_is_named_and_exits_4(cli, tmp_path, monkeypatch, fault):
    plant(monkeypatch, SPOILT[fault])
    command = ("eval", "--model", "standard", "--attack", "bim-10", "--limit", 20, "--results", tmp_path)
    said = cli(*command, "--json", tmp_path / "out.json")
    assert said.code == 4
    for word in ("bim-10", "digits/standard", fault):
        assert word in said.last
    (row,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert row["valid"] is False
    assert row["robust_accuracy"] == row["clean_accuracy"]


def test_an_algorithm_that_sometimes_fails_is_named_and_its_faults_are_not_counted(cli, tmp_path, monkeypatch):
    def odd(x, task):
        rows = torch.tensor([i % 2 == 1 for i in task.noise.ids])
        return torch.where(rows.view(-1, 1, 1, 1), torch.nan, task.ball.project(x))

    plant(monkeypatch, odd)
    command = ("eval", "--model", "standard", "--attack", "bim-10", "--limit", 20, "--results", tmp_path)
    said = cli(*command, "--json", tmp_path / "out.json")
    assert said.code == 0
    assert "the judge did not confirm" in said.out
    assert "not finite" in said.out
    (row,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert row["valid"] is False
    _, rows = read(raw_record(tmp_path, "bim-10"))
    odd_and_attacked = rows.clean & (rows.id % 2 == 1)
    assert rows.robust[odd_and_attacked].all()
    assert not rows.valid[odd_and_attacked].any()
    assert rows.valid[~odd_and_attacked].all()


# ---- 10: memory ----


class Small(Toy):
    """A network whose memory holds only so many images."""

    def __init__(self, room, error=torch.OutOfMemoryError):
        super().__init__()
        self.room, self.error, self.largest = room, error, 0

    def forward(self, x):
        if len(x) > self.room:
            raise self.error("CUDA out of memory. Tried to allocate 2 GiB.")
        self.largest = max(self.largest, len(x))
        return super().forward(x)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
@pytest.mark.parametrize("room", [1, 3, 5])
def test_out_of_memory_halves_the_micro_batch_and_changes_no_verdict(room, error):
    small, calm = Small(room, error), evaluate()
    verdicts = evaluate(small, batch_size=8)
    assert small.largest == {1: 1, 3: 2, 5: 4}[room]
    for column in ("robust", "step"):
        ours, theirs = (getattr(v.results[0].record, column).tolist() for v in (verdicts, calm))
        assert ours == theirs
    assert verdicts.results[0].forwards == calm.results[0].forwards


def test_out_of_memory_at_one_example_says_so():
    text = refusal(Small(0))
    assert "out of memory with a single example" in text
    assert "smaller" in text


def test_another_runtime_error_is_not_mistaken_for_memory():
    def answer(logits, x):
        raise RuntimeError("some other fault")

    with pytest.raises(Exception, match="some other fault"):
        evaluate(Toy(answer))


# ---- 12: nowhere to write ----


def test_doctor_names_a_results_folder_that_cannot_be_made_among_the_rest(cli, tmp_path):
    (tmp_path / "file").write_text("kept")
    said = cli("doctor", "--results", tmp_path / "file")
    assert said.code == 3
    assert f"PROBLEM: cannot write to '{tmp_path / 'file'}" in said.out
    assert "PROBLEM" in said.sentence


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_results_folder_that_cannot_be_made_is_refused_at_once(cli, tmp_path, place):
    (tmp_path / "file").write_text("kept")
    said = cli(*EVAL, "--results", tmp_path / place)
    assert (said.code, said.out) == (2, "")
    for word in ("cannot write to", str(tmp_path / place), "--results"):
        assert word in said.sentence
    assert (tmp_path / "file").read_text() == "kept"


@contextmanager
def files_of_at_most(size):
    """As on a full disk, larger files cannot be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_refused_before_the_attack(cli, tmp_path):
    with files_of_at_most(1000):
        said = cli(*EVAL, "--results", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert "cannot write to" in said.sentence
    assert "free some space" in said.sentence
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_disk_that_fills_up_on_the_way_is_one_sentence_and_leaves_no_scraps(cli, tmp_path):
    command = ("eval", "--model", "standard", "--attack", "pgd-20", "--results", tmp_path)
    with files_of_at_most(70_000):
        said = cli(*command, "--save-adversarial")
    assert not list(tmp_path.rglob(".tmp-*"))
    assert said.code == 2
    assert "cannot write" in said.last
    assert cli(*command).code == 0


# ---- 13: locks ----


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


# ---- 15: damaged records ----


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def without(column):
    def change(path):
        pq.write_table(pq.read_table(path).drop_columns([column]), path)

    return change


def header(**changes):
    return lambda path: change_header(path, lambda before: {**before, **changes})


RAW = {
    "cut short": (cut, "delete it and run the same command again"),
    "empty": (lambda path: path.write_bytes(b""), "delete it and run the same command again"),
    "no Parquet file": (lambda path: path.write_text("hello"), "delete it and run the same command again"),
    "a newer schema": (header(schema=2), "update robench"),
    "another identity": (header(identity={"seed": 3}), "its hash does not match"),
    "another hash": (header(hash="0" * 64), "its hash does not match"),
    "an unknown key": (header(colour="red"), "'colour'"),
    "a missing key": (lambda path: change_header(path, lambda h: {k: v for k, v in h.items() if k != "n"}), "'n'"),
    "rows missing": (lambda path: pq.write_table(pq.read_table(path).slice(1), path), "cut short"),
    "header no JSON": (lambda path: change_header(path, lambda h: b"{"), "delete it"),
    "header no text": (lambda path: change_header(path, lambda h: b"\xff"), "delete it"),
    "header a list": (lambda path: change_header(path, lambda h: [1]), "delete it"),
    "another eps beside its identity": (
        header(threat={"norm": "linf", "text": "1", "eps": 1.0}),
        "not the one in its identity",
    ),
    "verdicts gone": (lambda path: change_column(path, "robust", lambda c: [None] * len(c)), "delete it"),
    "no column of verdicts": (without("robust"), "delete it"),
}


@pytest.mark.parametrize("command", [SMALL, ("report",), ("publish",), ("verify",)], ids=lambda command: command[0])
@pytest.mark.parametrize("what", RAW)
def test_a_damaged_record_is_named_with_its_mend(cli, results, what, command):
    path = raw_record(results)
    change, words = RAW[what]
    change(path)
    said = cli(*command, "--results", results)
    assert said.code == 2
    assert str(path) in said.last
    assert words in said.last


def test_a_record_under_anothers_name_is_refused(cli, results):
    path = raw_record(results)
    wrong = path.rename(path.with_name("pgd-20-0123456789abcdef.parquet"))
    said = cli("report", "--results", results)
    assert said.code == 2
    assert str(wrong) in said.sentence
    assert "not the one in its name" in said.sentence


@pytest.mark.parametrize("command", ["report", "publish", "verify"])
def test_a_foreign_file_is_not_to_be_deleted(cli, results, command):
    path = raw_record(results).with_name("budget.parquet")
    pq.write_table(pa.table({"euros": [1]}), path)
    said = cli(command, "--results", results)
    assert said.code == 2
    assert str(path) in said.sentence
    assert "not a robench record" in said.sentence
    assert "delete" not in said.sentence


def test_the_mend_of_a_damaged_record_works(cli, results):
    path = raw_record(results)
    before = read(path)[1]
    cut(path)
    assert cli(*SMALL, "--results", results).code == 2
    path.unlink()
    assert cli(*SMALL, "--results", results).code == 0
    assert read(path)[1].robust.tolist() == before.robust.tolist()


def contents(path):
    head, rows = read(path)
    columns = [column.tolist() for column in rows.columns().values()]
    return head.model_dump_json(), repr(columns)


def test_no_flipped_byte_changes_what_is_read(results):
    path = raw_record(results)
    whole, before, silent = path.read_bytes(), contents(path), []
    for place in range(0, len(whole), 11):
        flipped = bytearray(whole)
        flipped[place] ^= 0x55
        path.write_bytes(flipped)
        try:
            if contents(path) != before:
                silent.append(place)
        except InputError:
            continue
    assert not silent


class Interrupted(Toy):
    """A network at which the user presses Ctrl-C after so many calls; the calls are no part of its identity."""

    left = 10**9

    def forward(self, x):
        Interrupted.left -= 1
        if Interrupted.left < 0:
            raise KeyboardInterrupt
        return super().forward(x)


def interrupted(folder, monkeypatch):
    """An evaluation in chunks of three, interrupted in its third chunk or so; its finished chunks."""
    monkeypatch.setattr(Interrupted, "left", 60)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Interrupted(), chunk_size=3, results=folder)
    monkeypatch.setattr(Interrupted, "left", 10**9)
    return sorted(folder.rglob("*.chunks*/*.parquet"))


def test_a_damaged_chunk_is_named(tmp_path, monkeypatch):
    chunk = interrupted(tmp_path, monkeypatch)[0]
    cut(chunk)
    text = refusal(Interrupted(), chunk_size=3, results=tmp_path)
    assert str(chunk) in text
    assert "delete" in text


def published(path, change):
    head, _, tail = path.read_bytes().partition(b"\n")
    path.write_bytes(change(head) + b"\n" + tail)


def fields(**changes):
    return lambda line: json.dumps({**json.loads(line), **changes}).encode()


PUBLISHED = {
    "cut short": (lambda line: line[:100], "not a published record"),
    "a conflict marker": (lambda line: b"<<<<<<< HEAD\n" + line, "not a published record"),
    "a newer schema": (fields(schema=2), "update robench"),
    "another identity": (fields(identity={"seed": 3}), "its hash does not match"),
    "verdicts no hex": (fields(robust="xyz"), "damaged verdicts"),
    "verdicts too short": (fields(robust="ff"), "damaged verdicts"),
    "verdicts that contradict": (fields(robust="ffffff"), "disagree"),
    "steps a number": (fields(steps=3), "restore"),
    "steps in words": (lambda line: fields(steps=["one"] * len(json.loads(line)["steps"]))(line), "restore"),
    "no object": (lambda line: b"[1]", "not a published record"),
    "no text": (lambda line: b"\xff" + line, "restore"),
}


@pytest.mark.parametrize("what", PUBLISHED)
def test_a_damaged_published_record_is_named(cli, results, what):
    assert cli("publish", "--results", results).code == 0
    path = results / "digits" / "pgdat.jsonl"
    change, words = PUBLISHED[what]
    published(path, change)
    said = cli("report", "--results", results)
    assert said.code == 2
    assert str(path) in said.sentence
    assert words in said.sentence


def test_the_mend_of_a_damaged_published_record_works(cli, results):
    assert cli("publish", "--results", results).code == 0
    path = results / "digits" / "pgdat.jsonl"
    before = path.read_bytes()
    published(path, lambda line: line[:100])
    if "publish again" in cli("report", "--results", results).sentence:
        assert cli("publish", "--results", results).code == 0
        assert path.read_bytes() == before


# ---- 17: unknown names ----

UNKNOWN = [
    (["eval", "--model", "pgdta"], "model", "digits/pgdat"),
    (["eval", "--model", "PGDAT"], "model", "digits/pgdat"),
    (["eval", "--model", "cifar10/pgdat_h"], "model", "digits/pgdat_he"),
    (["eval", "--model", "pgdat", "--attack", "pgd20"], "attack", "pgd-20"),
    (["eval", "--model", "pgdat", "--battery", "papr"], "battery", "paper"),
    (["eval", "--model", "pgdat", "--dataset", "digit"], "dataset", "digits"),
    (["train", "--model", "standrad"], "model", "digits/standard"),
    (["show", "model", "pgdat-he"], "model", "digits/pgdat_he"),
    (["show", "attack", "mim20"], "attack", "mim-20"),
    (["show", "battery", "quik"], "battery", "quick"),
    (["report", "robustnes"], "table", "robustness"),
    (["report", "--format", "latx"], "format", "latex"),
    (["report", "--model", "pgda"], "model", "digits/pgdat"),
    (["publish", "--model", "pgda"], "model", "digits/pgdat"),
    (["verify", "--model", "pgda"], "model", "digits/pgdat"),
]


@pytest.mark.parametrize(("arguments", "kind", "nearest"), UNKNOWN, ids=lambda v: " ".join(v) if type(v) is list else v)
def test_an_unknown_name_suggests_the_nearest(cli, arguments, kind, nearest):
    said = cli(*arguments)
    assert said.code == 2
    assert f"unknown {kind} '{arguments[-1]}'" in said.sentence
    assert re.search(rf"did you mean [^?]*\b{nearest}\b", said.sentence)


def test_an_unknown_name_like_no_other_lists_the_known(cli):
    said = cli("eval", "--model", "zzz")
    assert "known: digits/pgdat, digits/pgdat_he, digits/standard" in said.sentence


def test_a_path_that_is_not_there_is_named(cli, tmp_path):
    said = cli("eval", "--model", tmp_path / "card.toml")
    assert said.code == 2
    assert f"cannot read '{tmp_path / 'card.toml'}'" in said.sentence


# ---- 18: malformed cards and stanzas ----

CARDS = {
    "an unknown key": (("momentum = 0.9", "momentun = 0.9"), ["recipe.momentun"]),
    "a missing key": (('dataset = "digits"', ""), ["'dataset'", "required"]),
    "a word for a number": (("epochs = 100", 'epochs = "many"'), ["recipe.epochs", "integer"]),
    "out of range": (("lr = 0.1", "lr = -0.1"), ["recipe.lr", "greater than 0"]),
    "no such choice": (('schedule = "one_cycle"', 'schedule = "bicycle"'), ["recipe.schedule", "one_cycle"]),
    "no TOML": (("[architecture]", "[architecture"), ["not valid TOML"]),
    "means and deviations": (("std = [0.3761]", "std = [0.3761, 1.0]"), ["input.std", "1 values"]),
    "too many channels": (("mean = [0.3055]\nstd = [0.3761]", "mean = [0, 0]\nstd = [1, 1]"), ["input.mean", "1"]),
    "no deviation": (("std = [0.3761]", "std = [0.0]"), ["input.std"]),
    "an unknown dataset": (('dataset = "digits"', 'dataset = "digitz"'), ["dataset", "digitz", "digits"]),
    "an unknown architecture": (('"convnet"', '"convnett"'), ["architecture.name", "convnett", "convnet"]),
    "an unknown argument": (("features = 64", "featuers = 64"), ["architecture.args", "featuers"]),
    "an argument out of range": (("features = 64", "features = -1"), ["architecture.args"]),
    "uneven arguments": (("strides = [1, 2, 1, 2]", "strides = [1, 2]"), ["architecture.args"]),
}


@pytest.mark.parametrize("what", CARDS)
def test_a_malformed_card_names_file_key_and_what_is_expected(cli, tmp_path, what):
    change, words = CARDS[what]
    card = copy_card(tmp_path / "mine", change)
    refused(cli, card, str(card), *words)


def test_arccos_without_cosines_names_file_and_key(cli, tmp_path):
    changes = ('angular = "cos"', 'angular = "arccos"'), ("fn = true", "fn = false")
    card = copy_card(tmp_path / "mine", *changes, model="pgdat_he")
    refused(cli, card, str(card), "head", "arccos", "fn")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of the test's own: its catalogue can be changed."""
    root = tmp_path / "checkout"
    for name in ("attacks", "models"):
        shutil.copytree(paths.data_root() / name, root / name)
    (root / "robench").mkdir()
    (root / "pyproject.toml").touch()
    caches = (paths.data_root, catalog._attacks, catalog._batteries)
    monkeypatch.setattr(paths, "PACKAGE", root / "robench")
    for cached in caches:
        cached.cache_clear()
    yield root
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


STANZA = """[mine]
algorithm = "pgd"
steps = 3
params = { rel_step = 0.1 }
about = "of the test"
cite = "none"
"""

STANZAS = {
    "an unknown key": (("steps", "stepz = 1\nsteps"), ["'stepz'"]),
    "a missing key": (("steps = 3", ""), ["'steps'", "required"]),
    "no step": (("steps = 3", "steps = 0"), ["'steps'", "greater than 0"]),
    "a word for a number": (("steps = 3", 'steps = "few"'), ["'steps'", "integer"]),
    "a fraction by zero": (("0.1", '"3/0"'), ["rel_step", "3/0", "fraction"]),
    "no such access": (("steps", 'access = "all"\nsteps'), ["'access'", "gradient", "decision"]),
    "access of another algorithm": (("steps", 'access = "score"\nsteps'), ["'access'", "gradient"]),
    "no such success": (("steps", 'success = "maybe"\nsteps'), ["'success'", "any", "last"]),
    "an unknown algorithm": (('"pgd"', '"pdg"'), ["algorithm", "'pdg'", "pgd"]),
    "an unknown parameter": (("rel_step", "relstep"), ["params"]),
    "a parameter in words": (("0.1", '"big"'), ["params.rel_step", "number"]),
    "a parameter NaN": (("0.1", "nan"), ["rel_step"]),
    "an objective misspelt": (("0.1", '0.1, objective = "ec"'), ["params.objective", "ce"]),
    "no TOML": (("[mine]", "[mine"), ["not valid TOML"]),
    "a key outside every stanza": (("[mine]", "loose = 1\n[mine]"), ["loose"]),
    "declared twice": (("[mine]", "[pgd-20]"), ["'pgd-20'", "twice"]),
}


@pytest.mark.parametrize("what", STANZAS)
def test_a_malformed_stanza_names_file_key_and_what_is_expected(cli, checkout, tmp_path, what):
    (old, new), words = STANZAS[what]
    path = checkout / "attacks" / "zz.toml"
    path.write_text(STANZA.replace(old, new))
    said = cli("eval", "--model", "pgdat", "--attack", "mine", "--limit", 5, "--results", tmp_path / "results")
    assert said.code == 2
    for word in (str(path), *words):
        assert word in said.last


def test_the_stanza_itself_is_sound(cli, checkout, tmp_path):
    (checkout / "attacks" / "mine.toml").write_text(STANZA)
    assert cli("eval", "--model", "pgdat", "--attack", "mine", "--limit", 5, "--results", tmp_path / "r").code == 0


BATTERIES = {
    "an unknown attack": ('attacks = ["pgd20"]', ["'pgd20'", "pgd-20"]),
    "an unknown battery": ('includes = ["quik"]', ["'quik'", "quick"]),
    "itself": ('includes = ["mine"]', ["includes"]),
    "an unknown key": ("atacks = []", ["'atacks'"]),
    "a word for a list": ('attacks = "pgd-20"', ["'attacks'", "list"]),
}


@pytest.mark.parametrize("what", BATTERIES)
def test_a_malformed_battery_names_file_and_key(cli, checkout, what):
    line, words = BATTERIES[what]
    path = checkout / "attacks" / "batteries.toml"
    path.write_text(f'{path.read_text()}\n[mine]\nabout = "of the test"\n{line}\n')
    said = cli("show", "battery", "mine")
    assert said.code == 2
    for word in (str(path), "mine", *words):
        assert word in said.last


def test_a_card_in_another_datasets_folder_is_refused(cli, checkout):
    card = copy_card(checkout / "models" / "cifar10" / "mine")
    said = cli("show", "model", "cifar10/mine")
    assert said.code == 2
    for word in (str(card), "'dataset'", "'cifar10'"):
        assert word in said.sentence


def test_doctor_names_every_defense_that_is_broken_and_goes_on(cli, checkout, tmp_path):
    copy_card(checkout / "models" / "digits" / "broken", ("epochs = 100", "epochs = 0"))
    cut(checkout / "models" / "digits" / "standard" / "weights.safetensors")
    lines = cli("doctor", "--results", tmp_path / "results").out.splitlines()
    about = {line[:22].strip(): line for line in lines}
    assert "PROBLEM" in about["model digits/broken"]
    assert "recipe.epochs" in about["model digits/broken"]
    assert "PROBLEM" in about["model digits/standard"]
    assert "checksum holds" in about["model digits/pgdat"]


# ---- 19: Ctrl-C ----


def test_ctrl_c_keeps_finished_chunks_and_the_same_call_goes_on(tmp_path, monkeypatch):
    kept = interrupted(tmp_path, monkeypatch)
    assert 0 < len(kept) < 4
    spent = sum(pq.read_table(path, columns=["forwards"])["forwards"].to_numpy().sum() for path in kept)
    resumed, undisturbed = evaluate(Interrupted(), chunk_size=3, results=tmp_path), evaluate()
    assert resumed.results[0].forwards == undisturbed.results[0].forwards - spent
    for column in ("robust", "step"):
        ours, theirs = (getattr(v.results[0].record, column).tolist() for v in (resumed, undisturbed))
        assert ours == theirs
    assert not list(tmp_path.rglob("*.chunks*"))


def test_ctrl_c_in_a_command_exits_130_and_says_that_nothing_is_lost(cli, tmp_path, monkeypatch):
    def press(self, state, t, task):
        raise KeyboardInterrupt

    monkeypatch.setattr(PGD, "step", press)
    command = ("eval", "--model", "pgdat", "--attack", "mim-20", "--attack", "pgd-20", "--limit", 20)
    said = cli(*command, "--results", tmp_path)
    assert said.code == 130
    assert raw_record(tmp_path, "mim-20").is_file()
    assert not list(tmp_path.rglob(".tmp-*"))
    assert "interrupted" in said.last
    assert "kept" in said.last


# ---- 20: eps ----

EPS = {
    "8/255": 8 / 255,
    "0.0313": 0.0313,
    " 8 / 255 ": 8 / 255,
    "1e-2": 0.01,
    "1": 1.0,
}


@pytest.mark.parametrize("text", EPS)
def test_eps_is_read_as_written(text):
    threat = ThreatModel.parse("linf", text)
    assert threat.eps == pytest.approx(EPS[text], rel=1e-15)
    assert threat.text == text.strip()


NO_EPS = {
    "8": "did you mean 8/255?",
    "16": "did you mean 16/255?",
    "-1": "must be positive",
    "0": "must be positive",
    "nan": "8/255",
    "inf": "8/255",
    "1e9": "too large",
    "300": "too large",
    "1e-400": "must be positive",
    "1/0": "8/255",
    "1/2/3": "8/255",
    "eight": "8/255",
    "": "8/255",
}


@pytest.mark.parametrize("text", NO_EPS)
def test_an_eps_that_makes_no_sense_is_refused_with_a_hint(cli, tmp_path, text):
    said = cli(*EVAL, "--eps", text, "--results", tmp_path)
    assert said.code == 2
    assert f"--eps '{text}'" in said.sentence
    assert NO_EPS[text] in said.sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("eps", [8, 8.0, -1.0, float("nan"), float("inf"), None, [0.1]])
def test_an_eps_that_makes_no_sense_is_refused_in_python(eps):
    with pytest.raises(InputError):
        ThreatModel.parse("linf", eps)


def test_eps_zero_point_five_is_fine_for_l2_and_nine_thousand_is_not():
    assert ThreatModel.parse("l2", "0.5").eps == 0.5
    with pytest.raises(InputError, match="too large for l2"):
        ThreatModel.parse("l2", "9000")
