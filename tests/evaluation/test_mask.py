"""Evaluations with a mask: what is attacked, what names a record, what never mixes, what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import robench
from robench.access.judge import CONFIRMED, NOT_MISCLASSIFIED, OUTSIDE_MASK, Judge
from robench.access.microbatches import MicroBatcher
from robench.access.oracle import Oracle
from robench.classifiers.frozen import frozen_network
from robench.data import stored_mask
from robench.data.mask import Mask, fitted_mask
from robench.data.mask_values import MaskValues, exact
from robench.data.split import Split
from robench.engine.executors.ray_worker import ChunkPayload
from robench.engine.loop import Chunk
from robench.errors import FaultError, IncompleteError, InputError
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest
from robench.numerics.ball import Ball
from robench.numerics.losses import Objective
from robench.report.groups import groups
from robench.report.selection import record_key, select
from robench.report.worst_case import worst_case
from robench.specs import ThreatModel, digest, find_attack, find_card
from robench.specs.mask import MaskSummary
from robench.store import Store, read, read_file
from robench.store.published import from_data, to_data
from tests.support.networks import CPU
from tests.support.runs import attack
from tests.support.toys import Toy, X, Y, evaluate, refusal

N = len(X)
HALF = np.zeros((4, 4), dtype=bool)
HALF[:, :2] = True
EPS = 0.3
pytestmark = pytest.mark.filterwarnings("ignore:the worst case is", "ignore:.*are left out")


def masked(mask=HALF, **options):
    return evaluate(**{"eps": EPS, "mask": mask, **options})


def record(report, name="pgd-20"):
    return report[name].result.record


def given(mask):
    return MaskValues(exact(mask, "mask"))


def each_row():
    rows = np.random.default_rng(0).random((N, 1, 4, 4)) < 0.5
    rows[:, 0, 0, 0] = True
    return rows


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """An evaluation with a mask, and the folder of its records."""
    folder = tmp_path_factory.mktemp("half")
    return masked(results=folder), folder


@pytest.fixture(scope="module")
def free():
    return evaluate(eps=EPS)


def test_what_is_said(half):
    report, folder = half
    header = record(report).header
    assert header.mask == MaskSummary(sha256=header.identity["mask"], unit="pixels", least=8, most=8, of=16)
    words = f"linf {EPS}, pixels that may change: 8 of 16 (mask {header.mask.sha256[:16]})"
    assert header.goal == words
    assert f"{words}, {N} examples, seed 0" in str(report)
    found = report.to_json()
    assert found["results"][0]["mask"] == found["worst_case"][0]["mask"] == header.mask.model_dump()
    again = masked(results=folder)
    assert again.results[0].source == "stored"


def test_fewer_pixels_never_break_more(half, free):
    assert record(free).robust.sum() < record(half[0]).robust.sum() < N


def test_all_pixels_are_no_mask(free):
    whole = masked(np.ones((4, 4)))
    assert record(whole).header.hash == record(free).header.hash
    assert record(whole).header.mask is None
    assert record(whole).robust.tolist() == record(free).robust.tolist()
    assert record(whole).step.tolist() == record(free).step.tolist()
    assert whole.to_json()["results"][0]["mask"] is None


@pytest.mark.parametrize(
    "same",
    [HALF.astype(float), HALF[None].astype(np.uint8), torch.tensor(HALF), np.repeat(HALF[None], N, 0),
     np.repeat(HALF[None, None], N, 0), HALF.tolist()],
    ids=["floats", "CHW", "tensor", "NHW", "NCHW", "lists"],
)  # fmt: skip
def test_one_mask_has_one_hash_in_every_shape(same):
    split = Split.checked("data", X, Y)
    (first, second) = (
        EvaluationRequest(None, split, None, (), mask=fitted_mask(given(each), split)) for each in (HALF, same)
    )
    assert first.mask.summary == second.mask.summary


def test_a_row_belongs_to_its_example():
    rows = each_row()
    whole = masked(rows)
    summary = record(whole).header.mask
    counts = rows.sum((1, 2, 3))
    assert (summary.unit, summary.least, summary.most) == ("pixels", counts.min(), counts.max())
    assert f"pixels that may change: {counts.min()} to {counts.max()} of 16" in str(whole)
    order = np.random.default_rng(1).permutation(N)
    shuffled = masked(rows[order], x=X[order], y=Y[order], ids=order)
    assert record(shuffled).robust[order.argsort()].tolist() == record(whole).robust.tolist()
    target = (Y + (torch.arange(N) > 3).long()) % 4  # the first four are left out
    aimed = masked(rows, target=target.tolist())
    part = masked(rows[4:], x=X[4:], y=Y[4:], ids=range(4, N), target=target[4:].tolist())
    assert record(aimed).header.mask == record(part).header.mask
    assert record(aimed).robust.tolist() == record(part).robust.tolist()


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((4, 4)), "the mask is 0 everywhere, so no pixel may change"),
        (np.concatenate([np.zeros((1, 4, 4)), np.ones((N - 1, 4, 4))]), "for 1 examples (ids [0]), so no pixel may"),
        (np.full((4, 4), 0.5), "mask holds the value 0.5, expected 0 and 1 only"),
        (np.full((4, 4), 255), "mask holds the value 255, expected 0 and 1 only"),
        (np.full((4, 4), np.nan), "mask holds the value nan"),
        (np.full((4, 4), "1"), "mask holds <U1 values"),
        (np.ones((5, 4)), "the mask has shape (5, 4), the images (C, H, W) = (1, 4, 4): give (H, W), (C, H, W), "),
        (np.ones((N, 2, 4, 4)), f"the mask has shape ({N}, 2, 4, 4)"),
        (np.ones(4), "the mask has shape (4,)"),
        (np.ones((N - 1, 4, 4)), f"the mask has rows for {N - 1} examples, there are {N}"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, words):
    assert words in refusal(mask=mask)


def test_three_axes_that_may_be_two_things_are_refused():
    split = Split.checked("data", torch.rand(3, 3, 2, 2), torch.zeros(3, dtype=torch.int64))
    for shape in ((3, 2, 2), (3, 3, 2, 2), (2, 2)):
        eyes = given(np.eye(2, dtype=bool) & np.ones(shape, dtype=bool))
        if len(shape) == 3:
            with pytest.raises(InputError, match="may be of 3 channels or of 3 examples: give"):
                fitted_mask(eyes, split)
        else:
            assert str(fitted_mask(eyes, split).summary) == "pixels that may change: 2 of 4"
    channel = np.zeros((2, 2, 2), dtype=bool)
    channel[0] = True
    two = Split.checked("data", torch.rand(5, 2, 2, 2), torch.zeros(5, dtype=torch.int64))
    found = fitted_mask(given(channel), two)
    assert str(found.summary) == "values that may change: 4 of 8"


def test_what_cannot_keep_pixels_fixed_is_skipped_and_not_advised():
    report = masked(attacks=["fgsm", "autoattack"])
    (skipped,) = report.skipped
    assert (skipped.name, skipped.reason) == (
        "autoattack", "autoattack is code of another library, which cannot keep pixels fixed",
    )  # fmt: skip
    assert "autoattack" not in report.worst_case.trust.next
    with pytest.raises(InputError, match="cannot keep pixels fixed, as the mask asks"):
        crafting = find_attack("transfer-pgd-20")
        stanza = crafting.model_copy(update={"params": {"attack": "autoattack"}})
        masked(attacks=[stanza], substitutes={"other": Toy()})


def test_records_with_other_masks_never_stand_together(half, free):
    one, plain = record(half[0]), record(free)
    other = record(masked(~HALF))
    assert "mask" not in plain.header.dump()
    assert "mask" not in plain.header.identity
    assert len({record_key(each) for each in (one, plain, other)}) == 3
    for pair in ((one, plain), (one, other)):
        with pytest.raises(IncompleteError, match="masks or targets have no common worst case"):
            worst_case(pair)
    ((shown,),) = select([one, other, plain]).defenses.values()
    assert shown is plain
    found = groups([one, other, plain])
    assert [len(group.defenses) for group in found] == [1, 1, 1]
    assert len({group.heading for group in found}) == 3
    again = from_data(to_data(one), "here")
    assert (again.header.mask, again.comparison_key) == (one.header.mask, one.comparison_key)
    line = {**to_data(one), "mask": other.header.mask.model_dump()}
    with pytest.raises(InputError, match="its mask contradicts its identity"):
        from_data(line, "here")


def test_no_hash_of_a_published_record_has_changed():
    under_test = NetworkUnderTest.of_card(find_card("pgdat"))
    split = robench.data.find_dataset("digits").load("test")
    request = EvaluationRequest(under_test, split, ThreatModel.parse("linf", "0.2"), ())
    (header,) = {
        each.header.hash: each.header
        for each in read_file(robench.paths.data_root() / "results" / "digits" / "pgdat.jsonl")
        if (each.header.attack.name, each.header.seed, each.header.n, each.header.threat.text)
        == ("fgsm", 0, 540, "0.2")
    }.values()
    mask = Mask.of(torch.eye(8, dtype=torch.bool)[None, None], split.ids)
    whole = {"model": under_test.identity, **request.attack_identity(header.attack)}
    assert digest(whole) == header.hash
    assert replace(request, mask=mask).attack_identity(header.attack) == {
        **request.attack_identity(header.attack), "mask": mask.summary.sha256,
    }  # fmt: skip


def test_the_mask_is_kept_beside_the_records_that_were_made_with_it(half):
    report, folder = half
    header = record(report).header
    place = folder / "raw" / "data" / stored_mask.FOLDER
    found = stored_mask.stored_mask(place, header.mask.sha256, torch.arange(N))
    assert found.summary == header.mask
    assert stored_mask.stored_mask(place, "0" * 64, torch.arange(N)) is None
    rows = Mask.of(torch.from_numpy(each_row()), torch.arange(N))
    stored_mask.store_mask(rows, place)
    again = stored_mask.stored_mask(place, rows.summary.sha256, torch.tensor([3, 1]))
    assert torch.equal(again.of_ids(torch.tensor([3, 1])), rows.values[[3, 1]])
    path = place / f"{rows.summary.sha256[:16]}.npz"
    np.savez(path, mask=~each_row(), ids=np.arange(N))
    with pytest.raises(InputError, match="is not what its name says"):
        stored_mask.stored_mask(place, rows.summary.sha256, torch.arange(N))


def test_the_judge_refuses_the_smallest_change_of_a_fixed_pixel(half):
    _, folder = half
    (path,) = Store(folder).paths()
    _, rows = read(path)
    ball = Ball(X, "linf", 1.0, torch.from_numpy(HALF).expand(N, 1, -1, -1))
    points = torch.where(ball.mask, 1 - X.round(), X)
    touched = points.clone()
    touched[:, 0, 3, 3] = torch.nextafter(touched[:, 0, 3, 3], torch.tensor(0.5))
    with frozen_network(Toy(), CPU) as frozen:
        judge = Judge(frozen, MicroBatcher(8))
        fair, foul = (judge.rule(ball, each, Y).fault.tolist() for each in (points, touched))
    assert set(fair) <= {CONFIRMED, NOT_MISCLASSIFIED}
    assert CONFIRMED in fair
    assert foul == [OUTSIDE_MASK] * N
    assert rows.valid.all()


def test_the_oracle_shows_the_network_as_a_function_of_the_free_pixels():
    mask = torch.from_numpy(each_row())
    ball = Ball(X, "linf", 1.0, mask)
    with frozen_network(Toy(), CPU) as frozen:
        oracle = Oracle(
            frozen, ball, Y, torch.arange(N), access="gradient", bounds="none", batcher=MicroBatcher(5),
            precision="fp32",
        )  # fmt: skip
        far = 1 - X
        here = torch.where(mask, far, X)
        rows = torch.tensor([2, 0, 2])
        assert torch.equal(oracle.logits(far), Toy()(here))
        torch.testing.assert_close(oracle.logits(far[rows], rows), Toy()(here[rows]))
        for gradients in (
            oracle.gradient(far, Objective("margin")).gradient[:, None],
            oracle.jacobian(far).gradients,
        ):
            assert not gradients.masked_select(~mask[:, None]).any()
            assert gradients.masked_select(mask[:, None]).all()
        assert torch.equal(oracle.points[oracle.found], here[oracle.found])
        oracle.clear_pending()
        oracle.submit(far[rows[:2]], rows[:2])
        assert torch.equal(oracle.points[[0, 2]], here[[0, 2]])
        with pytest.raises(FaultError, match="declare can_mask = False"), oracle.counted_network():
            pass


def test_a_chunk_takes_its_mask_along():
    mask = torch.from_numpy(each_row())
    chunk = Chunk(X, Y, torch.arange(N), Y, mask=mask)
    sent = ChunkPayload.of(chunk.take(torch.tensor([3, 1])), None).chunk
    assert torch.equal(sent.mask, mask[[3, 1]])


def test_a_registered_defense_withstands_more_under_a_mask(digits, pgdat):
    few = digits.limit(20)
    mask = torch.zeros(20, 1, 8, 8, dtype=torch.bool)
    mask[:, :, 2:6, 2:6] = True
    spec = find_attack("cw-linf-20")
    free, inner = (attack(pgdat, few, spec, threat="0.3", mask=each) for each in (None, mask))
    assert free.robust.sum() < inner.robust.sum() < 20
    assert (inner.first_fault == -1).all()


def test_a_mask_for_all_images_and_a_limit(tmp_path):
    """The rows of the chosen images are taken, from arrays, with ids of one's own, and from a dataset."""
    draws = torch.Generator().manual_seed(0)
    masks = torch.rand(12, 4, 4, generator=draws) < 0.5
    masks[:, 0, 0] = True
    np.save(tmp_path / "mask.npy", masks.numpy())
    options: dict[str, Any] = {"eps": 0.3, "attacks": ["pgd-10"], "limit": 6, "device": "cpu"}
    chosen = robench.evaluate(Toy(), X, Y, **options)["pgd-10"].result.record.header.identity["data"]
    found = [
        robench.evaluate(Toy(), X, Y, mask=masks, **options),
        robench.evaluate(Toy(), X, Y, mask=str(tmp_path / "mask.npy"), **options),
        robench.evaluate(Toy(), torch.utils.data.TensorDataset(X, Y), mask=masks, **options),
    ]
    headers = [each["pgd-10"].result.record.header for each in found]
    assert len({header.identity["mask"] for header in headers}) == 1
    assert headers[0].identity["data"] == chosen
