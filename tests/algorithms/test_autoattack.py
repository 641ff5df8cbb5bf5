"""AutoAttack as its authors publish it, behind our oracle, judge and store."""

import numpy as np
import pytest
import torch
from torch import nn

import robench
from robench.algorithms import bind
from robench.classifiers import load_model
from robench.classifiers.frozen import frozen_network
from robench.errors import InputError
from robench.specs import find_attack
from tests.support.marks import slow
from tests.support.networks import CPU
from tests.support.runs import attack


@pytest.fixture(scope="module", params=["apgd-ce", slow("fab-t")])
def part(request):
    """The name of one of AutoAttack's parts: random starts, and, slower, random targets too."""
    return request.param


@pytest.fixture(scope="module")
def record(part, digits):
    """What robench keeps of that part."""
    return verdicts(load_model("pgdat"), part, digits)


def verdicts(model, part, digits):
    name, few = f"reference-{part}", digits.limit(14)
    report = robench.evaluate(model, few.x, few.y, ids=few.ids, attacks=[name], eps="0.2")
    return report[name].result.record


def test_verdicts_are_those_of_the_package_itself(part, record, digits):
    from pyautoattack import AutoAttack

    model, x, y = load_model("pgdat"), digits.x[:14], digits.y[:14]
    correct = model(x).argmax(1) == y
    reference = AutoAttack(model, norm="Linf", eps=0.2, seed=0, device="cpu", version="standard")
    reference.attacks_to_run = [part]
    _, predicted = reference.run_standard_evaluation(x[correct], y[correct], batch_size=250)
    assert (record.robust[correct.numpy()] == (predicted == y[correct]).numpy()).all()
    assert 0 < record.robust.sum() < correct.sum()


def test_the_global_generator_is_left_alone_and_does_not_matter(part, record, digits):
    model = load_model("pgdat")
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    again = verdicts(model, part, digits)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (again.robust == record.robust).all()


@pytest.mark.parametrize("name", ["reference-apgd-ce", slow("reference-apgd-t")])
def test_cost_is_an_upper_bound(name, digits, pgdat):
    spec = find_attack(name)
    rows = attack(pgdat, digits.limit(10), spec)
    forwards, backwards = bind(spec).cost(1, 10)
    assert rows.forwards.sum() <= forwards * rows.clean.sum()
    assert rows.backwards.sum() <= backwards * rows.clean.sum()
    worst = rows.forwards.sum() / forwards / rows.robust.sum()
    assert worst > 0.95  # and not a loose one: those that stand cost nearly all of it


def test_a_claim_outside_the_ball_is_named_and_never_counted(digits, pgdat, monkeypatch):
    """The accuracy that AutoAttack prints and that of its images can differ: the judge settles it."""
    from pyautoattack import AutoAttack

    def boast(self, x, y, /, *, batch_size):
        return (x + 2 * self.epsilon).clamp(0, 1), (y + 1) % 10

    monkeypatch.setattr(AutoAttack, "run_standard_evaluation", boast)
    rows = attack(pgdat, digits.limit(10), find_attack("autoattack"))
    assert rows.robust.sum() == rows.clean.sum() > 0
    assert not rows.valid[rows.clean].any()


def test_nan_logits_end_in_a_sentence(digits):
    class Sometimes(nn.Module):
        def forward(self, x):
            logits = x.flatten(1)[:, :4] * 10
            return torch.where(x.requires_grad & (x[:, 0, 0, :1] > 0), logits * float("nan"), logits)

    x = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    model = Sometimes().eval()
    with pytest.raises(InputError, match="NaN"):
        robench.evaluate(model, x, model(x).argmax(1), attacks=["reference-apgd-ce"], eps=0.1)


def test_few_classes_mean_fewer_targets_or_a_skip():
    for classes, skipped in ((5, False), (3, True)):
        weight = torch.randn(classes, 16, generator=torch.Generator().manual_seed(0))
        last = nn.Linear(16, classes, bias=False)
        with torch.no_grad():
            last.weight.copy_(weight)
        model = nn.Sequential(nn.Flatten(), last).eval()
        x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1))
        report = robench.evaluate(model, x, model(x).argmax(1), attacks=["reference-apgd-t"], eps=0.05)
        assert bool(report.skipped) is skipped


@pytest.mark.parametrize(("norm", "eps"), [("l2", 1.0), slow("l1", 1.5)])
def test_other_norms_run_too(norm, eps, digits):
    with frozen_network(load_model("pgdat"), CPU) as frozen:
        rows = attack(frozen, digits.limit(10), find_attack("reference-apgd-ce"), norm=norm, threat=str(eps))
    assert 0 < rows.robust.sum() < 10
    assert np.nanmax(rows.distance) <= 1.00001 * eps
