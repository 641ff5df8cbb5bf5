"""Evaluations with a target: who is attacked, what counts, what is refused, what never mixes."""

import numpy as np
import pytest
import torch

import robench
from robench.cli.target import read_target
from robench.data import find_dataset
from robench.data.split import Split
from robench.engine.executors.ray_worker import ChunkPayload
from robench.engine.loop import Chunk
from robench.errors import IncompleteError, InputError
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest
from robench.report.selection import record_key, select
from robench.report.worst_case import worst_case
from robench.specs import ThreatModel, digest, find_card
from robench.store import Store, read, read_published
from robench.store.published import from_data, to_data
from tests.support import toys
from tests.support.toys import Toy, X, Y

EPS = 0.12
pytestmark = pytest.mark.filterwarnings("ignore:the worst case is", "ignore:.*are left out")


def evaluate(model=None, **options):
    return robench.evaluate(model or Toy(), X, Y, **{"eps": EPS, "attacks": ["cw-linf-20"], "device": "cpu", **options})


def record(report, name="cw-linf-20"):
    return report[name].result.record


def rows(folder):
    (path,) = Store(folder).paths()
    return read(path)


def test_a_class_leaves_out_its_own_examples_and_says_how_many(tmp_path):
    of_class = int((Y == 1).sum())
    assert 0 < of_class < len(Y)
    with pytest.warns(UserWarning, match=rf"^{of_class} examples are left out: the target is their label\.$"):
        report = evaluate(target=1, results=tmp_path)
    header, found = rows(tmp_path)
    assert header.n == len(Y) - of_class
    assert header.target == "1"
    assert found.id.tolist() == (Y != 1).nonzero().flatten().tolist()
    assert (found.prediction[~found.robust] == 1).all()
    assert (~found.robust).any()
    assert report.to_json()["results"][0]["target"] == report.to_json()["worst_case"][0]["target"] == "1"
    assert f"linf {EPS}, target 1, {header.n} examples" in str(report)


def test_the_definition():
    """Misclassified examples are not robust and cost nothing; the others are robust unless turned into the target."""
    y = Y.clone()
    y[0] = (Y[0] + 1) % 4
    target = (Y + 2) % 4
    report = robench.evaluate(Toy(), X, y, eps=EPS, attacks=["cw-linf-20"], target=target.tolist(), device="cpu")
    found = record(report)
    assert not found.clean[0]
    assert not found.robust[0]
    assert found.queries[0] == 0
    assert record(evaluate(target=target)).robust[1:].tolist() == found.robust[1:].tolist()
    free = record(evaluate()).robust
    assert (found.robust[1:] >= free[1:]).all()
    assert found.robust.sum() > free.sum()


def test_the_least_likely_class_is_that_of_the_lowest_clean_logit(tmp_path):
    lowest = Toy()(X).argmin(1)
    one = record(evaluate(target="least-likely", results=tmp_path, eps=0.25))
    header, found = rows(tmp_path)
    assert (header.target, header.n) == ("least-likely", len(X))
    assert (~found.robust).any()
    assert (found.prediction[~found.robust] == lowest.numpy()[~found.robust]).all()
    other = record(evaluate(target=lowest.numpy(), eps=0.25))
    assert (one.robust == other.robust).all()
    assert (one.step == other.step).all()
    assert one.header.hash != other.header.hash


def test_one_class_for_each_example_is_the_class_if_all_are_the_same():
    assert record(evaluate(target=[1] * len(X))).header.hash == record(evaluate(target=1)).header.hash
    mixed = record(evaluate(target=((Y + 1) % 4).tolist())).header
    assert mixed.target.startswith("given:")
    assert mixed.goal == f"linf {EPS}, target given {mixed.target[6:22]}"


def test_what_cannot_aim_is_skipped_with_the_reason():
    report = evaluate(attacks=["fgsm", "autoattack", "rays", "feature-attack"], target="least-likely")
    assert {each.name: each.reason for each in report.skipped} == {
        name: f"{algorithm} cannot aim at a class"
        for name, algorithm in (("autoattack", "autoattack"), ("rays", "rays"), ("feature-attack", "feature"))
    }
    reasons = {each.name: each.reason for each in evaluate(
        Toy(classes=3), attacks=["apgd-dlr"], target=(Toy(classes=3)(X).argmin(1)).tolist()
    ).skipped}  # fmt: skip
    assert reasons == {"apgd-dlr": "apgd needs at least 4 classes, the network has 3"}


def test_a_service_is_asked_for_the_target():
    def ask(images):
        with torch.no_grad():
            return Toy()(images).numpy()

    options = {"attacks": ["square", "pgd-10"], "max_queries": 120, "target": "least-likely", "eps": 0.25}
    found, expected = evaluate(ask, **options), evaluate(**options)
    one, other = (record(each, "square-within-120") for each in (found, expected))
    assert one.robust.tolist() == other.robust.tolist()
    assert not one.robust.all()
    assert [each.name for each in found.skipped] == ["pgd-10"]


def test_findings_advise_no_attack_that_cannot_aim():
    report = evaluate(attacks=["pgd-1"], target="least-likely", eps=0.01)
    findings = {finding.diagnostic.name for finding in report.worst_case.trust.findings}
    assert "too-short" in findings
    assert "untargeted-only" not in findings
    assert report.worst_case.trust.next == ("pgd-100",)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (9, "target 9 is beyond the network's 4 classes: name one of 0 to 3."),
        (-1, "target -1 is negative"),
        ([1, 2], f"shape (2,) for {len(X)} evaluated examples"),
        (1.5, "expected class numbers, which are integers"),
        ("likely", "target 'likely' is unknown"),
        (Y, "the target is the label of every evaluated example"),
    ],
)
def test_targets_that_do_not_fit_are_refused(target, words):
    with pytest.raises(InputError) as caught:
        evaluate(target=target)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_records_with_and_without_a_target_never_stand_together():
    free, aimed = record(evaluate()), record(evaluate(target="least-likely"))
    assert free.header.target == ""
    assert "target" not in free.header.dump()
    assert "target" not in free.header.identity
    assert record_key(free) != record_key(aimed)
    with pytest.raises(IncompleteError, match="targets have no common worst case"):
        worst_case([free, aimed])
    again = from_data(to_data(aimed), "here")
    assert again.comparison_key == aimed.comparison_key
    assert (again.header.hash, again.header.target) == (aimed.header.hash, "least-likely")
    more = record(evaluate(target="least-likely", attacks=["fgsm"]), "fgsm")
    ((shown,),) = select([aimed, more, free]).defenses.values()
    assert shown is free
    with pytest.raises(InputError, match="its target contradicts its identity"):
        from_data({**to_data(aimed), "target": "3"}, "here")


def test_no_hash_of_a_published_record_has_changed():
    published = [
        each for each in read_published(robench.paths.data_root() / "results") if each.header.model == "digits/pgdat"
    ]
    under_test = NetworkUnderTest.of_card(find_card("pgdat"))
    request = EvaluationRequest(under_test, find_dataset("digits").load("test"), ThreatModel.parse("linf", "0.2"), ())
    checked = 0
    for each in published:
        header = each.header
        if header.threat.text == "0.2" and header.n == 540 and header.seed == 0 and header.attack.access != "transfer":
            whole = {"model": under_test.identity, **request.attack_identity(header.attack)}
            checked += 1
            assert digest(whole) == header.hash
    assert checked > 20


def test_a_masked_class_is_not_the_least_likely():
    def masked(logits, x):
        return torch.cat([logits, torch.full_like(logits[:, :1], -torch.inf)], 1)

    options = {"eps": 0.3, "attacks": ["pgd-20"], "target": "least-likely"}
    plain, more = (toys.evaluate(network, **options) for network in (toys.Toy(), toys.Toy(masked)))
    assert plain["pgd-20"].robust_accuracy == more["pgd-20"].robust_accuracy < 100
    assert "target 4 is masked" in toys.refusal(toys.Toy(masked), target=4)


def test_names_and_files(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
    data = find_dataset(f"folder:{tmp_path / 'images'}")
    assert read_target("dog", data) == 1
    assert read_target("1", data) == 1
    assert read_target("frog", find_dataset("cifar10")) == 6
    assert read_target("least-likely", data) == "least-likely"
    text, array = tmp_path / "t.txt", tmp_path / "t.npy"
    text.write_text("dog\n0\ncat\n")
    np.save(array, np.array([1, 0, 0]))
    assert read_target(str(text), data) == read_target(str(array), data) == [1, 0, 0]
    nameless = find_dataset("imagenet")
    np.save(array, np.array([0.5]))
    text.write_text("3\nfox\n")
    for dataset, said, words in (
        (data, "fox", "unknown class 'fox': known: cat, dog."),
        (nameless, "fox", "--target 'fox' is no class number, file or 'least-likely'"),
        (data, str(text), "unknown class 'fox, line 2 of"),
        (nameless, str(text), f"--target 'fox', line 2 of '{text}' is no class number"),
        (nameless, str(array), "holds float64 of shape (1,), expected integers"),
    ):
        with pytest.raises(InputError) as caught:
            read_target(said, dataset)
        assert words in str(caught.value)


def test_split_is_the_same_object_if_nobody_is_left_out():
    split = Split.checked("data", X, Y)
    request = EvaluationRequest(None, split, None, ())
    assert request.aiming_at(None) is request
    assert request.aiming_at("least-likely").split is split
    assert request.aiming_at((Y + 1) % 4).split is split


def test_a_chunk_takes_its_targets_along():
    chunk = Chunk(X, Y, torch.arange(len(X)), Y, (Y + 1) % 4)
    sent = ChunkPayload.of(chunk.take(torch.tensor([3, 1])), None).chunk
    assert sent.target is not None
    assert sent.target.tolist() == [(int(Y[3]) + 1) % 4, (int(Y[1]) + 1) % 4]
