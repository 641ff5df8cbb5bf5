"""Networks with a detector, evaluated: exact verdicts in two pixels, the rule on clean examples, trust, the judge."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import robench
from robench.access.judge import FAULTS, Judge
from robench.access.microbatches import MicroBatcher
from robench.access.oracle import Oracle
from robench.classifiers.frozen import frozen_network
from robench.classifiers.rejecting import Rejecting
from robench.errors import FaultError, InputError
from robench.evaluation.request import NetworkUnderTest
from robench.evaluation.setup import setup_faults
from robench.evaluation.transfer import as_ensemble
from robench.numerics.ball import Ball
from robench.report.advice import left_to_run
from robench.specs import diagnostics, find_attack
from tests.support.marks import slow
from tests.support.networks import CPU

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{text}:UserWarning")
    for text in ("the worst case is broken", "the network rejects", "5 examples are left out")
]
EPS = 0.12
W = torch.tensor([[-8.0, 0.0], [8.0, 0.0], [0.0, 8.0], [1.0, 1.0]])
B = torch.tensor([4.0, -4.0, -4.0, 0.6])
X = torch.rand(24, 1, 1, 2, generator=torch.Generator().manual_seed(3))
FAMILIES = {"pgd-20": 20, "apgd-ce": 10, "fab": 5, "deepfool": 10, "cascade-1": 20}
FAMILIES |= dict.fromkeys(("square", "control", "rays"), 60)


def shortened(*names):
    return [find_attack(name).model_copy(update={"steps": FAMILIES.get(name, 1)}) for name in names]


class Planes(nn.Module):
    """Linear logits of three classes; the fourth rejects, if it is asked for, or its lead is a score."""

    def __init__(self, answer):
        super().__init__()
        self.w, self.b, self.answer = nn.Parameter(W.clone()), nn.Parameter(B.clone()), answer

    def forward(self, x):
        z = x.flatten(1) @ self.w.T + self.b
        return self.answer(z[:, :3], z[:, 3] - z[:, :3].amax(1), z)


ANSWERS = {
    "logit": lambda z, score, whole: whole,
    "score": lambda z, score, whole: (z, score),
    "column": lambda z, score, whole: [z, 10 * score[:, None]],
    "bool": lambda z, score, whole: (z, score > 0),
}
PLAIN = Planes(lambda z, score, whole: z).eval()
Y = PLAIN(X).argmax(1)
ACCEPTED = Planes(ANSWERS["logit"])(X).argmax(1) != 3


def evaluate(answer, *names, rejects="flag", **options):
    network = Planes(ANSWERS.get(answer, answer)).eval()
    return robench.evaluate(
        network, X, Y, **{"eps": EPS, "attacks": shortened(*names), "device": "cpu", "rejects": rejects, **options}
    )


@cache
def by_grid(target=None):
    """Which examples no point of a fine grid breaks, by the rule in words, in float64 and without robench."""
    axis = np.linspace(0, 1, 401)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    predicted = (grid @ W.double().numpy().T + B.double().numpy()).argmax(1)
    near = (np.abs(grid[None] - X.double().flatten(1).numpy()[:, None]) <= EPS).all(2)
    wrong = predicted[None] != Y.numpy()[:, None] if target is None else (predicted == target)[None]
    return ACCEPTED.numpy() & ~(near & (predicted != 3)[None] & wrong).any(1)


@pytest.fixture(scope="module")
def logit():
    return evaluate(
        "logit", "pgd-20", "fab", "cascade-1", "square", "autoattack", rejects="logit", save_adversarial=True
    )


def test_verdicts_are_exactly_those_of_a_fine_grid(logit):
    expected = by_grid()
    assert 5 < expected.sum() < ACCEPTED.sum() < len(X)
    for result in logit.results:
        assert result.record.robust.tolist() == expected.tolist(), result.record.header.attack.name
    assert logit["fab"].clean_accuracy == pytest.approx(100 * ACCEPTED.float().mean().item())


def test_points_are_misclassified_and_accepted_in_float64_too(logit):
    for result in logit.results:
        points, ids = (each.numpy() for each in logit.adversarial(result.record.header.attack.name))
        clean = X.flatten(1).double().numpy()[ids]
        points = points.reshape(len(ids), 2).astype(np.float64)
        z = points @ W.double().numpy().T + B.double().numpy()
        own = z[np.arange(len(ids)), Y.numpy()[ids]]
        assert len(ids) == int((result.record.clean & ~result.record.robust).sum()) > 3
        assert (np.abs(points - clean) <= EPS + 1e-6).all()
        assert (z[:, :3].max(1) > own).all()
        assert (z[:, :3].max(1) >= z[:, 3] - 1e-5).all()


def test_the_record_says_it_and_code_of_other_libraries_is_skipped_with_the_reason(logit):
    (skipped,) = logit.skipped
    assert skipped.reason == "autoattack is code of another library, which takes a rejection for a success"
    header = logit.results[0].record.header
    assert header.remark.startswith("an input is rejected if the last of its logits is the largest")
    assert header.diagnostics["rejected-clean"] == pytest.approx(1 - ACCEPTED.float().mean().item())
    assert header.diagnostics["false-detector-gradients"] == 0.0
    assert left_to_run(["autoattack", "rays"], [logit.results[0].record]) == ("rays",)


@pytest.mark.parametrize("answer", ["score", "bool"])
def test_a_score_and_a_flag_have_the_verdicts_of_the_logit(answer):
    found = evaluate(answer, "pgd-20", "square")
    exact = by_grid()
    assert found["square"].result.record.robust.tolist() == exact.tolist()
    assert found["pgd-20"].result.record.robust[exact].all()
    assert answer == "bool" or found["pgd-20"].result.record.robust.tolist() == exact.tolist()


FLAGS = {
    "score": (lambda score: score, 0.0),
    "smooth": (lambda score: 1 / (1 + (-5 * score).exp()) - 0.5, 0.0),
    "bool": (lambda score: score > 0, 1.0),
    "float": (lambda score: (score > 0).float(), 1.0),
    "detached": (lambda score: score.detach(), 1.0),
}


class Flagged(nn.Module):
    """Linear logits, and a detector of another direction."""

    def __init__(self, flag):
        super().__init__()
        w = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
        self.w, self.flag = nn.Parameter(w - w.mean(0)), flag

    def forward(self, x):
        z = x.flatten(1) @ self.w
        return z[:, :4], self.flag(0.1 * z[:, 4] - 0.3)


@pytest.mark.parametrize(("flag", "share"), FLAGS.values(), ids=FLAGS)
def test_trust_is_broken_if_the_detector_has_no_gradient(flag, share):
    x = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    network = Flagged(flag).eval()
    y, attacks = network(x)[0].argmax(1), shortened("pgd-1")
    found = robench.evaluate(network, x, y, eps=0.02, attacks=attacks, device="cpu", rejects="flag")
    header = found.results[0].record.header
    assert header.diagnostics["false-detector-gradients"] == share
    assert header.diagnostics["false-gradients"] == 0.0
    assert (diagnostics()["false-detector-gradients"].finding(1.0) in found.worst_case.trust.sentence()) == (share > 0)


@pytest.mark.slow
def test_most_draws_of_a_random_detector_decide():
    network = Planes(lambda z, score, whole: whole + 0.05 * torch.randn_like(whole)).eval()
    options = {"attacks": shortened("pgd-20"), "eps": EPS, "device": "cpu", "rejects": "logit", "draws": 2}
    record = robench.evaluate(network, X, Y, **options).results[0].record
    assert (record.robust != ACCEPTED.numpy()).sum() > 3
    assert (record.robust == by_grid()).sum() >= len(X) - 2  # near the walls, noise of 0.05 decides
    assert not record.robust[~ACCEPTED].any()


def test_with_a_target_an_example_is_broken_if_it_is_accepted_as_the_target():
    found = evaluate("score", "cascade-1", target=2).results[0].record
    expected = by_grid(target=2)[(Y != 2).numpy()]
    assert 0 < expected.sum() < len(expected)
    assert found.robust.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("answer", "rejects"),
    [
        (lambda z, score, whole: (z, z[:, 0] * 0 - 1), "flag"),
        slow(lambda z, score, whole: torch.cat([z, z.amin(1, keepdim=True) - 1], 1), "logit"),
        slow(lambda z, score, whole: torch.cat([z, z.new_full((len(z), 1), -torch.inf)], 1), "logit"),
    ],
)
def test_a_detector_that_rejects_nothing_changes_no_verdict(answer, rejects):
    attacks = [find_attack(name).model_copy(update={"steps": 8}) for name in FAMILIES]
    found = evaluate(answer, rejects=rejects, attacks=attacks)
    expected = evaluate(PLAIN.answer, rejects=None, attacks=attacks)
    assert len(found.results) == len(FAMILIES)
    for one, two in zip(found.results, expected.results, strict=True):
        assert one.record.robust.tolist() == two.record.robust.tolist()
        assert one.record.robust.sum() < len(X)
        assert one.record.header.hash != two.record.header.hash
        assert one.record.header.diagnostics.get("false-detector-gradients", 0.0) == 0.0


@pytest.mark.parametrize("score", [torch.tensor(True), torch.tensor(0.1)])
def test_a_detector_that_rejects_everything_has_a_clean_accuracy_of_0(score):
    found = evaluate(lambda z, _, whole: (z, score.expand(len(z))), "pgd-1", "square")
    assert found["pgd-1"].clean_accuracy == found.worst_case.robust_accuracy == 0.0
    assert found.results[0].record.header.diagnostics["rejected-clean"] == 1.0
    assert found.worst_case.trust.level == "broken"


def test_a_rejected_corrupted_image_is_an_error():
    last = nn.Linear(1, 3)  # white images are class 0, images with a black margin are rejected
    last.load_state_dict({"weight": torch.tensor([[0.0], [0.0], [-100.0]]), "bias": torch.tensor([1.0, 0.0, 100.0])})
    network = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), last).eval()
    x, y = torch.ones(6, 1, 32, 32), torch.zeros(6, dtype=torch.int64)
    found = robench.evaluate_corruptions(network, x, y, spatial=True, device="cpu", rejects="logit")
    assert found.accuracy("clean") == 100.0
    assert found.accuracy("rotation_translation") == 0.0


def test_the_judge_refuses_a_rejected_point_and_other_libraries_get_no_such_network():
    with frozen_network(Rejecting(Planes(ANSWERS["bool"]).eval(), "flag"), CPU) as network:
        judge = Judge(network, MicroBatcher.auto(CPU))
        rejected = (~ACCEPTED).nonzero()[:1, 0]
        ball = Ball(X[rejected], "linf", EPS)
        other = (Y[rejected] + 1) % 3
        ruling = judge.rule(ball, X[rejected], other)
        assert FAULTS[int(ruling.fault)] == "not misclassified"
        assert ruling.prediction.tolist() == [3]
        with pytest.raises(InputError, match="label 3 is beyond the network's 3 classes"):
            judge.clean(X, torch.full_like(Y, 3), torch.arange(len(X)))
        oracle = Oracle(
            network, ball, other, rejected, access="gradient", bounds="own", batcher=judge.batcher, precision="fp32"
        )
        with pytest.raises(FaultError, match="can_mask"), oracle.counted_network():
            pass


def test_the_least_likely_class_is_no_rejection():
    with frozen_network(Rejecting(Planes(ANSWERS["bool"]).eval(), "flag"), CPU) as network:
        judge = Judge(network, MicroBatcher.auto(CPU))
        judge.clean(X, Y, torch.arange(len(X)), least_likely=True)
        assert judge.least_likely.equal(PLAIN(X).scatter(1, Y[:, None], torch.inf).argmin(1))
        assert len(judge.masked) == 3


def test_rejections_say_nothing_about_the_order_of_the_classes():
    labels = np.arange(200) % 4
    predicted = np.where(labels == 3, 4, labels)  # every image of one class is rejected
    assert setup_faults(labels, predicted, 4) == {}
    assert setup_faults(labels, np.full(200, 4), 4) == {}
    assert setup_faults(labels, predicted, 4, published=95.0).keys() == {"below-published"}
    assert setup_faults(labels, (predicted + 1) % 4, 4).keys() >= {"permuted-labels"}


def test_an_ensemble_of_substitutes_takes_no_detector():
    with pytest.raises(InputError, match=r"substitute 'a' may reject.*leave the ensemble out"):
        as_ensemble([NetworkUnderTest("a", {}, lambda: PLAIN, rejects="logit")])
