"""Attacks in l1 on linear networks whose optimum the walls of [0, 1] cut off, and on what else is special to l1."""

import pytest
import torch

import robench
from robench.algorithms.sparse_ascent import run_radius, stage
from robench.classifiers import load_model
from robench.classifiers.frozen import frozen_network
from robench.data.split import Split
from robench.errors import InputError
from robench.specs import AttackSpec, ThreatModel, find_attack
from tests.support.marks import slow
from tests.support.networks import CPU, Linear
from tests.support.runs import attack

N, EPS = 24, 0.8


def best(slope: torch.Tensor, room: torch.Tensor, budget: float) -> float:
    """The largest gain within room and budget, value by value, the steepest first: a fractional knapsack."""
    gain = 0.0
    for one in slope.abs().argsort(descending=True).tolist():
        moved = min(budget, float(room[one]))
        gain, budget = gain + float(slope[one].abs()) * moved, budget - moved
    return gain


@pytest.fixture(scope="module")
def problem():
    """A linear network of two classes on images with pixels at and near the walls; and how far an attack can lead.

    The lead is the label's logit gap less the largest gain of any perturbation, in float64: below 0, it can be broken.
    """
    source = torch.Generator().manual_seed(0)
    x = (1.4 * torch.rand(N, 2, 3, 3, generator=source) - 0.2).clamp(0, 1)
    w = torch.randn(18, generator=source)
    model = Linear(w, float(-(x.flatten(1) @ w).mean())).eval()
    y = model(x).argmax(1)
    flat, normal = x.flatten(1).double(), model.w.detach().double()
    f = flat @ normal + model.b
    lead = []
    for image, value in zip(flat, f.tolist(), strict=True):
        room = torch.where(normal * value < 0, 1 - image, image)  # against the sign of f
        lead.append(abs(value) - best(normal, room, EPS))
    return model, x, y, torch.tensor(lead), f.abs().max().item()


@pytest.mark.parametrize("name", ["fgsm", "pgd-50", "deepfool", "apgd-ce", "fab", "cascade"])
def test_linear_networks_are_exact_where_the_box_cuts_the_ball(problem, name):
    model, x, y, lead, scale = problem
    spec = find_attack(name)
    spec = spec.model_copy(update={"steps": min(spec.steps, 100)})
    with frozen_network(model, CPU) as frozen:
        rows = attack(frozen, Split.checked("some", x, y), spec, norm="l1", threat=repr(EPS))
    robust = torch.from_numpy(rows.robust)
    clear = lead.abs() > (0.02 if name == "apgd-ce" else 0.005) * scale
    assert (rows.first_fault == -1).all()
    assert not (robust & (lead < 0) & clear).any()
    assert not (~robust & (lead > 0)).any()
    assert 4 < (lead < 0).sum() < N - 4
    assert clear.sum() >= N - 4


def test_stages_and_radii_cover_every_run():
    for steps in range(1, 60):
        stages = [stage(t, steps) for t in range(steps)]
        assert [each.radius for each in stages] == sorted((each.radius for each in stages), reverse=True)
        assert stages[-1].radius == 1
        assert stages[-1].i == stages[-1].length - 1
        radii = [run_radius(i, steps) for i in range(steps + 1)]
        assert radii == sorted(radii, reverse=True)
        assert radii[-1] == 1 < radii[0]
    assert [sum(stage(t, 100).radius == radius for t in range(100)) for radius in (3, 2, 1)] == [30, 30, 40]


@pytest.mark.parametrize("name", ["cw-l2", "rays"])
def test_what_is_not_defined_in_l1_is_skipped_with_a_sentence(problem, name):
    model, x, y, *_ = problem
    report = robench.evaluate(model, x, y, norm="l1", eps=EPS, attacks=[name, "fgsm"], device="cpu")
    (skipped,) = report.skipped
    assert skipped.reason == f"{find_attack(name).algorithm} is not defined for l1"
    assert report["fgsm"].result.record.header.threat == ThreatModel.parse(1, EPS)


def test_norms_of_users():
    assert ThreatModel.parse("L1", "12") == ThreatModel.parse(1, "12") == ThreatModel.parse(1.0, "12")
    with pytest.raises(InputError, match="unknown norm 'l3': use linf, l2 or l1"):
        ThreatModel.parse("l3", "12")
    with pytest.raises(InputError, match="too large for l1"):
        ThreatModel.parse("l1", "2e6")


def shortened(name: str, steps: int) -> AttackSpec:
    return find_attack(name).model_copy(update={"steps": steps, "restarts": 1})


@pytest.mark.parametrize("battery", [("cascade", "control", "apgd-ce"), slow(("square", "fab", "deepfool", "zoo"))])
@pytest.mark.parametrize(
    ("x", "eps"),
    [
        (torch.eye(9)[:3].view(3, 1, 3, 3), 0.5),
        (torch.eye(3).view(3, 1, 1, 3), 30.0),
        (torch.full((3, 1, 1, 1), 0.5), 0.25),
    ],
    ids=["walls", "whole", "pixel"],  # every value at a wall; more than the box; one value
)
def test_edge_images_end_in_valid_verdicts(battery, x, eps):
    model = Linear(torch.ones(x[0].numel()), -0.3).eval()
    y = model(x).argmax(1)
    specs = [shortened(name, 40 if name in ("cascade", "control", "square") else 12) for name in battery]
    report = robench.evaluate(model, x, y, norm="l1", eps=eps, attacks=specs, device="cpu")
    reach = torch.where(y == 1, x.flatten(1).sum(1), (1 - x).flatten(1).sum(1)).clamp_max(eps)
    gap = (x.flatten(1).sum(1) - 0.3).abs()
    for result in report.results:
        assert not result.record.header.diagnostics.get("unconfirmed")
        assert result.record.robust[(gap > reach + 1e-5).numpy()].all()
    found = report["cascade"] if "cascade" in battery else report["fab"]
    assert (found.result.record.robust == (gap > reach).numpy()).all()


def test_a_network_without_gradient_leaves_points_where_they_are(problem):
    _, x, *_ = problem
    model = Linear(torch.zeros(18), 3.0).eval()
    specs = [shortened(name, 10) for name in ("pgd-20", "mim-20", "apgd-ce", "cascade", "fab", "deepfool")]
    with pytest.warns(UserWarning, match="exactly zero"):
        report = robench.evaluate(model, x, model(x).argmax(1), norm="l1", eps=EPS, attacks=specs, device="cpu")
    assert {verdict.record.robust_accuracy for verdict in report.results} == {100.0}


def test_another_start_of_apgd_finds_other_points(digits):
    model, x, y = load_model("pgdat"), digits.x[:16], digits.y[:16]
    usual = shortened("apgd-ce", 20)
    normal = usual.model_copy(update={"name": "normal", "params": {**usual.params, "normal_start": True}})
    report = robench.evaluate(
        model, x, y, norm="l1", eps=2, attacks=[usual, normal], device="cpu", save_adversarial=True
    )
    points, ids = report.adversarial("apgd-ce")
    others, other_ids = report.adversarial("normal")
    both = set(ids.tolist()) & set(other_ids.tolist())
    assert both
    assert any((points[ids == one] != others[other_ids == one]).any() for one in both)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pgdat", "trades_he"])
def test_fast_is_no_higher_than_autoattack_at_a_tenth_of_its_passes(name, digits):
    found = {}
    for battery in ("fast", "autoattack"):
        report = robench.evaluate(load_model(name), digits.x[:30], digits.y[:30], norm="l1", eps=1, battery=battery)
        passes = sum(result.record.header.forwards + result.record.header.backwards for result in report.results)
        found[battery] = report.worst_case.robust_accuracy, passes
    assert found["fast"][0] <= found["autoattack"][0] < 100
    assert found["fast"][1] <= found["autoattack"][1] / 10
