"""What the oracle answers and counts where an algorithm asks for more than one gradient a point."""

import pytest
import torch

import robench
from robench.access.microbatches import MicroBatcher
from robench.access.oracle import Oracle
from robench.classifiers.features import UNKNOWN
from robench.classifiers.frozen import frozen_network
from robench.errors import InputError
from robench.numerics.ball import Ball
from robench.numerics.losses import Objective, targeted_dlr
from tests.support.networks import CPU, toy
from tests.support.optima import Planes, linear


@pytest.fixture
def asked():
    """A linear network, its images and labels, and an oracle with micro-batches of five."""
    model, x, y = linear(8, k=4)
    with frozen_network(model, CPU) as frozen:
        yield model, x, y, oracle_of(frozen, x, y)


def oracle_of(frozen, x, y, bounds="engine"):
    ids = torch.arange(len(x))
    return Oracle(
        frozen,
        Ball(x, "linf", 1.0),
        y,
        ids,
        access="gradient",
        bounds=bounds,
        batcher=MicroBatcher(5),
        precision="fp32",
    )


def test_queries_count_up_to_the_successful_point(asked):
    model, x, y, oracle = asked
    good, bad = x[:2], (x[:2] - 30 * (model.w[y[:2]] - model.w[(y[:2] + 1) % 4]).view(2, 2, 3, 3)).detach()
    assert (model(bad).argmax(1) != y[:2]).all()
    oracle.logits(x, candidate=True)
    points, rows = torch.stack([good[0], good[1], bad[1], good[0], bad[0], bad[1]]), torch.tensor([0, 1, 1, 0, 0, 1])
    oracle.logits(points, rows, candidate=True)
    assert oracle.queries[:2].tolist() == [4, 3]  # one each before, then the third and the second point
    assert oracle.forwards.tolist() == [4, 4, 1, 1, 1, 1, 1, 1]
    assert torch.equal(oracle.points[:2], bad)
    assert oracle.pending().tolist() == [0, 1]


def test_the_jacobian_is_that_of_the_leads_and_each_backward_is_counted(asked):
    model, x, y, oracle = asked
    gradients, leads, classes, logits = oracle.jacobian(x)
    torch.testing.assert_close(logits, model(x).detach())
    torch.testing.assert_close(leads, logits.gather(1, classes) - logits.gather(1, y[:, None]))
    torch.testing.assert_close(gradients.flatten(2), (model.w[classes] - model.w[y][:, None]).detach())
    assert (oracle.forwards == 1).all()
    assert (oracle.backwards == 3).all()
    rows, one = torch.tensor([6, 2]), torch.tensor([[1], [0]])
    few = oracle.jacobian(x[rows], one, rows)
    torch.testing.assert_close(few.gradients[:, 0].flatten(1), (model.w[one[:, 0]] - model.w[y[rows]]).detach())
    assert oracle.backwards.tolist() == [3, 3, 4, 3, 3, 3, 4, 3]


def test_a_gradient_brings_the_value_and_the_logits_and_given_tensors_follow_their_points(asked):
    model, x, y, oracle = asked
    target = (y + torch.arange(8) % 3 + 1) % 4
    gradient, value, logits = oracle.gradient(x, Objective("dlr_targeted"), given=(target,))
    leaf = x.clone().requires_grad_()
    expected = targeted_dlr(model(leaf), y, target)
    torch.testing.assert_close(value, expected.detach())
    # Micro-batches round each logit differently, by some unit roundoffs u = 6e-8; the ratio's denominator, a difference
    # of logits, may be a tenth of them, and its square stands in the gradient: 100 u and more.
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), leaf)[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits, model(x).detach())


def test_feature_objectives_see_features():
    model, split = toy()
    aim = model.features(split.x.flip(0)).detach()
    with frozen_network(model, CPU) as frozen:
        oracle = oracle_of(frozen, split.x, split.y)
        value = oracle.gradient(split.x, Objective("feature"), given=(aim,)).value
        torch.testing.assert_close(oracle.features(split.x.flip(0)), aim)
    torch.testing.assert_close(value, torch.cosine_similarity(model.features(split.x), aim, dim=1).detach())
    assert (oracle.forwards == 2).all()
    assert (oracle.backwards == 1).all()


def test_attacks_that_do_not_apply_are_skipped_with_a_reason():
    model, x, y = linear(8, k=3)
    report = robench.evaluate(model, x, y, attacks=["fgsm", "apgd-dlr", "apgd-t", "cw-l2", "feature-attack"], eps=0.01)
    assert {skipped.name: skipped.reason for skipped in report.skipped} == {
        "apgd-t": "apgd needs at least 4 classes, the network has 3",
        "cw-l2": "cw_l2 is not defined for linf",
        "feature-attack": UNKNOWN,
    }
    model, split = toy()
    one = (split.y == split.y[0]).nonzero().flatten()
    report = robench.evaluate(model, split.x[one], split.y[one], attacks=["fgsm", "feature-attack"], eps=0.01)
    assert [skipped.name for skipped in report.skipped] == ["feature-attack"]


def test_a_network_without_gradient_is_refused():
    class Blind(Planes):
        def forward(self, x):
            return super().forward(x.detach())

    model, x, y = linear(4)
    blind = Blind(model.w, model.b).eval()
    for name in ("deepfool", "fab", "apgd-ce"):
        with pytest.raises(InputError, match="no gradient"):
            robench.evaluate(blind, x, y, attacks=[name], eps=0.1)
