"""On linear networks the optimum is known: attacks must reach it, and succeed exactly beyond it."""

from typing import Any

import pytest
import torch

import robench
from robench.specs import AttackSpec
from tests.support.marks import slow
from tests.support.networks import Linear
from tests.support.runs import survives

STEPS = {"fgsm": 1, "bim": 10, "pgd": 40, "mim": 20}


def stanza(name: str, steps: int | None = None, **params) -> AttackSpec:
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "fgsm": ("pgd", {"rel_step": 1.0, "start": "clean"}),
        "bim": ("pgd", {"rel_step": 0.25, "start": "clean"}),
        "pgd": ("pgd", {"rel_step": 0.25}),
        "mim": ("mim", {"rel_step": 0.25}),
    }
    algorithm, own = kinds[name]
    steps = steps or STEPS[name]
    return AttackSpec(name=name, algorithm=algorithm, steps=steps, params={**own, **params}, about="", cite="")


def problem(seed: int, low: float = 0.45, high: float = 0.55) -> tuple[Linear, torch.Tensor, torch.Tensor]:
    """Sixteen 2x3x3 images around grey, each classified correctly by construction."""
    generator = torch.Generator().manual_seed(seed)
    x = low + (high - low) * torch.rand(16, 2, 3, 3, generator=generator)
    w = torch.randn(18, generator=generator)
    model = Linear(w, float(-(x.flatten(1) @ w).mean() + 0.01)).eval()
    return model, x, model(x).argmax(1)


def distances(model: Linear, x: torch.Tensor, norm: str) -> torch.Tensor:
    """Exact distance to the hyperplane in float64: |f| over the dual norm of w."""
    w = model.w.detach().double()
    f = x.double().flatten(1) @ w + model.b
    return f.abs() / (w.abs().sum() if norm == "linf" else w.norm())


@pytest.mark.parametrize("places", [1, slow(4)])
@pytest.mark.parametrize("objective", ["ce", "ce_scaled", "he_margin", "margin", "probability_margin"])
@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd", "mim"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_success_flips_at_the_analytic_eps(norm, name, objective, places):
    model, x, y = problem(0)
    exact = distances(model, x, norm)
    steps = 150 if norm == "l2" and name == "pgd" else None  # from a random start l2 converges geometrically
    spec = stanza(name, steps, objective=objective)
    for place in range(places):
        one = slice(place, place + 1)
        for factor, right in ((1 - 2e-3, True), (1 + 2e-3, False)):
            eps = float(exact[place]) * factor
            assert survives(model, x[one], y[one], spec, norm, eps) is right, (place, factor)


def test_linf_optimum_is_reached_where_the_box_cuts_the_ball():
    model, x, y = problem(1, low=0.0, high=1.0)
    eps = 0.08
    w = model.w.detach().double()
    toward = -w.sign() * (2 * y[:, None] - 1)
    corner = (x.double().flatten(1) + eps * toward).clamp(0, 1)
    flips = ((corner @ w + model.b > 0).long() != y).tolist()
    assert 0 < sum(flips) < len(flips)
    for name in ("fgsm", "bim", "pgd"):
        record = robench.evaluate(model, x, y, attacks=[stanza(name)], eps=eps)[name].result.record
        assert (~record.robust).tolist() == flips


def test_l2_steps_never_leave_the_ball_and_use_all_of_it():
    from robench.numerics.ball import Ball, distance

    generator = torch.Generator().manual_seed(2)
    center = torch.rand(50, 1, 4, 4, generator=generator)
    ball = Ball(center, "l2", 0.5)
    far = ball.project(center + torch.randn(center.shape, generator=generator))
    assert ball.contains(far).all()
    inner = 0.3 + 0.4 * center
    near = Ball(inner, "l2", 0.1).project(inner + 3 * torch.randn(center.shape, generator=generator))
    assert torch.allclose(distance(near, inner, "l2"), torch.tensor(0.1, dtype=torch.float64), rtol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_steepest_direction_has_unit_norm_and_maximal_ascent(norm):
    from robench.numerics.ball import Ball

    generator = torch.Generator().manual_seed(3)
    g = torch.randn(20, 1, 5, 5, generator=generator) * torch.logspace(-25, 5, 20).view(-1, 1, 1, 1)
    u = Ball(torch.zeros_like(g), norm, 1.0).steepest(g).double().flatten(1)
    length = u.abs().amax(1) if norm == "linf" else u.norm(dim=1)
    dual = g.double().flatten(1).abs().sum(1) if norm == "linf" else g.double().flatten(1).norm(dim=1)
    assert torch.allclose(length, torch.ones_like(length), rtol=1e-5)
    assert torch.allclose((u * g.double().flatten(1)).sum(1), dual, rtol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_fill_the_ball(norm):
    from robench.numerics.ball import Ball, distance
    from robench.numerics.randomness import ExampleRandom

    ids = tuple(range(4000))
    center = torch.full((4000, 1, 2, 2), 0.5)
    noise, ball = ExampleRandom(0, "s", ids), Ball(center, norm, 0.4)
    if norm == "linf":
        points = ball.random_point(noise.uniform((1, 2, 2), 0, "start"))
        share_inside_half = 0.5**4
    else:
        points = ball.random_point(noise.uniform((), 0, "start"), noise.normal((1, 2, 2), 0, "start"))
        share_inside_half = 0.5**4
    radius = distance(points, center, norm)
    assert radius.max() <= 0.4 + 1e-6
    share = (radius <= 0.2).double().mean().item()
    assert abs(share - share_inside_half) < 4 * (share_inside_half / 4000) ** 0.5


def test_saturated_softmax_still_gives_a_direction():
    """Plain float32 cross-entropy has a zero gradient here; the log odds do not."""
    model, x, y = problem(4)
    sharp = Linear(model.w.detach() * 1e4, model.b * 1e4).eval()
    logits = sharp(x.requires_grad_())
    (naive,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, y, reduction="sum"), x)
    assert (naive.flatten(1).abs().amax(1) == 0).any()
    x = x.detach()
    eps = float(distances(sharp, x, "linf").max()) * 1.01
    assert robench.evaluate(sharp, x, y, attacks=[stanza("fgsm")], eps=eps)["fgsm"].robust_accuracy == 0.0
