"""The ledger names every example that a battery called robust and that another published attack breaks."""

import csv

from robench.report.ledger import CLAIMS, ledger, write_ledger
from robench.specs import battery_attacks
from robench.store import SHORT, write_file
from tests.support.queries import planted

CLAIMED = [0, 3, None, None, None]
"""One example misclassified clean, one broken, three claimed robust."""


def test_an_overturned_claim_is_named_with_its_breakers(tmp_path):
    fast = [planted(spec.name, CLAIMED) for spec in battery_attacks("fast")]
    records = [*fast, planted("pgd-20", [0, 3, 5, None, None]), planted("nes-80", [0, None, 7, 9, None])]
    write_file(tmp_path / "digits" / "pgdat.jsonl", records)
    found = ledger(tmp_path)
    # example 2 fell to two records of the same age: the first name counts
    assert [(row["example"], row["broken by"]) for row in found] == [("2", "nes-80"), ("3", "nes-80")]
    assert {(row["claimed by"], row["claim seed"], row["defense"]) for row in found} == {("fast", "0", "pgdat")}
    assert {row["record"] for row in found} == {records[-1].header.hash[:SHORT]}
    first = write_ledger(tmp_path).read_bytes()
    assert write_ledger(tmp_path).read_bytes() == first
    assert list(csv.DictReader(first.decode().splitlines())) == found


def test_no_battery_claims_what_it_did_not_run_to_the_end(tmp_path):
    some = [
        spec.name for spec in battery_attacks("paper") if spec.name not in {a.name for a in battery_attacks("fast")}
    ]
    write_file(tmp_path / "digits" / "pgdat.jsonl", [planted(some[0], CLAIMED), planted("square", [0, 3, 5, 5, 5])])
    assert ledger(tmp_path) == []
    assert {"fast", "paper", "autoattack"} == set(CLAIMS)
