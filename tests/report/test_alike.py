"""Rows that look alike are told apart; the first table is untargeted; a table that says nothing is left out."""

import re

import pytest

import robench
from robench.paths import data_root
from robench.report.groups import groups
from robench.report.robustness import robustness
from robench.store import read_file
from tests.support.groups import evaluated, written


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Networks of one name with other normalisations or other code, one of them also under attacks with a target."""
    folder = tmp_path_factory.mktemp("alike")
    code, data, _ = written(folder)
    results = folder / "results"
    evaluated(code, "one", data, "0.05", results)
    evaluated(code, "one", data, "0.05", results, "--mean", "0.5", "--std", "0.25")
    evaluated(code, "two", data, "0.05", results)
    (folder / "net.py").write_text((folder / "net.py").read_text().replace("make(2)", "make(3)"))
    evaluated(code, "two", data, "0.05", results)
    for attack in ("pgd-1", "pgd-2", "mim-20"):
        evaluated(code, "two", data, "0.05", results, "--target", 3, "--attack", attack)
    return results


def test_two_normalisations_of_one_file_are_told_apart(cli, stored):
    said = cli("report", "robustness", "--results", stored)
    assert said.code == 0, said.err
    note, other = [line for line in said.out.splitlines() if line.startswith("Networks of one name.")]
    assert len(set(re.findall(r"test/net-two@[0-9a-f]{8}: weights ([0-9a-f]{16}), code [0-9a-f]{16}", other))) == 2
    plain, scaled = sorted(note.removeprefix("Networks of one name. ").rstrip(".").split("; "), key=len)
    assert plain.startswith("test/net-one@")
    assert plain.endswith(": images not normalised (as said)")
    assert scaled.endswith(": images normalised by mean 0.5, std 0.25 (as said)")
    assert plain[:21] != scaled[:21]


def test_the_form_of_the_network_in_the_search_is_said_but_parts_no_table():
    records = []
    for model, search in (("pgdat", "plain"), ("standard", "fused")):
        (first, *_) = read_file(data_root() / "results" / "digits" / f"{model}.jsonl")
        first.header = first.header.model_copy(update={"search": search})
        records.append(first)
    (group,) = groups(records)
    assert any(
        "The form of the network in the search differs" in note
        and "fused: digits/standard; plain: digits/pgdat." in note
        for note in robustness(group).notes
    )


def test_the_group_without_a_target_goes_first(stored):
    table = robench.table("robustness", results=stored)
    assert not any("target" in note for note in table.notes[:1])
    assert any("Other groups" in note and "target 3" in note for note in table.notes)


def test_an_overestimate_of_one_attack_is_left_out_unless_asked_for(cli, stored):
    said = cli("report", "--results", stored)
    assert "Robust accuracy" in said.out
    assert "points of accuracy above the worst case" not in said.out
    asked = cli("report", "overestimate", "--results", stored)
    assert "points of accuracy above the worst case" in asked.out
