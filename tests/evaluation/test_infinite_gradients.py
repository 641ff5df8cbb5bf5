"""Networks whose gradients are infinite or NaN somewhere: gradient attacks are skipped, the others run."""

import json

import pytest

from robench.algorithms.pgd import PGD
from robench.errors import GradientError, InputError
from robench.specs import find_attack
from robench.store import read
from tests.support.gates import PUBLISHED
from tests.support.records import raw_record
from tests.support.toys import Toy, X, evaluate

SQUARE = find_attack("square-inner").model_copy(update={"steps": 30})
WHITE = ["fgsm", "pgd-20", "cascade"]
DARK = (X * 2 - 1).clamp(0, 1)
"""Images of which half of the pixels are 0."""
LIGHT = X.masked_fill(X < 0.3, 0.01)
"""Images without a 0, but with many pixels within eps of it."""


def rooted(x):
    return x.sqrt()


FAULTS = {
    "gamma at zero": (lambda x: x**0.45, DARK),
    "square root": (rooted, DARK),
    "root of a masked zero": (lambda x: x.sqrt() * (x > 0), DARK),
    "root of a difference": (lambda x: x + (x - x.detach()).abs().sqrt(), X),
    "zero on the way": (rooted, LIGHT),
}


class Before(Toy):
    """A linear network behind a function of its input."""

    def __init__(self, before):
        super().__init__()
        self.before = before

    def forward(self, x):
        return super().forward(self.before(x))


def warned(*arguments, **options):
    with pytest.warns(UserWarning, match="the worst case is broken: the network's gradients are NaN or infinite"):
        return evaluate(*arguments, **options)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("fault", FAULTS)
def test_gradient_attacks_are_skipped_and_the_others_run(fault, norm, tmp_path):
    before, x = FAULTS[fault]
    network = Before(before)
    y = network(x).argmax(1)
    eps = 0.02 if norm == "linf" else 0.1
    found = warned(network, x, y, attacks=[SQUARE, *WHITE], eps=eps, norm=norm, results=tmp_path)
    met = [name for name in WHITE if (fault, name) != ("zero on the way", "fgsm")]  # one step does not come so far
    assert [skipped.name for skipped in found.skipped] == met
    assert {result.record.header.attack.name for result in found.results} == {SQUARE.name, *WHITE} - set(met)
    assert all("NaN or infinite gradients" in skipped.reason for skipped in found.skipped)
    assert found[SQUARE.name].robust_accuracy < 100
    assert found.worst_case.trust.level == found[SQUARE.name].trust.level == "broken"
    assert "gradient attacks cannot run" in found.worst_case.trust.sentence()
    assert "Run next: square." in found.worst_case.trust.sentence()
    header, _ = read(raw_record(tmp_path, SQUARE.name))
    assert header.diagnostics["infinite-gradients"] == 1.0


def test_black_boxes_give_the_verdicts_that_they_give_without_gradients():
    network = Before(rooted)
    y = network(DARK).argmax(1)
    asked, alone = warned(network, DARK, y, attacks=[SQUARE, "pgd-20"]), evaluate(network, DARK, y, attacks=[SQUARE])
    ours, theirs = (each[SQUARE.name].result.record.robust.tolist() for each in (asked, alone))
    assert ours == theirs


def test_the_published_autoattack_is_skipped_too():
    network = Before(rooted)
    found = warned(network, DARK, network(DARK).argmax(1), attacks=["autoattack", SQUARE])
    assert [skipped.name for skipped in found.skipped] == ["autoattack"]


def test_records_that_were_stored_before_learn_of_it(tmp_path):
    network = Before(rooted)
    y = network(DARK).argmax(1)
    evaluate(network, DARK, y, attacks=[SQUARE], results=tmp_path)
    warned(network, DARK, y, attacks=[SQUARE, "pgd-20"], results=tmp_path)
    header, rows = read(raw_record(tmp_path, SQUARE.name))
    assert header.diagnostics["infinite-gradients"] == 1.0
    assert len(rows) == len(DARK)


def test_a_substitutes_gradients_are_not_the_networks():
    network = Before(lambda x: x)
    y = network(DARK).argmax(1)
    with pytest.raises(InputError, match=r"substitute 'rooted': the network gives NaN or infinite gradients"):
        evaluate(network, DARK, y, attacks=["transfer-pgd-20"], substitutes={"rooted": Before(rooted)})


def test_the_gate_does_not_pass_without_the_attack(cli, tmp_path, monkeypatch):
    def fails(self, state, t, task):
        raise GradientError("the network gives NaN or infinite gradients")

    monkeypatch.setattr(PGD, "step", fails)
    said = cli("check", "--model", "pgdat", "--attack", "pgd-20", "--attack", "mim-20", "--baseline", PUBLISHED)
    assert said.code == 2
    assert "pgd-20 cannot be compared" in said.last


def test_sound_networks_have_no_such_indicator():
    found = evaluate(attacks=["pgd-20", SQUARE])
    assert not found.skipped
    assert all("infinite-gradients" not in result.record.header.diagnostics for result in found.results)


CODE = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last = torch.nn.Linear(64, 10)
    def forward(self, x):
        return self.last(x.flatten(1).sqrt())
def make_model():
    torch.manual_seed(0)
    return Net()
"""


def test_from_the_command_line(cli, tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    name = f"{tmp_path / 'net.py'}:make_model"
    command = ("eval", "--model", name, "--dataset", "digits", "--eps", 0.01, "--limit", 20, "--results", tmp_path)
    said = cli(*command, "--attack", "pgd-20", "--attack", "square-inner", "--max-queries", 100, "--json",
               tmp_path / "out.json")  # fmt: skip
    assert said.code == 0
    assert "pgd-20: skipped, the network gives NaN or infinite gradients for" in said.err
    assert json.loads((tmp_path / "out.json").read_text())["worst_case"][0]["trust"]["level"] == "broken"
    alone = cli(*command, "--attack", "pgd-20")
    assert alone.code == 3
    assert "no verdict" in alone.last
    assert cli(*command, "--attack", "pgd-20", "--dry-run").code == 0
