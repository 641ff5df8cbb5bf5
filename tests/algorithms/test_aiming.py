"""Attacks with a target: closed forms on linear networks, two classes, order and batches."""

import pytest
import torch

from robench.algorithms import algorithm_class, bind, list_algorithms
from robench.classifiers.frozen import frozen_network
from robench.data.split import Split
from robench.numerics.losses import AIMED, OBJECTIVES, Objective
from robench.report.advice import CANNOT_AIM
from robench.specs import NORMS, find_attack
from tests.support.networks import CPU, Linear, toy
from tests.support.optima import grey, linear
from tests.support.runs import attack

BINARY = ["fgsm", "pgd-10", "mim-20", "scaled-pgd-20", "adaptive-pgd-20", "cw-linf-20", "probability-pgd-20", "apgd-ce",
          "fab", "fab-t", "deepfool", "cascade", "square", "nes-20", "zoo"]  # fmt: skip
SHORTENED = {"cascade": 60, "square": 100, "nes-20": 2, "zoo": 60, "apgd-ce": 20, "fab": 10, "fab-t": 10}


def shortened(name):
    return find_attack(name).model_copy(update={"steps": SHORTENED.get(name, min(find_attack(name).steps, 10))})


def needed(model, x, y, target, norm):
    """The smallest distance (N,) to the region of the target class, over its boundary with the label, in float64.

    It is the distance where no third class is above the target there.
    """
    w, b = model.w.detach().double(), model.b.detach().double()
    z = x.double().flatten(1) @ w.T + b
    rows, normal = torch.arange(len(x)), w[y] - w[target]
    length = normal.abs().sum(1) if norm == "linf" else normal.norm(dim=1)
    away = (z[rows, y] - z[rows, target]) / length
    step = normal.sign() if norm == "linf" else normal / normal.norm(dim=1, keepdim=True)
    there = (x.double().flatten(1) - away[:, None] * 1.0001 * step) @ w.T + b
    return away, there.argmax(1) == target


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["cw-linf-100", "margin-apgd", "fab-t", "deepfool", "cascade"])
def test_the_smallest_perturbation_to_a_class_of_a_linear_network(norm, name):
    spec = find_attack(name).model_copy(update={"restarts": 1})
    spec = spec.model_copy(update={"steps": min(spec.steps, 60)})
    model, x, y = linear(n=40, k=5)
    target = (y + 1 + torch.arange(40) % 4) % 5
    away, single = needed(model, x, y, target, norm)
    assert single.sum() >= 8
    for factor, broken in ((1.03, True), (0.97, False)):
        for row in single.nonzero().flatten().tolist()[:1]:
            split = Split.checked("one", x[row : row + 1], y[row : row + 1])
            with frozen_network(model, CPU) as frozen:
                rows = attack(frozen, split, spec, norm=norm, threat=repr(factor * away[row].item()),
                              target=target[row : row + 1])  # fmt: skip
            assert bool(rows.robust[0]) is not broken
            if broken:
                assert rows.prediction[0] == target[row]


@pytest.mark.parametrize(("name", "norm"), [(name, NORMS[at % 2]) for at, name in enumerate(BINARY)])
def test_with_two_classes_a_target_changes_no_verdict(name, norm):
    x = grey(12, half=0.5)
    w = torch.randn(18, generator=torch.Generator().manual_seed(3))
    model = Linear(w, -float((x.flatten(1) @ w).median())).eval()
    split = Split.checked("two", x, model(x).argmax(1))
    eps = "0.02" if norm == "linf" else "0.08"
    with frozen_network(model, CPU) as frozen:
        free, aimed = (
            attack(frozen, split, shortened(name), norm=norm, threat=eps, target=target)
            for target in (None, 1 - split.y)
        )
    assert aimed.robust.tolist() == free.robust.tolist()
    assert aimed.step.tolist() == free.step.tolist()
    if name != "fab-t":  # without a target it asks once more, for the order of the classes
        assert aimed.queries.tolist() == free.queries.tolist()
    assert 0 < free.robust.sum() < len(x)


@pytest.mark.parametrize("name", ["pgd-10", "apgd-dlr", "apgd-t", "fab-t", "cascade"])
def test_successes_are_of_the_target_and_neither_order_nor_batches_matter(name):
    model, split = toy(head="linear")
    split = split.limit(18)
    target = (split.y + 1 + torch.arange(18) % 5) % 6
    spec, order = shortened(name).model_copy(update={"restarts": 1}), torch.arange(17, -1, -1)
    with frozen_network(model, CPU) as frozen:
        one = attack(frozen, split, spec, target=target, threat="0.3")
        other = attack(frozen, split, spec, target=target, threat="0.3", batch_size=5, order=order, chunk_size=7)
    assert (one.robust == other.robust).all()
    assert (one.step == other.step).all()
    won = ~one.robust
    assert won.any()
    assert (one.prediction[won] == target.numpy()[won]).all()
    points = torch.stack([torch.frombuffer(bytearray(p), dtype=torch.float32) for p in one.adversarial[won]])
    assert (model(points.view(-1, 1, 8, 8)).argmax(1) == target[torch.from_numpy(won)]).all()


def test_the_objective_with_a_target_rises_with_the_target():
    logits, y = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(8, dtype=torch.int64)
    target = torch.full_like(y, 3)
    raised = logits.clone()
    raised[:, 3] += 0.1
    for name in OBJECTIVES.keys() - {"feature", "dlr", "dlr_targeted"}:  # ratios, whose scale moves, too
        objective = Objective(name, 15.0, 0.2)
        assert (objective.towards(raised, y, target) > objective.towards(logits, y, target)).all()
    assert AIMED.keys() == OBJECTIVES.keys() - {"feature"}
    cross_entropy = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    assert torch.nn.functional.softplus(-Objective("ce").towards(logits, y, target)).allclose(cross_entropy, atol=1e-5)


def test_every_algorithm_says_whether_it_aims_and_no_finding_advises_one_that_cannot():
    assert {name for name in list_algorithms() if not algorithm_class(name).can_aim} == CANNOT_AIM
    assert bind(find_attack("apgd-dlr")).min_classes_aimed == 4
    assert bind(find_attack("pgd-20")).min_classes_aimed == 2
