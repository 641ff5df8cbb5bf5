"""Merged logits against the rule: broken if the largest of K+1 logits is neither the label nor the rejection."""

import pytest
import torch

from robench.numerics.goal import Goal
from robench.numerics.losses import margin
from robench.numerics.rejection import class_logits, is_rejected, with_reject_logit

N, K = 4000, 4
G = torch.Generator().manual_seed(0)
Y = torch.randint(K, (N,), generator=G)
REAL = torch.randn(N, K + 1, generator=G)
DRAWS = {
    "real": REAL,
    "ties": torch.randint(-1, 2, (N, K + 1), generator=G).float(),
    "float64": REAL.double(),
    "neighbours": torch.nextafter(torch.ones(N, K + 1), torch.randint(0, 3, (N, K + 1), generator=G).float()),
    "masked": torch.where(torch.rand(N, K + 1, generator=G) < 0.3, REAL.amax(1, keepdim=True) - 1e4, REAL),
}


@pytest.mark.parametrize("logits", DRAWS.values(), ids=DRAWS)
def test_the_largest_merged_logit_is_the_labels_unless_an_accepted_input_is_misclassified(logits):
    first = torch.tensor([row.index(max(row)) for row in logits.tolist()])  # plain Python: ties go to the first
    broken = (first != Y) & (first != K)
    assert 0.1 < broken.float().mean() < 0.9
    merged = class_logits(logits, Y)
    assert merged.shape == (N, K)
    assert (merged.argmax(1) != Y).equal(broken)
    assert Goal(Y).reached(merged).equal(broken)
    assert is_rejected(logits).equal(first == K)
    target = (Y + 1) % K
    assert Goal(Y, target).reached(merged).equal(first == target)
    assert (margin(merged, Y)[broken] <= 0).all()
    assert (margin(merged, Y)[~broken] >= 0).all()


def test_the_gradient_goes_through_the_larger_of_label_and_rejection():
    logits = torch.tensor([[3.0, 0.0, 1.0], [3.0, 0.0, 4.0]], requires_grad=True)
    y = torch.tensor([0, 0])
    (gradient,) = torch.autograd.grad(margin(class_logits(logits, y), y).sum(), logits)
    assert gradient.tolist() == [[1.0, -1.0, 0.0], [0.0, -1.0, 1.0]]


def test_nan_of_the_rejection_is_not_lost():
    logits = torch.tensor([[1.0, 2.0, float("nan")]])
    assert class_logits(logits, torch.tensor([0])).isnan().any()


SCORES = {
    "real": torch.randn(N, generator=G),
    "lost in rounding": torch.randn(N, generator=G) * 1e-30,
    "smaller than any float32": torch.randn(N, generator=G, dtype=torch.float64) * 1e-80,
    "none or some": torch.randint(-1, 2, (N,), generator=G).float(),
    "bool": torch.rand(N, generator=G) < 0.5,
    "integer": torch.randint(-3, 4, (N,), generator=G),
    "half": torch.randn(N, generator=G).half(),
}


@pytest.mark.parametrize("logits", [each[:, :K] for each in DRAWS.values()], ids=DRAWS)
@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_a_score_above_0_and_no_other_makes_the_last_logit_the_largest(logits, score):
    whole = with_reject_logit(logits * 1e3, score)
    assert whole.dtype == logits.dtype
    assert whole[:, :K].equal(logits * 1e3)
    assert is_rejected(whole).equal(score > 0)
    assert (whole.argmax(1) == K).equal(score > 0)


def test_the_margin_of_a_rejected_input_is_its_score_and_has_its_gradient():
    logits, score = torch.tensor([[1.0, 5.0]], requires_grad=True), torch.tensor([0.5], requires_grad=True)
    y = torch.tensor([0])
    value = margin(class_logits(with_reject_logit(logits, score), y), y)
    assert value.item() == 0.5
    of_logits, of_score = torch.autograd.grad(value.sum(), (logits, score))
    assert of_logits.tolist() == [[0.0, 0.0]]
    assert of_score.tolist() == [1.0]


@pytest.mark.parametrize("score", [torch.tensor([True]), torch.tensor([1]), torch.tensor([0.5])])
def test_without_a_gradient_of_the_score_the_wrong_class_becomes_more_confident(score):
    logits, y = torch.tensor([[1.0, 5.0]], requires_grad=True), torch.tensor([0])
    value = margin(class_logits(with_reject_logit(logits, score), y), y)
    assert value.item() > 0
    assert torch.autograd.grad(value.sum(), logits)[0].tolist() == [[0.0, -1.0]]
