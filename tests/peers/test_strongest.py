"""The benchmark beside the strongest attacks: one judge, passes counted at the network, lines that are kept."""

import json

import pytest
import torch

import robench
from benchmarks import pairs, strongest
from benchmarks.peers import with_robench
from benchmarks.peers.case import Case
from benchmarks.peers.passes import passes
from benchmarks.peers.published.search import CountedPasses, gradient, margin
from robench.classifiers import load_model
from robench.specs import find_attack

PEERS = ("pma", "fast")
RAN = []


def one_step(case, seed):
    """A step of the length of eps on half of the examples."""
    RAN.append(len(case.x))
    slope, *_ = gradient(case.model, case.x, lambda z: margin(z, case.y))
    points = (case.x + case.eps * slope.sign()).clamp(0, 1)
    return torch.where(torch.arange(len(points)).view(-1, 1, 1, 1) % 2 == 0, points, case.x)


def outside(case, seed):
    """Points that are misclassified and not allowed."""
    RAN.append(len(case.x))
    return 1 - case.x


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The lines of two peers, twice, and the folder that keeps them."""
    folder = tmp_path_factory.mktemp("strongest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strongest, "PEERS", dict(zip(PEERS, (one_step, outside), strict=True)))
        first, second = (strongest.lines_of("digits/fastat", list(PEERS), 24, None, folder) for _ in range(2))
        ran = len(RAN)
        patch.setattr(strongest, "definition", lambda peer: "another version")
        strongest.lines_of("digits/fastat", ["pma"], 24, None, folder)
    return first, second, ran, len(RAN), folder


def test_a_finished_line_is_kept_until_something_changes(measured):
    first, second, ran, after, folder = measured
    assert first == second
    assert (ran, after) == (2, 3)
    lines = [json.loads(line) for line in (folder / "digits-fastat.jsonl").read_text().splitlines()]
    assert [line["peer"] for line in lines] == ["pma", "fast", "pma"]
    assert lines[0]["robust"] == lines[2]["robust"]
    assert lines[0]["key"] != lines[2]["key"]


def test_all_peers_have_one_judge(measured):
    found = measured[0]
    assert 0 < found["pma"].accuracy < found["pma"].clean <= 100
    assert found["fast"].accuracy == found["fast"].clean, "what lies outside the ball breaks nothing"
    assert found["fast"].n == 24


def test_passes_are_counted_at_the_network_for_all(measured):
    found = measured[0]
    assert (found["pma"].forwards, found["pma"].backwards) == (found["pma"].attacked, found["pma"].attacked)
    assert (found["fast"].forwards, found["fast"].backwards) == (0, 0)
    model, x = load_model("digits/fastat"), torch.rand(5, 1, 8, 8)
    with passes() as counted:
        gradient(CountedPasses(model), x, lambda z: z[:, 0])
        with torch.no_grad():
            model(x[:2])
    assert (counted.forwards, counted.backwards) == (7, 5)
    model(x)
    assert counted.forwards == 7


@pytest.mark.slow
def test_a_battery_breaks_what_any_of_its_attacks_breaks(monkeypatch):
    case = Case.of("digits/fastat", 20)
    specs = [find_attack("fgsm"), find_attack("bim-10")]
    monkeypatch.setattr(with_robench, "battery_attacks", lambda name: specs)
    report = robench.evaluate(case.model, case.x, case.y, ids=case.ids, eps="0.2", attacks=specs, device="cpu")
    survivors = report.worst_case.robust_accuracy * len(case.x) / case.total
    assert case.robust_accuracy(with_robench.battery("fast", case, 0)) == pytest.approx(survivors)
    assert 0 < survivors < 100 * len(case.x) / case.total


def test_the_tables(measured):
    first = {"digits/fastat": measured[0]}
    cells = strongest.accuracies(first, list(PEERS)).rows["digits/fastat"]
    assert cells["PMA"] == cells["all together"] == f"{measured[0]['pma'].accuracy:.2f}"
    assert cells["fast"] == cells["clean"]
    assert strongest.costs(first, list(PEERS)).rows["digits/fastat"]["PMA passes"] == "2"


def test_every_peer_has_a_title_and_a_definition_of_its_own():
    assert list(strongest.TITLES) == list(strongest.PEERS)
    definitions = [json.dumps(strongest.definition(peer)) for peer in strongest.PEERS]
    assert len(set(definitions)) == len(definitions)


def test_pairs_are_two_scans_of_one_part_read_as_a_number():
    x, y = pairs.pairs("test", 50, seed=1)
    assert x.shape == (50, 1, 8, 16)
    assert y.min() >= 0
    assert 50 < y.max() < 100
    again, labels = pairs.pairs("test", 50, seed=1)
    assert torch.equal(x, again)
    assert torch.equal(y, labels)
    assert pairs.network()(x).shape == (50, 100)
    model = load_model("digits/standard")
    with torch.no_grad():
        read = 10 * model(x[..., :8]).argmax(1) + model(x[..., 8:]).argmax(1)
    assert (read == y).float().mean() > 0.9
