"""Frameworks against Table 1 of the paper, written anew in NumPy in float64; the appendix's lemmas as properties."""

from copy import deepcopy
from math import prod

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robench.classifiers import Classifier, HypersphereHead, LinearHead
from robench.classifiers.heads import make_head
from robench.errors import InputError
from robench.numerics.ball import Ball
from robench.numerics.losses import cross_entropy, log_odds
from robench.specs import Head, Recipe, find_card
from robench.training.frameworks import list_frameworks, make_framework
from robench.training.frameworks.trades import divergence
from robench.training.net import Net
from robench.training.perturb import Perturber

CPU = torch.device("cpu")
MEAN, STD, SHAPE, FEATURES, CLASSES, EPS = 0.3, 0.6, (1, 3, 3), 5, 4, 0.15
HEADS = {  # scales at which float32 still tells the gradients of confident examples from rounding
    "linear": Head(),
    "he": Head(kind="he", scale=6, margin=0.2),
    "m_he": Head(kind="he", angular="arccos", scale=4, margin=0.1),
    "fn": Head(kind="he", wn=False),
    "wn": Head(kind="he", fn=False),
    "fn_wn": Head(kind="he", scale=6),
}
PAPER = {"alpha": 0.5, "weight": 0.5, "beta": 6.0}
CASES = [
    ("standard", {}), ("pgd_at", {}), ("fast_at", {}), ("alp", {}), ("alp", {"alpha": 0.2, "weight": 3.0}),
    ("trades", {}), ("trades", {"beta": 1.5}),
]  # fmt: skip
heads = pytest.mark.parametrize("spec", HEADS.values(), ids=HEADS)


class Linear(nn.Module):
    """Features A x + c."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(prod(SHAPE), FEATURES)
        self.features = FEATURES

    def forward(self, x):
        return self.map(x.flatten(1))


class Seen(nn.Module):
    """Passes images on to a network and remembers them."""

    def __init__(self, module):
        super().__init__()
        self.module, self.points = module, []

    def forward(self, x):
        self.points.append(x.detach().clone())
        return self.module(x)


class Given:
    """In place of PGD: hands out fixed images and keeps what it was asked to increase."""

    steps, train_mode = 1, False

    def __init__(self, points):
        self.points = points

    def __call__(self, net, x, loss):
        self.loss = loss
        return self.points


def images(n=6, seed=1):
    """Images that touch both ends of [0, 1], and labels."""
    draws = torch.Generator().manual_seed(seed)
    x = (torch.rand(n, *SHAPE, generator=draws) * 1.4 - 0.2).clamp(0, 1)
    return x, torch.randint(CLASSES, (n,), generator=draws)


def network(spec, backbone=Linear, seed=0):
    torch.manual_seed(seed)
    inner = backbone()
    return Classifier(inner, make_head(spec, inner.features, CLASSES), [MEAN], [STD]).train()


def watched(model):
    seen = Seen(model)
    return Net(model, seen, "fp32", CPU), seen.points


def recipe(framework, norm="linf", **changes):
    one = {"steps": 1, "rel_step": "5/4"} if framework == "fast_at" else {"steps": 4, "rel_step": "1/3"}
    changes = {**one, "eps": str(EPS), "norm": norm, "epochs": 1, "batch_size": 6, "lr": 0.1, **changes}
    return Recipe(framework=framework, **changes)


def perturber(declared, seed=7):
    return Perturber.of(declared, torch.Generator().manual_seed(seed))


# ---- The paper's formulas in NumPy ----


def weights(model):
    return {key: value.double().numpy().copy() for key, value in model.state_dict().items()}


def unit(v):
    return v / np.sqrt((v**2).sum(1, keepdims=True))


def logits(w, spec, x):
    """W^T z + b, or the paper's Eq. (5) and Sec. 3.5."""
    z = ((np.asarray(x, float).reshape(len(x), -1) - MEAN) / STD) @ w["backbone.map.weight"].T + w["backbone.map.bias"]
    if spec.kind == "linear":
        return z @ w["head.weight"].T + w["head.bias"]
    out = (unit(z) if spec.fn else z) @ (unit(w["head.weight"]) if spec.wn else w["head.weight"]).T
    return -np.arccos(out) if spec.angular == "arccos" else out


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def ce(z, y, s, m):
    """Eq. (6) of each example."""
    return -np.log(softmax(s * (z - m * np.eye(CLASSES)[y]))[np.arange(len(y)), y])


def kl(clean, adversarial, s):
    p, q = softmax(s * clean), softmax(s * adversarial)
    return (p * np.log(p / q)).sum(1)


def minimised(framework, args, w, spec, y, x, points):
    """L_T."""
    c, s, m = {**PAPER, **args}, spec.scale, spec.margin
    clean, adversarial = logits(w, spec, x), logits(w, spec, points)
    if framework == "standard":
        return ce(clean, y, s, m).mean()
    if framework == "alp":
        pairing = ((clean - adversarial) ** 2).sum() / clean.size
        both = c["alpha"] * ce(clean, y, s, m).mean() + (1 - c["alpha"]) * ce(adversarial, y, s, m).mean()
        return both + c["weight"] * pairing
    if framework == "trades":
        return ce(clean, y, s, m).mean() + c["beta"] * kl(clean, adversarial, s).mean()
    return ce(adversarial, y, s, m).mean()


def maximised(framework, w, spec, y, x, points):
    """L_A of each example: the margin is not in it."""
    if framework == "trades":
        return kl(logits(w, spec, x), logits(w, spec, points), spec.scale)
    return ce(logits(w, spec, points), y, spec.scale, 0.0)


def projected(points, x, norm):
    delta = points - x
    if norm == "linf":
        return np.clip(x + np.clip(delta, -EPS, EPS), 0, 1)
    length = np.sqrt((delta**2).sum((1, 2, 3), keepdims=True))
    return np.clip(x + delta * EPS / np.maximum(EPS, length), 0, 1)


def slopes(loss, points, h=1e-6):
    """The gradient of each example's loss by central differences."""
    out = np.zeros_like(points)
    for at in np.ndindex(*SHAPE):
        step = np.zeros((1, *SHAPE))
        step[0, *at] = h
        out[:, *at] = (loss(points + step) - loss(points - step)) / (2 * h)
    return out


def pgd(loss, x, declared, seed=7):
    """Projected steepest ascent from a uniform point; the draws are those of a torch generator."""
    draws, rel = torch.Generator().manual_seed(seed), float(np.divide(*map(float, declared.rel_step.split("/"))))
    if declared.norm == "linf":
        start = (2 * torch.rand(x.shape, generator=draws).double().numpy() - 1) * EPS
    else:
        radius = torch.rand(len(x), generator=draws).double().numpy() ** (1 / prod(SHAPE)) * EPS
        start = torch.randn(x.shape, generator=draws).double().numpy()
        start *= (radius / np.sqrt((start**2).sum((1, 2, 3))))[:, None, None, None]
    points = np.clip(x + start, 0, 1)
    for _ in range(declared.steps):
        g = slopes(loss, points)
        up = np.sign(g) if declared.norm == "linf" else g / np.sqrt((g**2).sum((1, 2, 3), keepdims=True))
        points = projected(points + rel * EPS * up, x, declared.norm)
    return points


def slope_of_weights(loss, w, along, h=1e-6):
    """The derivative of a function of the weights along a direction."""
    up, down = ({key: w[key] + sign * h * along[key] for key in w} for sign in (1, -1))
    return (loss(up) - loss(down)) / (2 * h)


# ---- Table 1 ----


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
    for have, wanted in zip(seen, inputs, strict=True):
        np.testing.assert_allclose(have.numpy(), wanted, atol=2e-6)

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


# ---- Batch norm while perturbing ----


class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten())
        self.features = 27


def statistics(model):
    return {name: buffer.clone() for name, buffer in model.named_buffers() if "backbone" in name}


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_batch_norm_while_perturbing(mode):
    """In evaluation mode no statistic moves and the points are those of the frozen network."""
    model, (x, y), declared = network(Head(), Normed), images(), recipe("pgd_at", perturb_mode=mode)
    with torch.no_grad():
        model(x)  # statistics of its own, unlike any batch's
    twin, before = deepcopy(model), statistics(model)
    points = perturber(declared)(Net(model, model, "fp32", CPU), x, lambda z: F.cross_entropy(z, y, reduction="none"))
    same = [torch.equal(before[name], now) for name, now in statistics(model).items()]
    assert all(same) if mode == "eval" else not any(same)
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    twin.train(mode == "train")
    at = Ball(x, "linf", EPS).random_point(torch.rand(x.shape, generator=torch.Generator().manual_seed(7)))
    for _ in range(declared.steps):
        at.requires_grad_()
        (up,) = torch.autograd.grad(F.cross_entropy(twin(at), y, reduction="sum"), at)
        at = torch.clamp(torch.minimum(torch.maximum(at.detach() + EPS / 3 * up.sign(), x - EPS), x + EPS), 0, 1)
    torch.testing.assert_close(points, at, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    ("framework", "updates", "looks"), [("pgd_at", 1, 4), ("fast_at", 1, 1), ("alp", 2, 4), ("trades", 2, 5)]
)
def test_passes_that_batch_norm_counts(framework, updates, looks, mode):
    model, (x, y) = network(Head(), Normed), images()
    losses = make_framework(framework).losses(
        Net(model, model, "fp32", CPU), x, y, perturber(recipe(framework, perturb_mode=mode))
    )
    list(losses)
    assert model.backbone[1].num_batches_tracked == updates + (looks if mode == "train" else 0)


# ---- The appendix's lemmas ----


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_lemma_1_steepest_ascent_gains_eps_times_the_dual_norm(norm, dual):
    draws = np.random.default_rng(1)
    g = draws.standard_normal((400, *SHAPE)) * 10 ** draws.uniform(-12, 6, (400, 1, 1, 1))
    g[draws.random(g.shape) < 0.3] = 0
    g[0] = 0
    eps = float(draws.uniform(0.001, 5))
    flat = g.reshape(400, -1)
    best = eps * (np.abs(flat) ** dual).sum(1) ** (1 / dual)
    up = Ball(torch.zeros(400, *SHAPE, dtype=torch.float64), norm, eps).steepest(torch.from_numpy(g)).numpy()
    up, length = up.reshape(400, -1), {"linf": np.inf, "l2": 2}[norm]
    assert np.linalg.norm(up, length, axis=1).max() <= 1 + 1e-12
    np.testing.assert_allclose(eps * (up * flat).sum(1), best, rtol=1e-12)
    for spread in (1e-3, 0.1, 1.0, 10.0):  # no other point of the ball gains more
        other = up + spread * draws.standard_normal((50, *up.shape))
        other /= np.maximum(1, np.linalg.norm(other, length, axis=2, keepdims=True))
        assert (eps * (other * flat).sum(2) <= best * (1 + 1e-12)).all()


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_lemma_1_holds_to_first_order_for_a_network(norm, dual):
    """L(x + t U) = L(x) + t |gradient|_q + O(t^2): a tenth of t leaves a hundredth of the error."""
    model, (x, y) = network(HEADS["he"]).double(), images()
    x = x.double().requires_grad_()
    loss = cross_entropy(HEADS["he"].scale * model(x), y)
    (g,) = torch.autograd.grad(loss.sum(), x)
    errors = []
    for t in (1e-3, 1e-4):
        moved = cross_entropy(HEADS["he"].scale * model(x + t * Ball(x, norm, t).steepest(g)), y)
        errors.append((moved - loss - t * g.flatten(1).norm(dual, dim=1)).detach().abs())
    assert (errors[0] < 1e-2).all()
    assert (errors[1] < errors[0] / 50).all()


class Curved(nn.Module):
    def __init__(self):
        super().__init__()
        self.map, self.features = nn.Linear(prod(SHAPE), FEATURES), FEATURES

    def forward(self, x):
        return torch.tanh(self.map(x.flatten(1)))


@heads
@pytest.mark.parametrize("seed", range(8))
def test_lemma_2_gradient_of_cross_entropy_is_a_sum_over_pairs(spec, seed):
    """Of soft labels f(x), which TRADES ascends, and of a hard label; W_ij z' is the difference of two logits."""
    model, s = network(spec, Curved, seed).double(), spec.scale
    assert isinstance(model.head, LinearHead if spec.kind == "linear" else HypersphereHead)
    x, y = images(3, seed)
    clean, moved = model(x.double()).detach(), images(3, seed + 100)[0].double().requires_grad_()
    z = model(moved)
    f, g = torch.softmax(s * clean, 1), torch.softmax(s * z, 1).detach()
    slope = torch.stack(
        [torch.autograd.grad(s * z[:, i].sum(), moved, retain_graph=True)[0] for i in range(CLASSES)], 1
    )
    soft, hard = torch.zeros_like(moved), torch.zeros_like(moved)
    for n in range(3):
        for i in range(CLASSES):
            for j in range(CLASSES):
                pair = slope[n, i] - slope[n, j]
                soft[n] -= f[n, i] * g[n, j] * pair if i != j else 0
                hard[n] -= g[n, j] * pair if i == y[n] and j != i else 0

    def gradient(loss):
        return torch.autograd.grad(loss.sum(), moved, retain_graph=True)[0]

    torch.testing.assert_close(gradient(-(f * F.log_softmax(s * z, 1)).sum(1)), soft, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient(divergence(clean, z, s)), soft, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient(cross_entropy(s * z, y)), hard, rtol=1e-9, atol=1e-12)
    odds = gradient(log_odds(s * z, y)) * (1 - g[torch.arange(3), y])[:, None, None, None]
    torch.testing.assert_close(odds, hard, rtol=1e-9, atol=1e-12)
