"""What the engine promises: independence of the batch, economy, free curves, seeds, hashes."""

from typing import Any

import numpy as np
import pytest
import torch

import robench
from robench.classifiers import load_model
from robench.classifiers.frozen import frozen_network
from robench.devices import sent
from robench.specs import AttackSpec, find_attack, list_attacks
from tests.support.marks import slow
from tests.support.networks import CPU, Linear, toy
from tests.support.runs import Counting, attack

FAMILIES = sorted(
    {
        spec.stream: spec.model_copy(update={"steps": min(spec.steps, 10), "restarts": min(spec.restarts, 2)})
        for spec in map(find_attack, list_attacks())
        if spec.algorithm
        not in ("autoattack", "autoattack_rand", "transfer")  # draws once a batch; is crafted elsewhere
    }.values(),
    key=lambda spec: spec.name,
)
"""One attack of each family, cut to ten steps and two restarts: those with more take the same path."""


@pytest.fixture
def small():
    """A small random network, and examples of which an eps of 0.03 breaks some and leaves others."""
    model, split = toy()
    with frozen_network(model, CPU) as frozen:
        yield frozen, split


@pytest.mark.parametrize("n", [8, slow(96)])
@pytest.mark.parametrize("spec", FAMILIES, ids=lambda spec: spec.name)
def test_verdicts_do_not_depend_on_batch_order_or_chunks(spec, n, small):
    network, split = small
    if n == 8:
        spec = spec.model_copy(update={"steps": min(spec.steps, 6)})
    if spec.algorithm == "antithetic":  # 33 queries a step instead of 257
        spec = spec.model_copy(update={"steps": 2, "params": {**spec.params, "directions": 16}})
    split, options = split.limit(n), {"threat": "0.03", "norm": "l2" if spec.algorithm == "cw_l2" else "linf"}
    base = attack(network, split, spec, **options)
    shuffled = torch.randperm(len(split), generator=torch.Generator().manual_seed(5))
    chunk_size = -(-5 * n // 12)
    others = {
        **{
            f"batch {size}": attack(network, split, spec, batch_size=size, **options) for size in (1, 7, 64) if size < n
        },
        "shuffled": attack(network, split, spec, order=shuffled, **options),
        "chunks, shuffled": attack(network, split, spec, order=shuffled, chunk_size=chunk_size, **options),
    }
    agree = {name: int((rows.robust == base.robust).sum()) for name, rows in others.items()}
    assert min(agree.values()) >= len(split) - 1, agree
    assert base.valid.all()


@pytest.mark.parametrize("n", [6, slow(96)])
def test_a_whole_cascade_does_not_depend_on_company(small, n):
    network, spec = small[0], find_attack("cascade")
    split = small[1].limit(n)
    base = attack(network, split, spec, threat="0.02")
    assert 0 < base.robust.sum() < n
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(5))
    parts = attack(network, split, spec, threat="0.02", order=shuffled, chunk_size=-(-4 * n // 15))
    for other in (attack(network, split, spec, threat="0.02", batch_size=min(7, n - 1)), parts):
        assert (other.robust == base.robust).sum() >= n - 1


def test_random_starts_agree_exactly_whatever_the_company(digits):
    from robench.numerics.randomness import ExampleRandom

    ids = tuple(digits.ids.tolist())
    whole = ExampleRandom(0, "s", ids).uniform((1, 8, 8), 3, "start")
    alone = torch.cat([ExampleRandom(0, "s", (i,)).uniform((1, 8, 8), 3, "start") for i in ids])
    assert torch.equal(whole, alone)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(1))
    assert torch.equal(ExampleRandom(0, "s", ids).take(order).uniform((1, 8, 8), 3, "start"), whole[order])


def test_draws_differ_by_seed_stream_id_restart_step_and_purpose():
    from robench.numerics.randomness import ExampleRandom

    base = ExampleRandom(0, "s", (1,))
    draws = [
        base.uniform((4,), 0, "start"),
        ExampleRandom(1, "s", (1,)).uniform((4,), 0, "start"),
        ExampleRandom(0, "t", (1,)).uniform((4,), 0, "start"),
        ExampleRandom(0, "s", (2,)).uniform((4,), 0, "start"),
        ExampleRandom(0, "s", (1,), restart=1).uniform((4,), 0, "start"),
        base.uniform((4,), 1, "start"),
        base.uniform((4,), 0, "target"),
    ]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == len(draws)


def test_an_attack_that_breaks_everything_at_once_costs_two_forwards(digits):
    w = torch.ones(64)
    x = digits.x[:50]
    model = Linear(w, -float(x.flatten(1).sum(1).min()) + 1e-3).eval()
    verdict = robench.evaluate(model, x, torch.ones(50, dtype=torch.long), attacks=["bim-10"], eps=0.9)["bim-10"]
    assert verdict.robust_accuracy == 0.0
    assert verdict.result.forwards <= 2 * 50


def test_clean_misclassified_examples_cost_nothing(digits):
    model, digits = load_model("pgdat"), digits.limit(80)
    y = digits.y.clone()
    y[::2] = (y[::2] + 1) % 10
    with frozen_network(model, CPU) as frozen:
        from robench.data.split import Split

        rows = attack(frozen, Split.checked("half", digits.x, y), find_attack("pgd-20"))
    wrong = ~rows.clean
    assert 40 <= wrong.sum() < 60
    assert rows.forwards[wrong].sum() == rows.backwards[wrong].sum() == 0
    assert (rows.step[wrong] == 0).all()
    assert not rows.robust[wrong].any()


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("mim-20", 40),
        ("cascade", 8),
        ("fab", 8),
        ("reference-apgd-ce", 8),
        slow("cascade", 96),
        slow("fab", 96),
        slow("reference-fab-t", 10),
    ],
)
def test_the_record_counts_every_pass(name, n):
    model, split = toy()
    counting, spec = Counting(model), find_attack(name)
    if (name, n) == ("fab", 8):
        spec = spec.model_copy(update={"steps": 20})
    with frozen_network(counting.eval(), CPU) as frozen:
        job_rows = attack(frozen, split.limit(n), spec, threat="0.03")
    assert 0 < job_rows.robust.sum() < n
    clean_and_judge = n + int((job_rows.clean & ~job_rows.robust).sum())
    assert counting.seen["forwards"] == job_rows.forwards.sum() + clean_and_judge
    assert counting.seen["backwards"] == job_rows.backwards.sum()


def test_a_prefix_equals_the_short_run_and_costs_nothing(digits):
    model = load_model("pgdat_he")
    x, y, ids = digits.x[:12], digits.y[:12], digits.ids[:12]
    both = robench.evaluate(model, x, y, ids=ids, attacks=["pgd-20", "pgd-100"], eps="0.2")
    alone = robench.evaluate(model, x, y, ids=ids, attacks=["pgd-20"], eps="0.2")
    assert both["pgd-20"].result.source == "prefix"
    assert both["pgd-20"].result.forwards == both["pgd-20"].result.backwards == 0
    assert alone["pgd-20"].result.forwards > 0
    assert (both["pgd-20"].result.record.robust == alone["pgd-20"].result.record.robust).all()
    assert both["pgd-100"].accuracy_after(20) == alone["pgd-20"].robust_accuracy
    assert both["pgd-100"].accuracy_after(100) == both["pgd-100"].robust_accuracy < alone["pgd-20"].clean_accuracy


@pytest.mark.slow
def test_prefix_after_a_stored_longer_run_costs_nothing(digits, tmp_path):
    model = load_model("pgdat")
    arguments = {"eps": "0.2", "results": tmp_path}
    robench.evaluate(model, digits.x[:10], digits.y[:10], attacks=["pgd-500"], **arguments)
    later = robench.evaluate(model, digits.x[:10], digits.y[:10], attacks=["pgd-20"], **arguments)
    assert later["pgd-20"].result.forwards == later["pgd-20"].result.backwards == 0


def test_restarts_and_last_have_no_prefix():
    spec = find_attack("pgd-20")
    assert spec.is_prefix_closed
    assert not spec.model_copy(update={"restarts": 2}).is_prefix_closed
    assert not spec.model_copy(update={"success": "last"}).is_prefix_closed


def test_more_restarts_never_help_the_defense(small):
    network, split = small
    spec = find_attack("pgd-10")
    one = attack(network, split, spec, threat="0.02")
    three = attack(network, split, spec.model_copy(update={"restarts": 3}), threat="0.02")
    assert not (three.robust & ~one.robust).any()
    assert set(three.restart[three.clean & ~three.robust]) - {0}
    assert three.robust.sum() < one.robust.sum()


def test_last_is_never_stronger_than_any(digits, pgdat):
    spec = find_attack("pgd-10")
    any_rows = attack(pgdat, digits.limit(60), spec)
    last = spec.model_copy(update={"success": "last"})
    last_rows = attack(pgdat, digits.limit(60), last)
    assert last_rows.robust.sum() >= any_rows.robust.sum()
    broken = last_rows.clean & ~last_rows.robust
    assert (last_rows.step[broken] == 10).all()
    assert (last_rows.forwards[last_rows.clean] == 11).all()


def test_same_seed_same_record_other_seed_another(digits, pgdat):
    spec = find_attack("pgd-10")
    a, b, c = (attack(pgdat, digits.limit(40), spec, seed=seed) for seed in (0, 0, 1))
    for name, column in a.columns().items():
        same = b.columns()[name]
        if column.dtype == object:
            assert column.tolist() == same.tolist()
        else:
            np.testing.assert_array_equal(column, same)
    assert a.adversarial.tolist() != c.adversarial.tolist()


@pytest.fixture(scope="module")
def hash_of():
    """The hash of the record of an evaluation on a few examples."""
    usual, split = toy()

    def found(model=None, eps="0.2", spec=None, seed=0, n=4, precision="fp32"):
        spec, options = spec or find_attack("fgsm"), {"eps": eps, "seed": seed, "precision": precision}
        verdict = robench.evaluate(model or usual, split.x[:n], split.y[:n], attacks=[spec], **options)[spec.name]
        return verdict.result.record.header.hash

    return found


def test_whatever_can_change_a_verdict_changes_the_hash(hash_of):
    retrained = toy()[0]
    with torch.no_grad():
        next(retrained.parameters()).add_(1e-4)
    fgsm = find_attack("fgsm")
    stepped = fgsm.model_copy(update={"params": {**fgsm.params, "rel_step": 0.5}})
    hashes = [
        hash_of(),
        hash_of(model=retrained),
        hash_of(eps="0.19"),
        hash_of(spec=stepped),
        hash_of(spec=fgsm.model_copy(update={"steps": 2})),
        hash_of(spec=fgsm.model_copy(update={"success": "last"})),
        hash_of(seed=1),
        hash_of(n=5),
        hash_of(precision="bf16"),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hash_of() == hashes[0]
    assert hash_of(eps="1/5") == hashes[0]
    renamed = AttackSpec(**{**fgsm.model_dump(), "name": "renamed", "about": "other words"})
    assert hash_of(spec=renamed) == hashes[0]


def test_0031_is_not_8_255(hash_of):
    assert hash_of(eps="0.031") != hash_of(eps="8/255")


@pytest.mark.parametrize("n", [16, slow(540)])
def test_the_judge_settles_a_bf16_search(digits, n):
    model, few = load_model("pgdat_he"), digits.limit(n)
    arguments: dict[str, Any] = {"attacks": ["pgd-20"], "eps": "0.2"}
    full = robench.evaluate(model, few.x, few.y, **arguments)["pgd-20"].result.record
    half = robench.evaluate(model, few.x, few.y, precision="bf16", **arguments)["pgd-20"].result.record
    assert half.header.invalid == 0
    assert 0 < full.robust.sum() < n
    assert (full.robust != half.robust).sum() <= max(1, 0.03 * n)


@pytest.mark.gpu
def test_what_is_sent_to_a_gpu_arrives_whole():
    images = [torch.rand(512, 3, 32, 32) for _ in range(8)]
    there = [sent(each, torch.device("cuda")) for each in images]
    assert all(torch.equal(each.cpu(), image) for each, image in zip(there, images, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("spec", FAMILIES, ids=lambda spec: spec.name)
def test_gpu_verdicts_equal_cpu_verdicts(spec, digits):
    model = load_model("pgdat_he")
    verdicts = [
        robench.evaluate(model, digits.x, digits.y, attacks=[spec], eps="0.2", device=device)[spec.name]
        for device in ("cpu", "cuda")
    ]
    a, b = (verdict.result.record.robust for verdict in verdicts)
    assert np.mean(a == b) >= 0.995
