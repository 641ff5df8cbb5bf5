"""Frameworks against Table 1 of the paper: what is minimised, what is increased, FreeAT and FastAT."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from robench.errors import InputError
from robench.specs import Head, find_card
from robench.training.frameworks import list_frameworks, make_framework
from tests.support.table1 import (
    CLASSES,
    EPS,
    HEADS,
    SHAPE,
    Given,
    ce,
    images,
    kl,
    logits,
    maximised,
    minimised,
    network,
    perturber,
    pgd,
    projected,
    recipe,
    slope_of_weights,
    softmax,
    unit,
    watched,
    weights,
)

CASES = [
    ("standard", {}), ("pgd_at", {}), ("fast_at", {}), ("alp", {}), ("alp", {"alpha": 0.2, "weight": 3.0}),
    ("trades", {}), ("trades", {"beta": 1.5}),
]  # fmt: skip
POINTS = 1.2e-5
"""Rounding of PGD's points in float32 (unit roundoff u = 6e-8). The gradient that TRADES ascends is a difference of two
softmaxes, each off by u; near the clean image it is as little as 1/2000 of them, so its direction is off by 4000 u, and
a point by a step of EPS / 3 in that direction.
"""
heads = pytest.mark.parametrize("spec", HEADS.values(), ids=HEADS)


def test_every_framework_is_compared():
    assert {name for name, _ in CASES} | {"free_at"} == set(list_frameworks())


@heads
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("framework", "args"), CASES, ids=str)
def test_training_objective_at_the_points_of_its_pgd(framework, args, norm, spec):
    """L_T, its gradient in the weights, and the point where it is taken."""
    model, (x, y), declared = network(spec), images(), recipe(framework, norm)
    w, clean, labels = weights(model), x.double().numpy(), y.numpy()
    points = clean
    if framework != "standard":
        points = pgd(lambda at: maximised(framework, w, spec, labels, clean, at), clean, declared)
    net, seen = watched(model)
    (loss,) = make_framework(framework, args).losses(net, x, y, perturber(declared))
    inputs = {"standard": [clean], "alp": [clean, points], "trades": [clean, points]}.get(framework, [points])
    assert len(seen) == len(inputs)
    for have, asked in zip(seen, inputs, strict=True):
        np.testing.assert_allclose(have.numpy(), asked, atol=POINTS)

    def wanted(changed):
        return minimised(framework, args, changed, spec, labels, clean, points)

    assert loss.item() == pytest.approx(wanted(w), rel=2e-5)
    loss.backward()
    draws = np.random.default_rng(3)
    along = {key: draws.standard_normal(value.shape) for key, value in w.items()}
    slope = sum((p.grad.double().numpy() * along[name]).sum() for name, p in model.named_parameters())
    assert slope == pytest.approx(slope_of_weights(wanted, w, along), rel=1e-3, abs=1e-4)


@heads
@pytest.mark.parametrize("framework", ["pgd_at", "fast_at", "alp", "trades"])
def test_adversarial_objective(framework, spec):
    """The value says where scale and margin are, the direction that ascending it is ascending Table 1's L_A."""
    model, (x, y), given = network(spec), images(), Given(images(seed=2)[0])
    list(make_framework(framework).losses(watched(model)[0], x, y, given))
    at = torch.tanh(torch.randn(6, CLASSES, generator=torch.Generator().manual_seed(5), dtype=torch.float64))
    at.requires_grad_()
    value = given.loss(at)
    (up,) = torch.autograd.grad(value.sum(), at)
    z, clean, s, rows = at.detach().numpy(), logits(weights(model), spec, x), spec.scale, np.arange(6)
    p = softmax(s * z)
    if framework == "trades":
        wanted, slope = kl(clean, z, s), s * (p - softmax(s * clean))
    else:  # the log odds, which increase with cross-entropy
        wanted, slope = np.log((1 - p[rows, y]) / p[rows, y]), s * (p - np.eye(CLASSES)[y])
    np.testing.assert_allclose(value.detach().numpy(), wanted, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(unit(up.numpy()), unit(slope), atol=2e-5)


@pytest.mark.parametrize("angular", ["cos", "arccos"])
@pytest.mark.parametrize("framework", ["pgd_at", "fast_at", "alp", "trades"])
def test_margin_acts_in_the_training_objective_only(framework, angular):
    x, y = images()
    z = torch.randn(6, CLASSES, generator=torch.Generator().manual_seed(5))
    asked, losses = [], []
    for margin in (0.0, 0.4):
        given = Given(images(seed=2)[0])
        net, _ = watched(network(Head(kind="he", angular=angular, scale=10, margin=margin)))
        losses += [loss.item() for loss in make_framework(framework).losses(net, x, y, given)]
        asked.append(given.loss(z))
    assert torch.equal(*asked)
    assert losses[1] > losses[0] + 0.1


# ---- FreeAT and FastAT ----


def separately(model, spec, points, y):
    """L_T of PGD-AT with its gradient in the weights from one backward pass and in the images from another."""

    def loss(at):
        z = model(at)
        return F.cross_entropy(spec.scale * (z - spec.margin * F.one_hot(y, CLASSES)), y)

    at = points.clone().requires_grad_()
    return loss(points), torch.autograd.grad(loss(points), list(model.parameters())), torch.autograd.grad(loss(at), at)


@heads
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_free_at(norm, spec):
    """Replays, one backward pass for both gradients, and a perturbation that stays, also over a smaller batch."""
    model, replays = network(spec), 3
    net, seen = watched(model)
    forwards = []
    model.register_forward_hook(lambda module, *_: forwards.append(module is model))  # not the copies
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    declared = recipe("free_at", norm, steps=1, rel_step="1/2")
    framework, perturb = make_framework("free_at", {"replays": replays}), perturber(declared)
    delta, sizes = np.zeros((6, *SHAPE)), (6, 4, 6)
    for number, size in enumerate(sizes):
        x, y = images(size, seed=10 + number)
        clean, before = x.double().numpy(), len(seen)
        for loss in framework.losses(net, x, y, perturb):
            w, points = weights(model), projected(clean + delta[:size], clean, norm)
            np.testing.assert_allclose(seen[-1].numpy(), points, atol=2e-6)
            away = (seen[-1].double().numpy() - clean).reshape(size, -1)
            assert (np.abs(away).max(1) if norm == "linf" else np.sqrt((away**2).sum(1))).max() <= EPS + 1e-6
            assert loss.item() == pytest.approx(
                ce(logits(w, spec, points), y, spec.scale, spec.margin).mean(), rel=2e-5
            )
            value, of_weights, (of_images,) = separately(deepcopy(model), spec, seen[-1], y)
            torch.testing.assert_close(loss, value)
            optimizer.zero_grad()
            loss.backward()
            for parameter, wanted in zip(model.parameters(), of_weights, strict=True):
                torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)
            up = np.sign(of_images.numpy()) if norm == "linf" else unit(of_images.flatten(1).double().numpy())
            moved = points + 0.5 * EPS * up.reshape(points.shape)
            delta[:size] = projected(moved, clean, norm) - clean
            optimizer.step()
        assert len(seen) - before == replays
    assert sum(forwards) == replays * len(sizes), "the perturbation must cost no pass of its own"
    fresh = make_framework("free_at").losses(net, x, y, perturb)
    next(fresh)
    assert torch.equal(seen[-1], x), "another run starts without a perturbation"


@pytest.mark.parametrize("steps", [2, 10])
def test_fast_at_takes_one_step(steps):
    x, y = images()
    with pytest.raises(InputError, match=rf"key 'steps': fast_at takes one step, not {steps}"):
        list(
            make_framework("fast_at").losses(
                watched(network(Head()))[0], x, y, perturber(recipe("pgd_at", steps=steps))
            )
        )


@pytest.mark.parametrize("name", ["fastat", "fastat_he", "fastat_mhe", "cifar10/fastat", "cifar10/fastat_he"])
def test_registered_fast_at_is_that_of_wong_et_al(name):
    declared = find_card(name).recipe
    assert (declared.framework, declared.steps, declared.rel_step, declared.schedule) == ("fast_at", 1, "5/4", "cyclic")


@pytest.mark.parametrize(
    ("name", "args", "key"),
    [
        ("trades", {"betta": 6.0}, "args.betta"), ("trades", {"beta": -1.0}, "args.beta"),
        ("alp", {"alpha": 1.5}, "args.alpha"), ("alp", {"weight": "much"}, "args.weight"),
        ("alp", {"beta": 1.0}, "args.beta"), ("free_at", {"replays": 0}, "args.replays"),
        ("free_at", {"replays": 2.5}, "args.replays"), ("standard", {"beta": 1.0}, "args.beta"),
        ("pgd_at", {"steps": 3}, "args.steps"), ("fast_at", {"replays": 2}, "args.replays"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_with_their_key(name, args, key):
    with pytest.raises(InputError, match=rf"^recipe, key '{key}': [^\n]*\.$"):
        make_framework(name, args)


def test_unknown_framework_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="unknown framework 'trade': did you mean trades"):
        make_framework("trade")
