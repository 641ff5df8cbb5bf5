"""What `robench check` refuses (fault 16), by name and with a mend that works."""

import pytest

from robench.store import read_file, write_file
from tests.support.gates import FIELDS, SMALL, damaged, edited
from tests.support.marks import slow


@pytest.mark.parametrize("field", FIELDS)
def test_another_field_is_refused_by_name(cli, baseline, field):
    change, words = FIELDS[field]
    edited(baseline, change)
    said = cli(*SMALL, "--baseline", baseline)
    assert said.code == 3
    assert str(baseline) in said.sentence
    assert "under fgsm, pgd-20" in said.sentence
    assert words in said.sentence
    assert "--update" in said.sentence


@pytest.mark.parametrize("field", ["version", *map(slow, ("data", "eps"))])
def test_the_mend_of_a_refusal_works(cli, baseline, field):
    edited(baseline, FIELDS[field][0])
    said = cli(*SMALL, "--baseline", baseline, "--update")
    assert said.code == 0
    assert FIELDS[field][1].partition(":")[0] in said.out
    assert cli(*SMALL, "--baseline", baseline).code == 0


@pytest.mark.slow
def test_missing_attacks_are_named(cli, baseline):
    said = cli(*SMALL, "--attack", "mim-20", "--baseline", baseline)
    assert said.code == 3
    assert "it lacks mim-20" in said.sentence
    assert cli(*SMALL, "--attack", "mim-20", "--baseline", baseline, "--update").code == 0
    assert [record.header.attack.name for record in read_file(baseline)] == ["fgsm", "pgd-20", "mim-20"]
    assert cli(*SMALL, "--attack", "mim-20", "--baseline", baseline).code == 0


def test_an_attack_that_applies_to_neither_side_is_no_obstacle(cli, tmp_path):
    path = tmp_path / "he.jsonl"
    command = ("check", "--model", "pgdat_he", "--attack", "fgsm", "--attack", "fn-pgd-20", "--limit", 20)
    assert cli(*command, "--baseline", path, "--update").code == 0
    said = cli(*command, "--baseline", path)
    assert said.code == 0
    assert "fn-pgd-20: skipped" in said.out


def test_an_attack_that_applies_no_more_is_named(cli, tmp_path):
    path = tmp_path / "he.jsonl"
    command = ("check", "--attack", "fgsm", "--attack", "fn-pgd-20", "--limit", 20, "--baseline", path)
    assert cli(*command, "--model", "pgdat", "--update").code == 0

    def renamed(header, identity):
        header["model"] = "digits/pgdat_he"

    edited(path, renamed)
    said = cli(*command, "--model", "pgdat_he")
    assert said.code == 3
    assert "it has fn-pgd-20, which was skipped here, the network normalises its features itself" in said.sentence


def test_two_networks_of_one_name_are_refused(cli, baseline):
    other = next(read_file(baseline))
    edited(baseline, lambda header, identity: identity["model"].update(weights="0" * 64))
    write_file(baseline, [*read_file(baseline), other])
    said = cli(*SMALL, "--baseline", baseline)
    assert said.code == 3
    assert "2 different networks called digits/pgdat" in said.sentence


@pytest.mark.parametrize("path", ["nothing.jsonl", "nothing"])
def test_no_baseline_is_incomplete(cli, tmp_path, path):
    for models in ((), ("--model", "pgdat")):
        said = cli("check", *models, "--baseline", tmp_path / path)
        assert said.code == 3
        assert str(tmp_path / path) in said.sentence
        assert "--update" in said.sentence


def test_too_few_examples_cannot_pass_by_chance(cli, tmp_path):
    command = ("check", "--model", "pgdat", "--attack", "fgsm", "--limit", 5, "--baseline", tmp_path / "b.jsonl")
    for said in (cli(*command, "--update"), cli(*command)):
        assert said.code == 3
    assert "5 examples of digits/pgdat cannot show a regression" in cli(*command, "--update").sentence
    assert not (tmp_path / "b.jsonl").exists()


def test_a_new_baseline_drops_nothing_unseen(cli, baseline):
    """Of an older network only what is measured anew is replaced."""
    edited(baseline, lambda header, identity: identity["model"].update(weights="0" * 64))
    before = baseline.read_text()
    said = cli("check", "--model", "pgdat", "--attack", "fgsm", "--baseline", baseline, "--update")
    assert said.code == 2
    assert "holds pgd-20 of the older network" in said.sentence
    assert "--attack pgd-20" in said.sentence
    assert baseline.read_text() == before
    assert cli(*SMALL, "--baseline", baseline, "--update").code == 0


def test_a_baseline_is_a_jsonl_file_or_a_folder(cli, tmp_path):
    said = cli(*SMALL, "--baseline", tmp_path / "base.txt", "--update")
    assert said.code == 2
    assert ".jsonl" in said.sentence
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_seen_wherever_the_verdict_is_looked_for(cli, baseline, tmp_path, monkeypatch):
    """Bad input too must not leave last week's verdict in place."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    said = cli(*SMALL, "--baseline", baseline, "--eps", "nan", "--junit", tmp_path / "j.xml")
    assert said.code == 2
    assert "::error" in said.out
    for name in ("j.xml", "summary.md"):
        assert "is not a number" in (tmp_path / name).read_text()


def test_a_summary_that_cannot_be_written_hides_no_verdict(cli, baseline, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    said = cli(*SMALL, "--baseline", baseline)
    assert said.code == 0
    assert "cannot be written" in said.err


def test_a_damaged_baseline_is_bad_input(cli, baseline):
    baseline.write_text(baseline.read_text()[:200])
    said = cli(*SMALL, "--baseline", baseline)
    assert said.code == 2
    assert str(baseline) in said.sentence


def test_unregistered_defenses_of_a_baseline_need_their_cards(cli, tmp_path):
    folder = damaged(tmp_path / "mine", 0.1)
    command = ("check", "--attack", "fgsm", "--limit", 20, "--baseline", tmp_path / "mine.jsonl")
    assert cli(*command, "--model", folder, "--update").code == 0
    said = cli(*command)
    assert said.code == 2
    assert "digits/mine@" in said.sentence
    assert "--model" in said.sentence
    assert cli(*command, "--model", folder).code == 0
