"""Attacks under a mask: closed forms on linear networks, and the whole catalogue, which changes no other pixel."""

import numpy as np
import pytest
import torch
from torch import nn

import robench
from robench.algorithms import algorithm_class, list_algorithms
from robench.algorithms.square import _around
from robench.classifiers.frozen import frozen_network
from robench.data.split import Split
from robench.numerics.ball import Ball, distance
from robench.numerics.randomness import one_of
from robench.report.advice import CANNOT_MASK
from robench.specs import NORMS, find_attack, list_attacks
from tests.support.marks import slow
from tests.support.networks import CPU
from tests.support.optima import among, exact, grey, linear, nearest
from tests.support.runs import attack

N = 12
SHORT = {"square": 60, "nes-20": 1, "spsa-20": 1, "zoo": 60, "rays": 60, "cascade": 40, "cw-l2": 200}
"""Fewer steps than ten would not break an example, or more would take long."""


def masks(n: int = N, seed: int = 0, shape: tuple[int, ...] = (2, 3, 3)) -> torch.Tensor:
    """Another mask for each example, over pixels and channels, none of them empty."""
    mask = torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[:, 0, 0, 0] = True
    return mask


def spec_of(name: str, steps: int = 10):
    spec = find_attack(name)
    params = {"iterations": 40, "rate": 0.05} if name == "cw-l2" else spec.params
    cut = {"steps": min(spec.steps, SHORT.get(name, steps)), "restarts": min(spec.restarts, 2)}
    return spec.model_copy(update={**cut, "params": params})


def changes(rows, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """Which values of the broken examples were changed, and which examples these are."""
    broken = torch.from_numpy(rows.clean & ~rows.robust)
    points = [torch.frombuffer(bytearray(p), dtype=torch.float32) for p in rows.adversarial[broken.numpy()]]
    clean = split.x[broken]
    return (torch.stack(points).view_as(clean) if points else clean) != clean, broken


@pytest.mark.parametrize("name", ["pgd-50", "apgd-ce", "cascade", "fab", "deepfool"])
@pytest.mark.parametrize("norm", NORMS)
def test_exactly_what_can_be_broken_under_the_mask_is_broken(norm, name):
    model, x, y = linear(n=N, k=2, half=0.1)
    mask = masks()
    radius = exact(model, x, y, norm, mask)
    eps = radius.median().item()
    clear = (radius / eps - 1).abs() > 0.03
    assert (radius < 0.3).all()  # no optimum meets the box
    spec = find_attack(name).model_copy(update={"restarts": 1})
    spec = spec.model_copy(update={"steps": min(spec.steps, 50)})
    with frozen_network(model, CPU) as frozen:
        rows = attack(frozen, Split.checked("grey", x, y), spec, norm=norm, threat=repr(eps), mask=mask)
    wrong = torch.from_numpy(rows.robust) != (radius > eps)
    assert clear.sum() >= N - 3
    assert not (wrong & clear).any()
    assert (rows.first_fault == -1).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("name", "ratio"), [("deepfool", 1.02), ("fab", 1.0)])
def test_minimum_norm_attacks_find_the_nearest_point_of_the_mask(norm, name, ratio):
    model, x, y = linear(n=N)
    mask = masks()
    found, optimum = nearest(model, x, y, name, norm, mask, steps=50), exact(model, x, y, norm, mask)
    assert (found / optimum / ratio).min() > 0.999
    assert (found / optimum / ratio).max() < 1.02


@pytest.mark.parametrize(("name", "eps"), [("square", 1.3), ("rays", 1.1), ("zoo", 1.3), ("nes-20", 1.2)])
def test_black_boxes_spend_their_queries_on_a_few_pixels(name, eps):
    """One pixel of 64 may change: attacks that tried all of them would spend nearly all queries on nothing."""
    x = 0.5 + 0.1 * (torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5)
    model, x, y = among(x, 2)
    mask = torch.zeros_like(x, dtype=torch.bool)
    mask[:, :, 2, 5] = True
    radius = exact(model, x, y, "linf", mask)
    spec = find_attack(name).model_copy(update={"steps": 14 if name == "nes-20" else 40})
    reachable = radius < 0.3
    assert reachable.any()
    for one in reachable.nonzero().flatten().tolist()[:2]:
        part = slice(one, one + 1)
        with frozen_network(model, CPU) as frozen:
            rows = attack(frozen, Split.checked("one", x[part], y[part]), spec, threat=repr(eps * radius[one].item()),
                          mask=mask[part])  # fmt: skip
        assert not rows.robust[0]


class Ends(nn.Module):
    """A linear network whose last layer shows features."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(18, 4)
        self.eval()

    def forward(self, x):
        return self.linear(x.flatten(1))


@pytest.mark.parametrize("name", [
    *("pgd-10", "mim-20", "apgd-t", "fn-pgd-20", "feature-attack", "fab", "cw-l2", "cascade", "square", "spsa-20",
      "zoo", "rays"),
    *(slow(each) for each in list_attacks()
      if find_attack(each).algorithm not in ("autoattack", "autoattack_rand", "transfer")),
])  # fmt: skip
def test_no_attack_of_the_catalogue_changes_other_pixels(name):
    spec = spec_of(name)
    model, x = Ends(0), grey(N, half=0.4)
    split = Split.checked("grey", x, model(x).argmax(1))
    mask = masks(seed=1)
    w = model.linear.weight.detach().double()
    z = model(x).detach().double()
    normals = (w[split.y][:, None] - w) * mask.flatten(1)[:, None]
    for norm, eps in (("linf", 0.4), ("l2", 1.5)):
        if norm not in algorithm_class(spec.algorithm).norms:
            continue
        with frozen_network(model, CPU) as frozen:
            network = frozen.with_features(None, frozen.predict, x[:1])
            rows = attack(network, split, spec, norm=norm, threat=str(eps), mask=mask)
        changed, broken = changes(rows, split)
        assert not (changed & ~mask[broken]).any()
        assert (rows.first_fault == -1).all()
        reach = normals.abs().sum(2) if norm == "linf" else normals.norm(dim=2)
        lead = z.gather(1, split.y[:, None]) - z - eps * reach
        others = ~nn.functional.one_hot(split.y, 4).bool()
        provable = (lead > 1e-6).logical_or(~others).all(1)
        assert rows.robust[provable.numpy()].all()
        assert broken.any() or spec.steps * spec.restarts < 3


def test_transfers_stay_on_the_mask():
    """Examples are crafted under the mask, and the crafted points are those that are tried."""
    x = grey(N, half=0.3)
    model, mask = Ends(0), masks(seed=2)
    report = robench.evaluate(
        model, x, model(x).argmax(1), eps=0.4, attacks=["transfer-pgd-20"], mask=mask, substitutes={"same": model},
        device="cpu",
    )  # fmt: skip
    (result,) = report.results
    white = robench.evaluate(model, x, model(x).argmax(1), eps=0.4, attacks=["pgd-20"], mask=mask, device="cpu")
    assert 0 < result.record.robust.sum() < N
    assert result.record.robust.sum() == white["pgd-20"].result.record.robust.sum()
    assert not result.record.header.faults


@pytest.mark.parametrize("norm", NORMS)
def test_the_ball_keeps_fixed_values_exactly_and_uses_the_whole_radius(norm):
    n, generator = 400, torch.Generator().manual_seed(0)
    x, mask = 0.1 + 0.8 * torch.rand(n, 1, 2, 3, generator=generator), masks(n, seed=3, shape=(1, 2, 3))
    ball = Ball(x, norm, 0.01, mask)
    point = ball.random_point(
        *ball.draws(
            lambda shape: torch.rand(n, *shape, generator=generator),
            lambda shape: torch.randn(n, *shape, generator=generator),
        )
    )
    far = ball.project(x + torch.randn(x.shape, generator=generator))
    for each in (point, far):
        assert torch.equal(each[~mask], x[~mask])
        assert ball.contains(each).all()
        assert ball.keeps_fixed(each).all()
    torch.testing.assert_close(distance(far, x, norm), torch.full((n,), 0.01).double(), rtol=0.7, atol=0)
    step = ball.steepest(torch.randn(x.shape, generator=generator))
    assert not step[~mask].any()
    torch.testing.assert_close(distance(step, torch.zeros_like(x), norm), torch.ones(n).double())
    # In a ball of d dimensions the length of a uniform point is u^(1/d) eps, so that its d-th power is uniform.
    share = (distance(point, x, norm) / 0.01) ** mask.flatten(1).sum(1)
    assert abs(share.mean() - 0.5) < 0.06
    touched = x + 1e-6 * (torch.arange(n) == 7).view(-1, 1, 1, 1) * ~mask
    assert ball.keeps_fixed(touched).logical_not().nonzero().flatten().tolist() == [7]
    assert torch.equal(ball.restore(touched), x)


def test_a_choice_among_some_is_even_and_never_another():
    choices = torch.tensor([[False, True, False, True, True]]).expand(300, -1)
    chosen = one_of(choices, torch.arange(300) / 300)
    assert np.bincount(chosen.numpy(), minlength=5).tolist() == [0, 100, 0, 100, 100]
    assert one_of(choices[:1], torch.tensor([1.0])).item() == 4


def test_every_algorithm_says_whether_it_can_have_a_mask():
    assert {name for name in list_algorithms() if not algorithm_class(name).can_mask} == CANNOT_MASK


@pytest.mark.parametrize("spare", [0, 1])
def test_every_window_of_square_holds_its_pixel(spare):
    """Also a pixel of the last row or column, and for every size of window."""
    draws = torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    pixels = torch.arange(64)
    for side in range(1, 9):
        rows, columns = _around(pixels, draws, side, 8, 8, spare)
        assert ((rows == pixels[:, None] // 8).any(1) & (columns == pixels[:, None] % 8).any(1)).all()
        assert min(rows.min(), columns.min()) >= 0
        assert max(rows.max(), columns.max()) < 8
