"""What one of the paper's tables may show together."""

import pytest

from robench.report.leaderboard import leaderboard
from robench.report.paper import VerdictSource, View, paper_table
from robench.report.publish import publish_records
from robench.report.selection import latest_per_key
from robench.specs import ThreatModel, digest, find_card
from robench.store import Record, write_file
from tests.support.queries import planted

FIRST = [0, 3, None, None]


def changed(record, created="", threat=None, seed=None, params=None, ids=None):
    """The record as if it had been made with something else."""
    header, identity = record.header, dict(record.header.identity)
    update = {"created": created} if created else {}
    if threat:
        update["threat"] = ThreatModel.parse("linf", threat)
        identity["threat"] = {"norm": "linf", "eps": update["threat"].eps}
    if seed is not None:
        update["seed"] = identity["seed"] = seed
    if ids:
        identity["data"] = {**identity["data"], "ids": ids}
    if params:
        identity["attack"] = {**identity["attack"], "params": {**identity["attack"]["params"], **params}}
        update["attack"] = header.attack.model_copy(update={"params": {**header.attack.params, **params}})
    new = header.model_copy(update={**update, "identity": identity, "hash": digest(identity)})
    return Record(new, record.clean, record.robust, record.step, queries=record.queries)


def kept(folder, *records):
    by_model = {}
    for record in records:
        by_model.setdefault(record.header.model.rpartition("/")[2], []).append(record)
    for name, mine in by_model.items():
        write_file(folder / "digits" / f"{name}.jsonl", mine)
    return VerdictSource("digits", folder)


def test_records_compare_on_the_same_examples_threat_model_and_seed_whatever_the_network():
    record = planted("pgd-20", FIRST)
    assert planted("mim-20", FIRST, "digits/alp").comparison_key == record.comparison_key
    others = [changed(record, threat="0.1"), changed(record, seed=3), changed(record, ids="0" * 64)]
    assert record.comparison_key not in [other.comparison_key for other in others]


def test_defenses_on_other_examples_are_ranked_apart(tmp_path):
    kept(tmp_path, planted("pgd-20", FIRST), changed(planted("pgd-20", FIRST, "digits/alp"), ids="0" * 64))
    ranks = list(leaderboard(tmp_path).rows)
    assert len(ranks) == 2
    assert all(rank.startswith("digits, linf 0.2, 4 examples, examples ") and rank.endswith(": 1") for rank in ranks)


def test_one_threat_model_a_table_the_usual_one_if_it_is_there(tmp_path):
    here, there = planted("pgd-20", FIRST), planted("pgd-20", FIRST, "digits/alp")
    more = [changed(planted(name, FIRST, "digits/alp"), threat="0.1") for name in ("pgd-20", "mim-20", "fgsm")]
    source = kept(tmp_path, here, there, *more)
    assert source.record("alp", "pgd-20").header.threat.text == "0.2"
    assert source.record("alp", "mim-20") is None
    assert "linf 0.2" in source.setting()


def test_one_seed_a_table(tmp_path):
    records = [planted("pgd-20", FIRST), planted("mim-20", FIRST), changed(planted("fgsm", FIRST), seed=3)]
    source = kept(tmp_path, *records)
    assert source.record("pgdat", "fgsm") is None
    assert "--attack fgsm" in next(iter(source.fill()))


def test_another_stanza_under_the_same_name_is_not_shown(tmp_path):
    record = planted("pgd-20", FIRST)
    other = changed(record, params={"rel_step": 0.9})
    assert kept(tmp_path, other).record("pgdat", "pgd-20") is None


def test_a_newer_record_of_another_stanza_does_not_displace_the_declared_one():
    record = planted("pgd-20", FIRST)
    other = changed(record, params={"rel_step": 0.9}, created="2030-01-01T00:00:00+00:00")
    assert latest_per_key([record, other]) == latest_per_key([other, record]) == [record]


def test_examples_of_a_network_that_is_no_more_give_way(tmp_path):
    def crafted(weights, created):
        record = planted("transfer-pgd-20", FIRST)
        attack = record.header.attack.model_copy(update={"name": "transfer-pgd-20-from-alp"})
        header = record.header.model_copy(update={"attack": attack})
        made = Record(header, record.clean, record.robust, record.step)
        return changed(made, created, params={"substitutes": ["digits/alp"], "networks": [weights]})

    now = crafted(digest(find_card("alp").identity()), "2025-01-01T00:00:00+00:00")
    old = crafted("0" * 64, "2030-01-01T00:00:00+00:00")
    assert latest_per_key([old, now]) == [now]
    assert kept(tmp_path, old).record("pgdat", "transfer-pgd-20-from-alp") is None


def test_records_on_other_examples_are_no_part_of_a_table(tmp_path):
    short = planted("pgd-20", [3, None], "digits/pgdat_he")
    source = kept(tmp_path, planted("pgd-20", FIRST), planted("mim-20", FIRST), short)
    assert source.record("pgdat_he", "pgd-20") is None


@pytest.mark.parametrize("name", ["table2", "table3", "seeds", "he-paired", "appendix-table1", "fig2"])
def test_datasets_without_the_papers_defenses_have_empty_tables(name, tmp_path):
    record = planted("pgd-20", FIRST)
    header = record.header.model_copy(
        update={"dataset": "mine", "identity": {**record.header.identity, "data": {"name": "mine", "n": 4}}}
    )
    header = header.model_copy(update={"hash": digest(header.identity), "model": "mine/net"})
    write_file(tmp_path / "mine" / "net.jsonl", [Record(header, record.clean, record.robust, record.step)])
    table = paper_table(name, VerdictSource("mine", tmp_path), View(against=True))
    assert all(
        "(paper)" in column or column in ("seed", "epochs (paper)") for row in table.rows.values() for column in row
    )


def test_publishing_a_record_with_new_diagnostics_replaces_the_line(tmp_path):
    record = planted("pgd-20", FIRST)
    measured = replace_header(record, diagnostics={"zero-gradients": 0.0})
    (path,) = publish_records(tmp_path, [record])
    before = path.read_text()
    publish_records(tmp_path, [record])
    assert path.read_text() == before
    publish_records(tmp_path, [measured])
    assert path.read_text() != before


def replace_header(record, **update):
    return Record(record.header.model_copy(update=update), record.clean, record.robust, record.step)
