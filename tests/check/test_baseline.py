"""The baseline that `robench check` reads and writes."""

import shutil

import pytest

from tests.support.gates import PUBLISHED, SMALL, damaged
from tests.support.seals import unsealed_lines


def test_update_shows_what_changes_and_drops_other_weights(cli, baseline, tmp_path):
    assert "nothing changed" in cli(*SMALL, "--baseline", baseline, "--update").out
    folder = damaged(tmp_path / "pgdat", 1.0)
    said = cli(*SMALL, "--model", folder, "--baseline", baseline, "--update")
    assert said.code == 2
    assert "two different defenses are called digits/pgdat" in said.sentence
    changed = ["check", "--model", folder, *SMALL[3:], "--baseline", baseline]
    assert cli(*changed).code == 1
    said = cli(*changed, "--update")
    assert said.code == 0
    assert "regression" in said.out
    assert f"{baseline}: 2 added (fgsm, pgd-20); 2 of other weights removed" in said.out
    assert cli(*changed).code == 0


def test_an_unregistered_defense_never_becomes_the_default_baseline(cli, tmp_path):
    folder = damaged(tmp_path / "pgdat", 0.1)
    said = cli("check", "--model", folder, "--attack", "fgsm", "--update")
    assert said.code == 2
    assert "--baseline" in said.sentence
    assert "digits/pgdat@" in said.sentence


@pytest.mark.slow
def test_update_keeps_the_lines_of_others_and_of_other_attacks(cli, tmp_path):
    path = shutil.copy(PUBLISHED / "pgdat.jsonl", tmp_path)
    before = (tmp_path / "pgdat.jsonl").read_text() + (PUBLISHED / "alp.jsonl").read_text()
    (tmp_path / "pgdat.jsonl").write_text(before)
    assert cli("check", "--model", "pgdat", "--attack", "pgd-20", "--baseline", path, "--update").code == 0
    kept = [*unsealed_lines(PUBLISHED / "pgdat.jsonl"), *unsealed_lines(PUBLISHED / "alp.jsonl")]
    assert sorted(unsealed_lines(tmp_path / "pgdat.jsonl")) == sorted(kept)


def test_a_folder_gets_a_file_a_defense(cli, tmp_path):
    command = ("check", "--model", "pgdat", "--model", "alp", "--attack", "fgsm", "--limit", 20)
    assert cli(*command, "--baseline", tmp_path, "--update").code == 0
    assert sorted(path.name for path in (tmp_path / "digits").iterdir()) == ["alp.jsonl", "pgdat.jsonl"]
    said = cli("check", "--attack", "fgsm", "--limit", 20, "--baseline", tmp_path)
    assert said.code == 0
    assert "4 cells of 2 defenses" in said.out


def test_raw_records_are_no_baseline_and_are_reused_on_request_only(cli, baseline, tmp_path):
    kept = (*SMALL, "--baseline", baseline, "--results", tmp_path / "kept")
    assert "Attacks: 2 of 2 run now" in cli(*kept).out
    assert "Attacks: 0 of 2 run now, in 0.0 s, 2 read from earlier or longer runs" in cli(*kept).out
    assert "Attacks: 2 of 2 run now" in cli(*SMALL, "--baseline", baseline).out
    said = cli(*SMALL, "--baseline", tmp_path / "kept")
    assert said.code == 3
    assert "has no records of digits/pgdat" in said.sentence
