"""The advice of a trust verdict is a plan: what is left to run, never what has a record, and it ends."""

import numpy as np
import pytest

import robench
from robench.classifiers import load_model
from robench.report.advice import STRONGEST
from robench.report.trust import trust
from robench.specs import diagnostics, find_attack, list_attacks
from tests.support.records import supposed
from tests.support.toys import evaluate

BAD = {"false-gradients": 1.0, "zero-gradients": 1.0, "unfinished": 1.0, "scale": 50.0, "too-short": 1.0}
N = 12


@pytest.fixture(scope="module")
def base():
    return evaluate(attacks=["pgd-1"]).results[0].record


def verdict(base, names, found, elsewhere=()):
    robust = np.ones(N, dtype=bool)
    return trust([supposed(base, find_attack(name), robust, dict(found)) for name in names], elsewhere=elsewhere)


@pytest.mark.parametrize("start", [["fgsm"], ["square"], ["cascade", "control"], ["pgd-100", "square"], ["rays"]])
@pytest.mark.parametrize(
    "found",
    [BAD, {"false-gradients": 1.0}, {"unfinished": 1.0}, {"survivors-at-unlimited-eps": 1.0, "shown": 1.0}],
    ids=["all", "false gradients", "unfinished", "a service"],
)
def test_following_the_advice_ends(base, start, found):
    ran, rounds = list(start), 0
    while advised := verdict(base, ran, found).next:
        assert not set(advised).intersection(ran)
        ran += advised
        rounds += 1
    assert rounds <= len(list_attacks())
    assert rounds <= len({each.next for each in diagnostics().values()} | set(STRONGEST))


def test_one_after_the_other_is_no_circle(base):
    """Square, then the cascade, then nothing that was run: each alone, the other stored."""
    first = verdict(base, ["cascade"], {"false-gradients": 1.0})
    assert first.next == ("square",)
    second = verdict(base, ["square"], {"false-gradients": 1.0}, elsewhere=["cascade", "square"])
    assert second.next == ()
    assert "`robench report` joins their records" in second.sentence()
    joined = verdict(base, ["cascade", "square"], {"false-gradients": 1.0})
    assert not {"cascade", "square"}.intersection(joined.next)


def test_nothing_left_says_what_to_do(base):
    everything = [name for name in list_attacks() if find_attack(name).access != "transfer"]
    said = verdict(base, everything, {"false-gradients": 1.0}).sentence()
    assert "No attack is left to run: quote the accuracy as an upper bound" in said
    assert "--battery transfer --substitute NAME" in said
    assert "without the fault" in said
    service = verdict(base, ["rays", "square"], {"shown": 2.0}).sentence()
    assert "evaluate the network itself" in service


def test_stored_records_are_part_of_the_plan(cli, tmp_path):
    where = ("--limit", 12, "--results", tmp_path)
    first = cli("eval", "--model", "pgdat", "--attack", "fgsm", *where)
    assert "Run next: pgd-100, cascade." in " ".join(first.out.split())
    assert "Price in forward plus backward passes, at most: pgd-100" in " ".join(first.out.split())
    cli("eval", "--model", "pgdat", "--attack", "pgd-100", *where)
    again = " ".join(cli("eval", "--model", "pgdat", "--attack", "fgsm", *where).out.split())
    assert "Run next: cascade." in again


def test_attacks_of_one_evaluation_do_not_advise_each_other(digits):
    report = robench.evaluate(
        load_model("pgdat"), digits.x[:12], digits.y[:12], eps="0.2", attacks=["fgsm", "pgd-2", "cw-linf-20"]
    )
    ran = {"fgsm", "pgd-2", "cw-linf-20"}
    assert not any(ran.intersection(row["trust"]["next"]) for row in report.rows())


def test_no_attack_is_advised_that_cannot_run(base):
    two = {"false-gradients": 1.0, "two-classes": 1.0}
    assert verdict(base, ["cascade", "square"], {"false-gradients": 1.0}).next == ("autoattack",)
    assert verdict(base, ["cascade", "square"], two).next == ("rays",)
    everything = evaluate(attacks=["pgd-1"], norm="l2").results[0].record
    assert verdict(everything, ["cascade", "square"], two).next == ()
