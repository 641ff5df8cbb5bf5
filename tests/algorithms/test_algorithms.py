"""Each algorithm against problems with a known optimum, and the traps its well-known implementations fall into."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import nn

import robench
from robench.algorithms import bind
from robench.algorithms.apgd import checkpoints
from robench.algorithms.square import _window
from robench.classifiers import Classifier, load_model
from robench.classifiers.frozen import frozen_network
from robench.data.split import Split
from robench.numerics.ball import onto_hyperplane
from robench.numerics.losses import dlr, margin, targeted_dlr, wrong_classes
from robench.paths import data_root
from robench.specs import ORDERS, find_attack
from robench.store import read_file
from tests.support.marks import slow
from tests.support.networks import CPU, toy
from tests.support.optima import Pieces, among, exact, grey, linear, nearest
from tests.support.runs import Counting, attack, survives

NORMS = ["linf", "l2", "l1"]
FAST_CW = {"iterations": 60, "steps": 360}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("how", [{}, {"scale": 15.0}, {"shift": -50.0}], ids=["s1", "s15", "negative"])
def test_deepfool_is_exact_on_a_linear_network(norm, how):
    model, x, y = linear(**how)
    found, optimum = nearest(model, x, y, "deepfool", norm), exact(model, x, y, norm)
    torch.testing.assert_close(found, 1.02 * optimum, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("how", [{}, {"scale": 15.0}, {"shift": -50.0}], ids=["s1", "s15", "negative"])
def test_fab_comes_within_two_percent_on_a_linear_network(norm, how):
    model, x, y = linear(**how)
    ratio = nearest(model, x, y, "fab", norm, steps=50) / exact(model, x, y, norm)
    assert ratio.min() >= 0.999
    assert ratio.max() < 1.02


@pytest.mark.parametrize("how", [{"scale": 15.0}, slow({}), slow({"shift": -50.0})], ids=["s15", "s1", "negative"])
def test_cw_comes_within_two_percent_on_a_linear_network(how):
    # Two classes: among more it descends to the boundary of the likeliest, which need not be the nearest.
    model, x, y = linear(k=2, half=0.3, **how)
    optimum = exact(model, x, y, "l2")
    far = optimum > 0.05  # Adam's first steps are longer than the others' distances
    ratio = (nearest(model, x, y, "cw-l2", "l2", **FAST_CW) / optimum)[far]
    assert far.sum() >= 12
    assert ratio.min() >= 0.999
    assert ratio.max() < 1.02


def pieces(norm: str, corner: bool):
    """Two planes over different pixels, the first nearer, and the closed form of the distance to class 1."""
    w = torch.zeros(2, 18)
    w[0, :9], w[1, 9:] = 1.0, -1.0
    w = w / (9 if norm == "linf" else 3)
    x = grey(24, seed=3)
    b = -(x.flatten(1) @ w.T).amax(0) - torch.tensor([0.05, 0.08])
    away = -(x.flatten(1) @ w.T + b).double()
    edge = away.amin(1)
    corner_away = away.amax(1) if norm == "linf" else away.norm(dim=1)
    return Pieces(w, b, corner).eval(), x, torch.zeros(24, dtype=torch.long), corner_away if corner else edge


@pytest.mark.parametrize("corner", [slow(False), True], ids=["edge", "corner"])
@pytest.mark.parametrize(
    ("name", "norm", "params"),
    [("fab", "linf", {}), ("fab", "l2", {}), ("fab-t", "l2", {}), ("cw-l2", "l2", FAST_CW)],
)
def test_piecewise_linear_optimum_within_two_percent(name, norm, params, corner):
    model, x, y, optimum = pieces(norm, corner)
    ratio = nearest(model, x, y, name, norm, **params) / optimum
    assert ratio.min() >= 0.999
    assert ratio.max() < 1.02


@pytest.mark.parametrize("places", [1, slow(6)])
@pytest.mark.parametrize(("norm", "factor"), [("linf", 1.05), slow("l2", 1.5)])
def test_square_succeeds_a_little_beyond_the_optimum(norm, factor, places):
    """Under l2 its windows are at least three pixels wide, so it cannot shape the optimum of a random plane."""
    x = 0.5 + 0.05 * (2 * torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 1)
    model, x, y = among(x, k=3)
    spec, optimum = find_attack("square"), exact(model, x, y, norm)
    short = spec.model_copy(update={"steps": 100})
    for place in range(places):
        one = slice(place, place + 1)
        assert not survives(model, x[one], y[one], spec, norm, factor * float(optimum[place]))
        assert survives(model, x[one], y[one], short, norm, 0.999 * float(optimum[place]))


def test_square_reaches_the_last_row_and_column_unless_told_not_to():
    for inner, reached in ((False, True), (True, False)):
        draws = torch.tensor([[0.999, 0.999]])
        rows, columns = _window(draws, 3, 8, 8, int(inner))
        assert bool(rows.max() == 7) is bool(columns.max() == 7) is reached


@pytest.mark.parametrize(("places", "steps"), [(1, 20), slow(3, 100)], ids=["short", "declared"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr", "apgd-t"])
def test_apgd_reaches_the_optimum_on_a_linear_network(name, norm, places, steps):
    # Cross-entropy heads for all classes at once, so with more than two it need not reach the nearest.
    model, x, y = linear(k=2 if name == "apgd-ce" else 5)
    steps = max(steps, 60) if norm == "l1" else steps
    spec, optimum = find_attack(name).model_copy(update={"steps": steps}), exact(model, x, y, norm)
    for factor, right in ((0.999, True), (1.01, False)):
        for place in range(places):
            one = slice(place, place + 1)
            assert survives(model, x[one], y[one], spec, norm, factor * float(optimum[place])) is right


@pytest.mark.parametrize(
    ("norm", "how", "places"),
    [
        ("linf", {"shift": -50.0}, 1),
        ("l2", {"scale": 15.0}, 1),
        *[slow(norm, how, 6) for norm in NORMS for how in ({}, {"scale": 15.0}, {"shift": -50.0})],
    ],
)
def test_cascade_reaches_the_optimum_on_a_linear_network(norm, how, places):
    model, x, y = linear(**how)
    spec, optimum = find_attack("cascade"), exact(model, x, y, norm)
    for factor, right in ((0.999, True), (1.01, False)):
        for place in range(places):
            one = slice(place, place + 1)
            assert survives(model, x[one], y[one], spec, norm, factor * float(optimum[place])) is right


@pytest.mark.parametrize("n", [8, slow(150)])
def test_a_cascade_is_stronger_than_its_opening_and_gives_up_what_is_hopeless(digits, n):
    model = load_model("pgdat_he")
    report = robench.evaluate(model, digits.x[:n], digits.y[:n], ids=digits.ids[:n], attacks=["cascade"], eps="0.2")
    verdict = report["cascade"]
    accuracies = [verdict.accuracy_after(steps) for steps in (10, 73, 150, verdict.result.record.header.attack.steps)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > accuracies[-1]
    forwards, _ = bind(find_attack("cascade")).cost(verdict.result.record.header.attack.steps, 10)
    assert verdict.result.forwards < forwards * verdict.result.record.robust.sum() / 2


@pytest.mark.parametrize(
    ("sizes", "n", "steps"), [(("0.02",), 32, 30), slow(("0.01", "0.02", "0.04"), 96, 100)], ids=["short", "longer"]
)
@pytest.mark.parametrize("objective", ["ce", "ce_scaled", "he_margin"])
def test_apgd_is_at_least_as_strong_as_pgd(objective, sizes, n, steps):
    model, split = toy()
    pgd = find_attack("pgd-100")
    pgd = pgd.model_copy(update={"steps": steps, "params": {**pgd.params, "objective": objective}})
    apgd = find_attack("apgd-ce").model_copy(update={"steps": steps, "params": {"objective": objective}})
    for eps in sizes:
        with frozen_network(model, CPU) as frozen:
            weak, strong = (attack(frozen, split.limit(n), spec, threat=eps) for spec in (pgd, apgd))
        assert strong.robust.sum() <= weak.robust.sum()
        assert eps != "0.02" or 0 < weak.robust.sum() < n


def test_apgd_checkpoints_are_those_of_the_paper():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(10) == [3, 5, 6, 7, 8, 9, 10, 10]


def test_apgd_is_never_cut_from_a_longer_run():
    model, split = toy()
    long, short = (find_attack("apgd-ce").model_copy(update={"name": str(steps), "steps": steps}) for steps in (20, 10))
    both = robench.evaluate(model, split.x[:12], split.y[:12], attacks=[short, long], eps="0.02")
    assert both["10"].result.source == "computed"


NEW = ["apgd-ce", "apgd-dlr", "apgd-t", "deepfool", "fab", "fab-t", "square", "cw-l2", "feature-attack"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_verdicts_depend_neither_on_batch_order_nor_chunks(name):
    """More of what the engine's tests show of every attack in few steps."""
    model, split = toy()
    spec = find_attack(name)
    short = {"steps": min(spec.steps, 40), "restarts": min(spec.restarts, 2)}
    spec = spec.model_copy(update=short)
    norm, eps = ("l2", "0.15") if name == "cw-l2" else ("linf", "0.02")
    shuffled = torch.randperm(len(split), generator=torch.Generator().manual_seed(5))
    with frozen_network(model, CPU) as frozen:
        base = attack(frozen, split, spec, norm=norm, threat=eps)
        for how in ({"batch_size": 1}, {"batch_size": 7}, {"order": shuffled, "chunk_size": 18}):
            rows = attack(frozen, split, spec, norm=norm, threat=eps, **how)
            assert (rows.robust != base.robust).sum() <= 1, how
    assert base.valid.all()


@pytest.mark.parametrize("name", NEW)
def test_every_pass_is_counted_and_misclassified_examples_cost_nothing(name):
    _, split = toy()
    model = Counted(toy()[0])
    y = split.y.clone()
    y[::3] = (y[::3] + 1) % 6
    half = Split.checked("half", split.x, y)
    spec = find_attack(name)
    spec = spec.model_copy(update={"steps": min(spec.steps, 12), "restarts": min(spec.restarts, 2)})
    norm, eps = ("l2", "0.15") if name == "cw-l2" else ("linf", "0.01")
    with frozen_network(model.eval(), CPU) as frozen:
        rows = attack(frozen, half, spec, norm=norm, threat=eps)
    wrong = ~rows.clean
    assert wrong.sum() >= 32
    assert rows.forwards[wrong].sum() == rows.backwards[wrong].sum() == 0
    assert not rows.robust[wrong].any()
    clean = len(split) * (2 if name == "feature-attack" else 1)  # once more for the pool
    judged = clean + int((rows.clean & ~rows.robust).sum())
    assert model.seen["forwards"] == rows.forwards.sum() + judged
    assert model.seen["backwards"] == rows.backwards.sum()
    broken = rows.clean & ~rows.robust
    assert (rows.queries[broken] <= rows.forwards[broken]).all()


class Counted(Classifier):
    """A network with features that counts the images that pass through it, forwards and backwards."""

    def __init__(self, model: Classifier) -> None:
        super().__init__(model.backbone, model.head, [0.0], [1.0])
        self.seen = Counting(nn.Identity()).seen

    def features(self, x):
        self.seen["forwards"] += len(x)
        if x.requires_grad:
            x.register_hook(lambda gradient: self.seen.update(backwards=len(gradient)))
        return super().features(x)


@pytest.mark.parametrize("length", [{"iterations": 300, "steps": 1200}, slow({})], ids=["short", "declared"])
def test_cw_moves_saturated_pixels(length):
    """Black images and white ones, whose nearest misclassified image is 1/8 brighter, or darker, in every pixel."""
    x = torch.cat([torch.zeros(4, 1, 2, 2), torch.ones(4, 1, 2, 2)])
    between = Pieces(torch.tensor([[1.0] * 4, [-1.0] * 4]), torch.tensor([-0.5, 3.5]), corner=True).eval()
    y = torch.zeros(8, dtype=torch.long)
    assert (between(x).argmax(1) == y).all()
    found = nearest(between, x, y, "cw-l2", "l2", **length)
    torch.testing.assert_close(found, torch.full_like(found, 0.25), rtol=0.02, atol=0)


def test_deepfool_and_fab_do_not_see_a_scale():
    for name in ("deepfool", "fab"):
        one, fifteen = (nearest(*linear(scale=s), name, "l2", steps=20) for s in (1.0, 15.0))
        torch.testing.assert_close(one, fifteen, rtol=1e-4, atol=1e-6)


def test_dlr_does_not_see_a_positive_scale_or_a_shift():
    z = torch.rand(64, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y, target = z.argsort(1)[:, 2], z.argsort(1)[:, 3]
    for other in (15 * z, z / 15, z - 3):
        torch.testing.assert_close(dlr(other, y), dlr(z, y), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(targeted_dlr(other, y, target), targeted_dlr(z, y, target), rtol=1e-4, atol=1e-5)


def test_margin_losses_of_negative_logits():
    z, y = torch.tensor([[-0.1, -0.4, -0.6, -0.9]]), torch.tensor([0])
    assert margin(z, y).item() == pytest.approx(0.3)
    assert dlr(z, y).item() == pytest.approx(-0.3 / 0.5)
    assert targeted_dlr(z, y, torch.tensor([3])).item() == pytest.approx(-0.8 / (-0.1 + 0.75))
    assert dlr(z, torch.tensor([2])).item() == pytest.approx(0.5 / 0.5)
    assert dlr(torch.full((1, 3), -1.0), y).item() == 0.0


def test_wrong_classes():
    assert wrong_classes(torch.tensor([0, 2, 1]), 3).tolist() == [[1, 2], [0, 1], [0, 2]]


@pytest.mark.parametrize("norm", NORMS)
def test_projection_onto_a_hyperplane_in_the_box_is_optimal(norm):
    generator = np.random.default_rng(0)
    for trial in range(60):
        d = int(generator.integers(2, 9))
        x, w = generator.random(d), generator.standard_normal(d)
        if trial % 3 == 0:
            x, w = np.round(x), np.where(generator.random(d) < 0.3, 0, w)  # saturated pixels, absent ones
        reach = np.maximum(w * (1 - x), -w * x).sum()
        change = float(generator.random() * reach * (-1) ** trial * 0.95)
        if trial % 2:
            change = -float(generator.random() * np.maximum(-w * (1 - x), w * x).sum() * 0.95)
        ours = project(x, w, change, norm)
        assert ours @ w == pytest.approx(change, abs=1e-5)
        assert ((x + ours >= -1e-6) & (x + ours <= 1 + 1e-6)).all()
        assert size(ours, norm) == pytest.approx(optimum(x, w, change, norm), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_projection_onto_a_hyperplane_out_of_reach_goes_as_far_as_the_box(norm):
    x, w = np.array([0.2, 0.9, 0.5]), np.array([1.0, -2.0, 0.0])
    assert project(x, w, 100.0, norm) == pytest.approx([0.8, -0.9, 0.0])
    assert project(x, w, 0.0, norm) == pytest.approx([0.0, 0.0, 0.0])
    assert project(x, 0 * w, 1.0, norm) == pytest.approx([0.0, 0.0, 0.0])


def project(x, w, change, norm):
    image, normal = (torch.tensor(v, dtype=torch.float32).view(1, 1, 1, -1) for v in (x, w))
    return onto_hyperplane(image, normal, torch.tensor([change]), norm).flatten().double().numpy()


def size(d, norm):
    return np.linalg.norm(d, ORDERS[norm])


def optimum(x, w, change, norm):
    """By SciPy's general optimisers."""
    n = len(x)
    if norm == "linf":
        ends = np.hstack([np.vstack([np.eye(n), -np.eye(n)]), -np.ones((2 * n, 1))])
        bounds = [*zip(-x, 1 - x, strict=True), (0, None)]
        row = np.append(w, 0)[None]
        return linprog(np.eye(n + 1)[n], ends, np.zeros(2 * n), row, [change], bounds).fun
    if norm == "l1":
        bounds = [(0, high) for high in (*(1 - x), *x)]
        return linprog(np.ones(2 * n), A_eq=np.append(w, -w)[None], b_eq=[change], bounds=bounds).fun
    start = np.zeros(n)
    found = minimize(
        lambda d: d @ d, start, jac=lambda d: 2 * d, bounds=list(zip(-x, 1 - x, strict=True)), method="SLSQP",
        constraints={"type": "eq", "fun": lambda d: d @ w - change, "jac": lambda d: w}, options={"ftol": 1e-14},
    )  # fmt: skip
    return np.sqrt(found.fun)


@pytest.mark.parametrize("name", ["cascade", "cascade-1"])
@pytest.mark.parametrize("n", [8, slow(120)])
def test_a_published_cascade_is_run_again_to_its_verdicts(name, n, digits):
    """Random numbers depend on the example alone: the verdicts of some examples are those of all."""
    published = read_file(data_root() / "results" / "digits" / "pgdat_he.jsonl")
    record = next(each for each in published if (each.header.attack.name, each.header.seed) == (name, 0))
    model, x, y = load_model("pgdat_he"), digits.x[:n], digits.y[:n]
    again = robench.evaluate(model, x, y, ids=digits.ids[:n], attacks=[name], eps="0.2")[name].result.record
    assert 0 < again.robust.sum() < n
    # The rounding of another processor may flip an example in a hundred.
    assert (again.robust == record.robust[:n]).sum() >= n - -(-n // 100)
