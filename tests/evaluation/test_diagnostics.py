"""Planted failures are caught, honest defenses are not accused."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import robench
from robench.classifiers import load_model
from robench.report import trust
from robench.specs import diagnostics, find_attack, list_models
from tests.support.marks import slow
from tests.support.toys import Toy, X, Y, evaluate, refusal

pytestmark = pytest.mark.filterwarnings("ignore:the worst case is broken:UserWarning")
STRONG = ["pgd-50", "cascade"]
SHORTER = ["pgd-50", find_attack("cascade").model_copy(update={"steps": 80})]
"""What catches a planted failure as well, in a third of the time."""
SQUARE = find_attack("square").model_copy(update={"steps": 300})
"""The random search, shorter: the toys need no more."""
EPS = 0.02
"""Small enough that the toys' examples mostly stand."""


def levels(report):
    return {finding.diagnostic.name: finding.diagnostic.level for finding in report.worst_case.trust.findings}


@pytest.mark.parametrize("name", diagnostics())
def test_every_indicator_has_a_source_and_names_an_attack_to_run(name):
    diagnostic = diagnostics()[name]
    assert diagnostic.level != "trusted"
    assert diagnostic.cite
    if diagnostic.next or name not in SETUP:
        find_attack(diagnostic.next)


SETUP = {"at-chance", "one-class", "permuted-labels", "below-published"}
"""Indicators of a wrong setup, which no attack mends."""


def test_an_honest_toy_is_trusted():
    report = evaluate(eps=EPS, attacks=STRONG)
    assert report.worst_case.trust.level == "trusted", report.worst_case.trust.sentence()


def test_saturation_is_caught():
    """Logits squashed so hard that float32 has no slope left."""
    report = evaluate(Toy(lambda logits, x: 10 * torch.tanh(1e3 * logits)), eps=EPS, attacks=SHORTER)
    found = levels(report)
    assert found["zero-gradients"] == "broken"
    assert found["survivors-at-unlimited-eps"] == "broken"
    assert report.worst_case.trust.level == "broken"
    assert "square" in report.worst_case.trust.sentence()


class Straight(torch.autograd.Function):
    """Sixteen levels; the gradient passes straight through."""

    @staticmethod
    def forward(ctx, x):
        return (16 * x).round() / 16

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Quantised(Toy):
    def forward(self, x):
        return super().forward(Straight.apply(x))


class Stepped(Toy):
    def forward(self, x):
        return super().forward(x + ((16 * x).round() / 16 - x).detach() - (x - x.detach()))


def test_a_straight_through_quantiser_is_caught():
    """Its gradient says that the loss moves; within a level it does not."""
    model = Quantised()
    found = levels(evaluate(model, y=model(X).argmax(1), eps=EPS, attacks=SHORTER))
    assert found["unpredictive-gradients"] == "check"


def test_a_quantiser_without_gradient_is_caught():
    model = Stepped()
    found = levels(evaluate(model, y=model(X).argmax(1), eps=EPS, attacks=SHORTER))
    assert found["zero-gradients"] == "broken"


def test_randomness_is_refused():
    class Random(Toy):
        def forward(self, x):
            return super().forward(x + 0.1 * torch.randn_like(x))

    assert "differently twice" in refusal(Random(), eps=EPS)


def test_softmax_output_is_caught():
    with pytest.warns(UserWarning, match="probabilities"):
        report = evaluate(Toy(lambda logits, x: logits.softmax(1)), eps=EPS, attacks=SHORTER)
    assert levels(report)["probabilities"] == "check"


def test_gradients_inside_the_forward_pass_are_caught():
    from torch.autograd import grad

    class Purifies(Toy):
        def forward(self, x):
            with torch.enable_grad():
                inner = x.detach().requires_grad_()
                (slope,) = grad(super().forward(inner).logsumexp(1).sum(), inner)
            return super().forward(x - 1e-3 * slope)

    model = Purifies()
    assert levels(evaluate(model, y=model(X).argmax(1), eps=EPS, attacks=SHORTER))["inner-gradients"] == "check"


def test_scaled_logits_mask_nothing_here():
    """What blinds cross-entropy in float32 elsewhere does not blind log odds: nothing to report, same verdicts."""
    plain, scaled = (
        evaluate(Toy(lambda logits, x, s=s: s * logits), eps=0.05, attacks=["pgd-50", "cascade"]) for s in (1, 1e4)
    )
    assert scaled.worst_case.trust.level == "trusted"
    assert scaled.worst_case.robust_accuracy == plain.worst_case.robust_accuracy


def test_a_black_box_that_beats_the_white_box_is_caught():
    """A gradient that points away from the boundary misleads whoever follows it, but not a random search."""

    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return -gradient

    class Misleading(Toy):
        def forward(self, x):
            return super().forward(Backwards.apply(x))

    report = evaluate(Misleading(), eps=0.1, attacks=[*SHORTER, SQUARE])
    found = levels(report)
    assert found["black-box-beats-white-box"] == "broken"
    assert found["unpredictive-gradients"] == "check"
    assert found["survivors-at-unlimited-eps"] == "broken"


@pytest.mark.slow
def test_an_unfinished_attack_is_caught_and_a_longer_one_clears_it(digits):
    model = load_model("pgdat")
    slow = find_attack("pgd-20").model_copy(
        update={"name": "slow", "steps": 12, "params": {"rel_step": 0.02, "start": "clean"}}
    )
    report = robench.evaluate(model, digits.x[:80], digits.y[:80], attacks=[slow, "cascade"], eps="0.2")
    assert "unfinished" in {finding.diagnostic.name for finding in report["slow"].trust.findings}
    assert report.worst_case.trust.level == "trusted"


def test_a_prefix_is_judged_by_what_later_steps_broke(digits):
    report = robench.evaluate(
        load_model("pgdat"), digits.x[:32], digits.y[:32], attacks=["pgd-10", "pgd-50"], eps="0.2"
    )
    short, longer = (report[name].result.record for name in ("pgd-10", "pgd-50"))
    expected = (short.robust & ~longer.robust).sum() / short.robust.sum()
    assert expected > 0
    assert short.header.diagnostics["later-steps-break-more"] == pytest.approx(expected, abs=1e-6)
    assert "unfinished" in longer.header.diagnostics


def test_short_and_untargeted_attacks_alone_are_not_enough(digits):
    report = robench.evaluate(load_model("pgdat"), digits.x[:20], digits.y[:20], attacks=["fgsm"], eps="0.2")
    assert levels(report) == {"too-short": "check", "untargeted-only": "check"}
    assert "Run next: pgd-100, cascade." in report.worst_case.trust.sentence()


@pytest.mark.slow
def test_raw_cross_entropy_alone_is_not_enough_on_cosines(digits):
    raw = robench.evaluate(load_model("pgdat_he"), digits.x[:30], digits.y[:30], attacks=["pgd-100"], eps="0.2")
    assert levels(raw)["hypersphere"] == "check"
    scaled = ["pgd-100", "scaled-pgd-100", "cascade"]
    whole = robench.evaluate(load_model("pgdat_he"), digits.x[:30], digits.y[:30], attacks=scaled, eps="0.2")
    assert whole.worst_case.trust.level == "trusted"


def test_silent_success_is_caught_where_only_the_last_iterate_counts(digits):
    wild = find_attack("pgd-20").model_copy(
        update={"name": "wild", "success": "last", "params": {"rel_step": 2.0, "objective": "margin"}}
    )
    report = robench.evaluate(load_model("pgdat"), digits.x[:32], digits.y[:32], attacks=[wild], eps="0.25")
    assert "silent-success" in levels(report)


def test_claims_that_the_judge_refuses_are_caught(digits, monkeypatch):
    from pyautoattack import AutoAttack

    def boast(self, x, y, /, *, batch_size):
        return (x + 2 * self.epsilon).clamp(0, 1), (y + 1) % 10

    monkeypatch.setattr(AutoAttack, "run_standard_evaluation", boast)
    report = robench.evaluate(load_model("pgdat"), digits.x[:30], digits.y[:30], attacks=["autoattack"], eps="0.2")
    assert levels(report)["unconfirmed"] == "broken"


def test_transfer_that_beats_the_white_box_is_caught():
    report = evaluate(eps=EPS, attacks=["cascade", "pgd-50"])
    white, other = (result.record for result in report.results)
    other.header = other.header.model_copy(
        update={"attack": other.header.attack.model_copy(update={"access": "transfer"})}
    )
    other.robust = white.robust & (np.arange(len(white.robust)) % 2 == 0)
    assert "transfer-beats-white-box" in {finding.diagnostic.name for finding in trust([white, other]).findings}


def test_without_gradient_attack_there_is_no_trust():
    assert levels(evaluate(eps=EPS, attacks=[SQUARE])) == {"no-gradient-attack": "check"}


SOME = ("digits/pgdat_he",)
OTHERS = [name for name in list_models() if name.startswith("digits/") and name not in SOME]


@pytest.mark.parametrize(
    ("name", "n"), [*((name, 10) for name in SOME), *(slow(name, 60) for name in (*SOME, *OTHERS))]
)
def test_honest_defenses_are_not_accused(name, n, digits):
    report = robench.evaluate(load_model(name), digits.x[:n], digits.y[:n], attacks=STRONG, eps="0.2")
    assert report.worst_case.trust.level == "trusted", report.worst_case.trust.sentence()


def test_the_verdict_stands_beside_every_accuracy(cli, tmp_path):
    said = cli("eval", "--model", "pgdat", "--attack", "fgsm", "--limit", 20, "--results", tmp_path / "results",
               "--json", tmp_path / "out.json")  # fmt: skip
    assert "robust (check)" in said.out
    assert "Run next: pgd-100" in said.out
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["worst_case"][0]["trust"]["level"] == written["results"][0]["trust"]["level"] == "check"
    assert "cascade" in written["worst_case"][0]["trust"]["next"]
    table = cli("report", "--results", tmp_path / "results", "--format", "md").out
    assert "check" in table


def test_the_probe_is_counted_apart():
    class Counted(Toy):
        calls = 0

        def forward(self, x):
            Counted.calls += len(x)
            return super().forward(x)

    header = evaluate(Counted(), eps=EPS).results[0].record.header
    spent = header.forwards + header.clean_forwards + header.judge_forwards + header.probe_forwards
    assert Counted.calls == spent
    assert header.probe_forwards > 0


def test_a_network_without_gradient_can_still_be_searched():
    class Flat(nn.Module):
        def forward(self, x):
            with torch.no_grad():
                return x.flatten(1)[:, :4].clone()

    model = Flat().eval()
    report = robench.evaluate(model, X, model(X).argmax(1), attacks=[SQUARE], eps=0.05)
    assert report.worst_case.trust.level == "check"
    assert Y.shape == (12,)


def test_zero_percent_is_trusted_and_what_ran_is_never_advised(digits):
    broken = evaluate(eps=1.0, attacks=["pgd-20"])
    assert broken.worst_case.robust_accuracy == 0
    assert broken.worst_case.trust.level == "trusted"
    model = Quantised()
    report = evaluate(model, y=model(X).argmax(1), eps=EPS, attacks=[*SHORTER, SQUARE])
    advised = report.worst_case.trust.next
    assert advised
    assert not {"pgd-50", "cascade", "square"}.intersection(advised)


ANOTHER_LIBRARYS = ["reference-apgd-ce", slow("autoattack")]
"""Attacks that pyautoattack runs: a part of AutoAttack, and, slower, all of it."""


@pytest.mark.parametrize("whole", [False, slow(True)], ids=["finds nothing", "whole"])
def test_of_autoattacks_parts_the_random_search_is_a_black_box(monkeypatch, whole):
    from pyautoattack import AutoAttack

    if not whole:
        monkeypatch.setattr(AutoAttack, "run_standard_evaluation", lambda self, x, y, /, *, batch_size: (x, y))
    report = evaluate(eps=EPS, attacks=["reference-square"])
    assert levels(report) == {"no-gradient-attack": "check"}


@pytest.mark.slow
def test_autoattacks_first_part_is_raw_cross_entropy(digits):
    report = robench.evaluate(
        load_model("pgdat_he"), digits.x[:40], digits.y[:40], attacks=["reference-apgd-ce"], eps="0.2"
    )
    assert {"hypersphere", "untargeted-only"} <= set(levels(report))


@pytest.mark.parametrize("name", ANOTHER_LIBRARYS)
def test_gradients_that_vanish_before_another_library_are_counted(name):
    report = evaluate(Toy(lambda logits, x: 10 * torch.tanh(1e3 * logits)), eps=EPS, attacks=[name])
    assert report[name].result.record.header.diagnostics["zero-gradients"] > 0.5


def test_another_library_needs_a_gradient_too():
    class Flat(nn.Module):
        def forward(self, x):
            with torch.no_grad():
                return x.flatten(1)[:, :4].clone()

    assert "no gradient" in refusal(Flat().eval(), y=X.flatten(1)[:, :4].argmax(1), attacks=["autoattack"], eps=EPS)


def test_memory_that_another_librarys_batches_exceed(monkeypatch):
    from pyautoattack import AutoAttack

    def greedy(self, x, y, /, *, batch_size):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AutoAttack, "run_standard_evaluation", greedy)
    assert "batch_size = 125" in refusal(attacks=["autoattack"], eps=EPS)


@pytest.mark.parametrize("name", ANOTHER_LIBRARYS)
def test_another_librarys_log_and_trace_stay_ours(caplog, name):
    import sys

    before = sys.gettrace()

    def mine(frame, event, argument):
        return None

    try:
        sys.settrace(mine)
        evaluate(Toy(lambda logits, x: 10 * torch.tanh(1e3 * logits)), eps=EPS, attacks=[name])
        assert sys.gettrace() is mine
    finally:
        sys.settrace(before)
    assert not [record for record in caplog.records if record.name == "auto-attack"]


LEAD = torch.tensor([60.0, 0, 0, 0])


def test_nan_far_outside_the_ball_costs_no_verdict():
    class Far(Toy):
        def forward(self, x):
            corner = ((x < 0.02) | (x > 0.98)).flatten(1).float().mean(1) > 0.7
            return torch.where(corner[:, None], torch.tensor(float("nan")), super().forward(x) + LEAD)

    report = evaluate(Far(), y=torch.zeros_like(Y), eps=EPS, attacks=["pgd-50"])
    assert "survivors-at-unlimited-eps" not in report["pgd-50"].result.record.header.diagnostics
    assert "unpredictive-gradients" in report["pgd-50"].result.record.header.diagnostics


def test_with_two_classes_every_attack_aims():
    two = Toy(classes=2)
    report = evaluate(two, y=two(X).argmax(1), eps=EPS, attacks=["pgd-100"])
    assert report.worst_case.robust_accuracy > 0
    assert "untargeted-only" not in levels(report)


def test_confident_networks_keep_their_probability_gradients():
    sure = Toy(lambda logits, x: 200 * logits)
    report = evaluate(sure, y=sure(X).argmax(1), eps=EPS, attacks=["probability-pgd-20"])
    assert report["probability-pgd-20"].result.record.header.diagnostics["zero-gradients"] == 0


def test_a_tiny_eps_does_not_make_gradients_unpredictive():
    diagnostics_of = evaluate(eps=1e-5, attacks=["pgd-20"])["pgd-20"].result.record.header.diagnostics
    assert diagnostics_of["unpredictive-gradients"] == 0


def test_one_example_is_chance():
    report = evaluate(eps=EPS, attacks=["cascade", find_attack("square").model_copy(update={"steps": 60})])
    white, black = (result.record for result in report.results)
    for few, name in ((1, None), (2, "black-box-finds-more"), (3, "black-box-beats-white-box")):
        black.robust = white.robust.copy()
        black.robust[np.flatnonzero(white.robust)[:few]] = False
        found = {finding.diagnostic.name for finding in trust([white, black]).findings}
        assert found == ({name} if name else set())


def test_a_broken_network_is_announced_in_python():
    with pytest.warns(UserWarning, match="broken: .* of the input gradients are exactly zero"):
        evaluate(Toy(lambda logits, x: 10 * torch.tanh(1e3 * logits)), eps=EPS, attacks=SHORTER)
