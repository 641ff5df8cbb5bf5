"""Networks that answer differently twice: the closed form of a linear network, what is kept, what is refused."""

import json
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import robench
from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.access.stochastic import JUDGE_DRAWS, Draws
from robench.classifiers.frozen import FrozenNetwork
from robench.numerics.goal import Goal
from robench.numerics.stats import at_least, clear_majority, drawn_interval, wilson
from robench.specs import find_attack
from robench.store import Store, read, read_file
from tests.support.marks import slow
from tests.support.networks import CPU
from tests.support.toys import Toy, X, Y, evaluate, refusal

SIGMA, EPS = 0.2, 0.1
pytestmark = pytest.mark.filterwarnings("ignore:the worst case is")


class Noisy(nn.Module):
    """A linear network of two classes on 4 x 4 images with Gaussian noise on every pixel: z = (0, w . (x + n) + b)."""

    def __init__(self, sigma=SIGMA):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(torch.randn(16, generator=generator))
        self.bias, self.sigma = -float(self.weight.detach().sum()) / 2, sigma
        self.eval()

    def margin(self, x):
        """Return the logit of class 1 without noise."""
        return x.flatten(1) @ self.weight + self.bias

    def forward(self, x):
        value = self.margin(x + self.sigma * torch.randn_like(x))
        return torch.stack([torch.zeros_like(value), value], 1)


def images(n):
    return 0.1 + 0.8 * torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(7))


def drawn(model, count=1, seed=0, x=X):
    network = FrozenNetwork.of(model, CPU)
    return network, Draws.recognised(count, seed, network.predict, x[:1])


def test_the_judges_draws_have_the_probability_of_the_closed_form():
    """P(right) is Phi(|margin| / (sigma |w|)), and 64 draws of each of 400 images are independent."""
    model, x = Noisy(1.5), images(400)
    network, draws = drawn(model, x=x)
    margin = model.margin(x).detach()
    y = (margin > 0).long()
    votes = draws.votes(MicroBatcher(512), network.predict, x, torch.arange(400), Goal(y))
    share = torch.special.ndtr((margin.abs() / (1.5 * model.weight.norm())).double()).detach()
    off = (votes.right(y) - JUDGE_DRAWS * share) / (JUDGE_DRAWS * share * (1 - share)).sqrt()
    assert off.mean().abs() < 4.5 / sqrt(400)
    # Squares of standardised binomials have mean 1 and a variance of about 2.
    assert (off.square().mean() - 1).abs() < 4.5 * sqrt(2 / 400)
    assert torch.equal(votes.won, JUDGE_DRAWS - votes.right(y))
    assert votes.varied.any()
    early = draws.votes(MicroBatcher(512), network.predict, x, torch.arange(400), Goal(y), all_draws=False)
    assert torch.equal(2 * early.won > JUDGE_DRAWS, 2 * votes.won > JUDGE_DRAWS)
    assert int(early.draws.sum()) < int(votes.draws.sum())


def test_an_attack_reaches_the_optimum_of_a_linear_network():
    """The majority is wrong somewhere in the ball exactly if eps |w|_1 exceeds the margin; no image is near that."""
    model, x = Noisy(), images(800)
    margin, reach = model.margin(x).detach(), EPS * float(model.weight.detach().abs().sum())
    # Beyond this distance from one half, 64 draws err with a probability below 1e-4.
    spread = 4 * SIGMA * float(model.weight.detach().norm()) * sqrt(2 * np.pi) / (2 * sqrt(JUDGE_DRAWS))
    at = ((margin.abs() > spread) & ((margin.abs() - reach).abs() > spread)).nonzero().flatten()[:60]
    assert len(at) == 60
    y = (margin > 0).long()[at]
    report = evaluate(model, x[at], y, eps=EPS, draws=8, attacks=["cw-linf-20"])
    record = report.results[0].record
    assert record.clean.all()
    expected = (margin.abs()[at] > reach).numpy()
    assert 5 < expected.sum() < 55
    assert np.array_equal(record.robust, expected)
    right = record.right / JUDGE_DRAWS
    best = torch.special.ndtr(((margin.abs()[at] - reach) / (SIGMA * model.weight.norm())).double()).detach().numpy()
    # The attack leaves an example as soon as the draws are clear, so it may stop above the optimum, never below it.
    assert (right[expected] <= best[expected] + 5 * 0.5 / 8).all()
    assert (right >= best - 5 * 0.5 / 8).all()


@pytest.fixture(scope="module")
def made():
    return evaluate(noisy(), draws=3, batch_size=5)


def noisy():
    return Toy(lambda logits, x: logits + 0.4 * torch.randn_like(logits))


@pytest.mark.parametrize("options", [slow({"batch_size": 1}), {"batch_size": 7, "chunk_size": 5}, {"batch_size": 64}])
def test_verdicts_do_not_depend_on_batches_and_chunks(made, options):
    again = evaluate(noisy(), draws=3, **options)
    a, b = (report.results[0].record for report in (made, again))
    assert np.array_equal(a.robust, b.robust)
    assert np.array_equal(a.right, b.right)
    assert a.header.forwards == b.header.forwards
    assert a.header.forwards % 3 == 0


def test_records_keep_the_share_of_right_answers(made, tmp_path):
    report = evaluate(noisy(), draws=3, results=tmp_path, save_adversarial=True)
    record = report.results[0].record
    header, rows = read(next(Store(tmp_path).paths()))
    assert (header.schema_version, header.draws, header.judge_draws) == (3, 3, JUDGE_DRAWS)
    assert np.array_equal(rows.right, made.results[0].record.right)
    assert (2 * rows.right[~rows.robust] < JUDGE_DRAWS).all()
    row = report.rows()[0]
    assert row["draws"] == 3
    assert row["single_draw_accuracy"] == pytest.approx(100 * rows.right.mean() / JUDGE_DRAWS, abs=1e-4)
    assert row["ci_low"] <= row["robust_accuracy"] <= row["ci_high"]
    assert "mean of 3 draws" in str(report.table().title) + " ".join(report.table().notes) + header.goal
    again = evaluate(noisy(), draws=3, results=tmp_path, save_adversarial=True)
    assert again.results[0].source == "stored"
    (found,) = robench.verify(tmp_path, noisy())
    assert not found.faults
    assert not found.reason
    assert found.confirmed == found.examples == (record.clean & ~record.robust).sum()
    with_more = evaluate(noisy(), draws=6, results=tmp_path)
    assert "falls-with-draws" in with_more.results[0].record.header.diagnostics


def test_the_interval_covers_the_draws_as_well_as_the_examples():
    robust = np.array([True] * 6 + [False] * 4)
    clear = np.array([64] * 6 + [0] * 4)
    assert drawn_interval(robust, clear, 64) == wilson(6, 10)
    close = np.array([64] * 5 + [33, 31] + [0] * 3)
    assert drawn_interval(robust, close, 64) == (wilson(5, 10)[0], wilson(7, 10)[1])
    assert at_least(clear_majority(64), 64, 0.5) <= 0.025 < at_least(clear_majority(64) - 1, 64, 0.5)
    assert clear_majority(1) == 2


REFUSED = {
    "random, without draws": (noisy, {}, "answers differently twice", "--draws 16"),
    "not random, with draws": (Toy, {"draws": 4}, "answers the same twice", "leave --draws out"),
    "no draws": (noisy, {"draws": 0}, "draws 0 must be at least 1", ""),
    "half a draw": (noisy, {"draws": 0.5}, "must be a whole number", ""),
    "NaN in some draws": (
        lambda: Toy(lambda logits, x: logits / (torch.rand(len(logits), 1) > 0.3)), {"draws": 2}, "NaN or inf", "",
    ),
    "statistics of the batch": (
        lambda: Toy(lambda logits, x: chosen(logits - logits.mean(0), x)), {"draws": 2},
        "depend on the other images", "",
    ),
    "a fixed seed": (
        lambda: Toy(lambda logits, x: (torch.manual_seed(0), logits + torch.randn_like(logits))[1]), {},
        "on an image's place", "--draws 16",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("network", "options", "fault", "mend"), REFUSED.values(), ids=REFUSED)
def test_bad_requests_are_refused(network, options, fault, mend):
    said = refusal(network(), **options)
    assert fault in said
    assert mend in said


def test_a_network_that_cannot_be_seeded_is_named():
    own = np.random.default_rng(0)
    network = Toy(lambda logits, x: logits + 0.4 * torch.from_numpy(own.standard_normal(logits.shape)).float())
    with pytest.warns(UserWarning, match="cannot be seeded"):
        report = evaluate(network, x=X[:3], y=Y[:3], draws=1, attacks=["fgsm"])
    assert "cannot be seeded" in report.worst_case.trust.sentence()
    low, high = report.results[0].record.interval
    assert low <= report.results[0].record.robust_accuracy <= high


def test_too_few_draws_are_broken():
    """A strong multiplicative noise leaves one draw's gradient without direction."""
    network = Toy(lambda logits, x: logits + 300 * (x.flatten(1) * torch.randn(len(x), 16)).mean(1, keepdim=True)
                  * torch.tensor([1.0, -1.0, 0.0, 0.0]))  # fmt: skip
    votes = drawn(network)[1].votes(MicroBatcher(64), network, X, torch.arange(len(X)), Goal(Y))
    y = votes.counts.argmax(1)
    report = evaluate(network, y=y, draws=1)
    values = report.results[0].record.header.diagnostics
    assert values["noisy-gradients"] > 0.5
    assert "draw more often" in report.worst_case.trust.sentence()
    calm = evaluate(noisy(), draws=3).results[0].record.header.diagnostics
    assert calm["noisy-gradients"] < 0.01, "noise on the logits does not touch the gradient"


def test_published_records_of_random_networks_are_judged_again(cli, tmp_path):
    code = tmp_path / "mine.py"
    code.write_text(
        "import torch, robench\n"
        "class Blur(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.inner = robench.load_model('digits/pgdat')\n"
        "    def forward(self, x):\n        return self.inner(x + 0.1 * torch.randn_like(x))\n"
        "def make():\n    return Blur()\n"
    )
    results, out = tmp_path / "results", tmp_path / "out.json"
    options = ("--model", f"{code}:make", "--dataset", "digits", "--name", "blur", "--results", results)
    run = ("--attack", "pgd-10", "--limit", 12, "--draws", 2, "--save-adversarial", "--json", out)
    assert cli("eval", *options, *run).code == 0
    (row,) = json.loads(out.read_text())["results"]
    assert row["draws"] == 2
    assert cli("verify", "--results", results).code == 0
    assert cli("publish", "--results", results).code == 0
    (path,) = results.glob("digits/*.jsonl")
    (record,) = read_file(path)
    assert record.right is not None
    assert record.robust_accuracy == pytest.approx(row["robust_accuracy"], abs=1e-3)
    said = cli("report", "--results", results)
    assert "mean of 2 draws" in said.out


def chosen(logits, x):
    return logits + 0.5 * torch.eye(4)[int(torch.randint(4, (1,)))]


def averaged(logits, x):
    many = logits.repeat(8, 1)
    return (many + torch.randn_like(many)).view(8, *logits.shape).mean(0)


@pytest.mark.parametrize("answer", [slow(chosen), averaged])
def test_numbers_that_rows_share_do_not_depend_on_the_batch_either(answer):
    network, draws = drawn(Toy(answer))
    assert draws.repeats
    assert not draws.by_row
    x, y, ids = X[:4], Y[:4], torch.arange(4)
    whole, parts = (draws.votes(MicroBatcher(size), network.predict, x, ids, Goal(y)) for size in (64, 3))
    alone = draws.votes(MicroBatcher(64), network.predict, x[2:3], ids[2:3], Goal(y[2:3]))
    assert torch.equal(whole.counts, parts.counts)
    assert torch.equal(whole.counts[2:3], alone.counts)
    assert whole.varied.all()


def test_with_a_target_the_draws_count_that_are_not_the_target():
    report = evaluate(noisy(), draws=2, target=0, eps=0.1)
    record = report.results[0].record
    assert (record.right[record.robust] >= JUDGE_DRAWS / 2).all()
    assert (record.right[record.clean & ~record.robust] < JUDGE_DRAWS / 2).all()


def test_points_that_break_nothing_are_named(tmp_path):
    evaluate(noisy(), draws=2, results=tmp_path, save_adversarial=True)
    store = Store(tmp_path)
    header, rows = read(next(store.paths()))
    clean = {row: point.numpy().astype("<f4").tobytes() for row, point in zip(range(len(X)), X, strict=True)}
    points = rows.adversarial.copy()
    for at, row in enumerate(rows.id.tolist()):
        points[at] = clean[row] if points[at] else None
    store.write(header, replace(rows, adversarial=points))
    (found,) = robench.verify(tmp_path, noisy())
    assert found.faults.get("not misclassified", 0) > 0


@pytest.mark.slow
def test_autoattack_for_random_networks_finds_what_most_draws_get_wrong():
    network = Toy(lambda logits, x: logits + 0.2 * torch.randn_like(logits), classes=4)
    report = evaluate(network, draws=1, attacks=["autoattack-rand", "apgd-ce"], eps=0.2)
    (theirs, ours) = (result.record for result in report.results)
    assert theirs.header.faults == {}
    # The published code gives back the points that one draw got wrong, so it may break fewer than half of the draws.
    lost = [int((record.clean & ~record.robust).sum()) for record in (theirs, ours)]
    assert 0 < lost[1] / 2 <= lost[0]
    without = evaluate(Toy(), attacks=["autoattack-rand"])
    assert "add --draws" in without.skipped[0].reason


def test_dropout_and_features_work_under_draws():
    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.hidden, self.last = nn.Linear(16, 32), nn.Linear(32, 4)
            self.eval()

        def forward(self, x):
            return self.last(F.dropout(F.relu(self.hidden(x.flatten(1))), 0.2, training=True))

    network = Dropped()
    y = torch.stack([network(X) for _ in range(64)]).argmax(2).mode(0).values
    short = [
        find_attack(name).model_copy(update={"steps": 3}) for name in ("pgd-10", "feature-attack-5", "square", "fab")
    ]
    report = evaluate(network, x=X, y=y, draws=2, attacks=short)
    assert not report.skipped, report.skipped
    assert [result.record.header.draws for result in report.results] == [2] * 4
    assert not report.skipped
    frozen, draws = drawn(network)
    judge = Judge(frozen, MicroBatcher(8), draws)
    assert torch.equal(judge.clean(X, y, torch.arange(len(X))), judge.clean(X, y, torch.arange(len(X))))
