"""Networks that can only be asked: scores or labels, counted, within the caller's limits."""

import numpy as np
import pytest
import torch

import robench
from robench.errors import InputError
from tests.support.toys import Toy, X, Y, refusal

BLACK = ["nes-20", "spsa-20", "zoo", "square"]
EPS = 0.05


def scores(images):
    with torch.no_grad():
        return Toy()(images)


def labels(images):
    return Toy()(images).argmax(1).tolist()


def evaluate(ask, **options):
    return robench.evaluate(ask, X, Y, **{"eps": EPS, "attacks": ["square"], "max_queries": 100, **options})


def test_a_callable_gets_the_verdicts_of_its_network():
    ours, theirs = evaluate(scores), evaluate(Toy())
    assert (ours["square-within-100"].result.record.robust == theirs["square-within-100"].result.record.robust).all()
    assert 0 < ours["square-within-100"].result.record.robust.sum() < len(X)


def test_arrays_and_lists_are_answers():
    report = evaluate(lambda images: scores(images).numpy().tolist())
    assert report.worst_case.robust_accuracy == evaluate(Toy()).worst_case.robust_accuracy


def test_labels_are_enough_for_decision_based_attacks():
    service = robench.Service(labels, "toy", classes=4)
    report = evaluate(service, attacks=["rays", "square", "pgd-20"])
    assert [result.record.header.attack.name for result in report.results] == ["rays-within-100"]
    assert {skipped.name for skipped in report.skipped} == {"square-within-100", "pgd-20"}
    assert all("decision" in skipped.reason for skipped in report.skipped)
    network = evaluate(Toy(), attacks=["rays"])
    assert report.worst_case.robust_accuracy == network.worst_case.robust_accuracy


def test_nobody_differentiates_what_only_answers():
    report = evaluate(scores, attacks=["pgd-20", "square", "autoattack", "rays"], max_queries=50)
    assert {skipped.name for skipped in report.skipped} == {"pgd-20", "autoattack"}


@pytest.mark.parametrize("name", [*BLACK, "rays"])
def test_the_service_sees_what_the_record_says(name):
    seen = []

    def counted(images):
        seen.append(len(images))
        return scores(images)

    service = robench.Service(counted, "toy")
    report = evaluate(service, attacks=[name], max_queries=300, batch_size=7)
    header, record = report.results[0].record.header, report.results[0].record
    assert max(seen) <= 7
    asked = header.forwards + header.clean_forwards + header.judge_forwards
    assert sum(seen) == service.sent == asked
    broken = record.clean & ~record.robust
    assert (record.queries[broken] <= 300).all()
    assert header.forwards <= 300 * record.clean.sum()


def test_the_count_survives_an_interruption_and_so_do_finished_chunks(tmp_path):
    log = tmp_path / "queries.log"
    left = [600]

    def limited(images):
        left[0] -= len(images)
        if left[0] < 0:
            raise ConnectionError("rate limit")
        return scores(images)

    def run():
        service = robench.Service(limited, "toy-1", log=log)
        return evaluate(service, eps=0.01, chunk_size=3, batch_size=10, results=tmp_path / "results")

    with pytest.raises(ConnectionError, match="rate limit"):
        run()
    before = sum(map(int, log.read_text().split()))
    assert 600 < before <= 610
    assert list(tmp_path.rglob("*.chunks*/*.parquet"))
    left[0] = 10**9
    report = run()
    assert report.worst_case.robust_accuracy == evaluate(Toy(), eps=0.01).worst_case.robust_accuracy
    assert sum(map(int, log.read_text().split())) > before
    again = robench.Service(limited, "toy-1", log=log)
    assert again.sent == sum(map(int, log.read_text().split()))


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("bad key"), TypeError("x"), KeyError("k")])
@pytest.mark.parametrize("after", [0, 40])
def test_errors_of_the_callable_pass_through_as_they_are(error, after):
    left = [after]

    def failing(images):
        left[0] -= len(images)
        if left[0] < 0:
            raise error
        return scores(images)

    service = robench.Service(failing, "toy")
    with pytest.raises(type(error)) as caught:
        evaluate(service)
    assert caught.value is error


@pytest.mark.parametrize("name", ["", "../x", "a/b", "v1.chunks", "x" * 101, ".hidden", "a\0b"])
def test_names_that_are_no_part_of_a_file_name(name):
    with pytest.raises(InputError, match="name of a service"):
        robench.Service(scores, name)


def test_what_cannot_be_run_is_not_advised():
    by_scores = evaluate(robench.Service(scores, "toy")).worst_case.trust
    assert by_scores.level == "check"
    assert by_scores.next == ("rays",)
    by_labels = evaluate(robench.Service(labels, "toy", classes=4), attacks=["rays"]).worst_case.trust
    assert by_labels.next == ()


def test_a_network_behind_a_service_is_left_alone():
    network = Toy()
    service = robench.Service(network, "toy")
    assert list(service.parameters()) == []
    assert evaluate(service).worst_case.robust_accuracy == evaluate(Toy()).worst_case.robust_accuracy


def test_services_with_records_have_names(tmp_path):
    with pytest.raises(InputError, match=r"robench\.Service"):
        evaluate(scores, results=tmp_path)
    one = evaluate(robench.Service(scores, "one"), results=tmp_path)
    two = evaluate(robench.Service(scores, "two"), results=tmp_path)
    assert one.results[0].record.header.hash != two.results[0].record.header.hash
    assert evaluate(robench.Service(scores, "one"), results=tmp_path).results[0].source == "stored"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda images: scores(images)[:-1], "expected scores"),
        (lambda images: scores(images)[None], "expected scores"),
        (labels, "classes=..."),
        (lambda images: scores(images) * float("nan"), "NaN"),
        (lambda images: None, "expected scores"),
        (lambda images: "cat", "expected scores"),
    ],
    ids=["too few", "too many dimensions", "labels without classes", "NaN", "nothing", "text"],
)
def test_answers_that_are_none(answer, words):
    with pytest.raises(InputError) as caught:
        evaluate(answer)
    assert words in str(caught.value)


def test_labels_outside_the_classes():
    with pytest.raises(InputError, match="not among 0 to 1"):
        evaluate(robench.Service(labels, "toy", classes=2), attacks=["rays"])


def test_a_class_is_no_callable_network():
    assert "type" in refusal(Toy)


def test_a_log_that_is_none(tmp_path):
    path = tmp_path / "log"
    path.write_text("many\n")
    with pytest.raises(InputError, match="no log of queries"):
        robench.Service(scores, "toy", log=path)
    assert np.isfinite(robench.Service(scores, "toy", log=tmp_path / "new").sent)
