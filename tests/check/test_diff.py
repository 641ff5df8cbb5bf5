"""`robench diff`: two defenses or two runs, paired by example."""

import csv
import io
import shutil

import pytest
from scipy.stats import binomtest

from robench.report import FORMATS
from robench.store import read_file, write_file
from tests.support.gates import FIELDS, PUBLISHED, damaged, edited

PGDAT = PUBLISHED / "pgdat.jsonl"


def rows(cli, *arguments):
    said = cli("diff", *arguments, "--format", "csv")
    assert (said.code, said.err) == (0, "")
    return {row["attack"]: row for row in csv.DictReader(io.StringIO(said.out))}


def test_two_defenses_by_name_are_counted_as_by_hand(cli):
    found = rows(cli, "digits/pgdat", "pgdat_he", "--battery", "quick")
    sides = [
        {r.header.attack.name: r for r in read_file(PUBLISHED / f"{name}.jsonl") if r.header.seed == 0}
        for name in ("pgdat", "pgdat_he")
    ]
    for name, row in found.items():
        if name in ("worst case", "clean"):
            continue
        a, b = (side[name].robust for side in sides)
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        assert (int(row["only A"]), int(row["only B"])) == (only_a, only_b)
        assert float(row["difference"]) == pytest.approx(100 * (only_b - only_a) / 540, abs=0.005)
        assert float(row["p"]) == pytest.approx(binomtest(only_a, only_a + only_b).pvalue, abs=0.0005)
    quick = ("fgsm", "pgd-20", "mim-20", "scaled-pgd-20", "adaptive-pgd-20", "control")
    assert list(found) == ["worst case", "clean", *quick]
    worst = sum(all(sides[0][name].robust[i] for name in quick) for i in range(540))
    assert float(found["worst case"]["A %"]) == pytest.approx(100 * worst / 540, abs=0.005)


def test_names_and_files_and_folders_give_the_same(cli, tmp_path):
    (tmp_path / "digits").mkdir()
    shutil.copy(PUBLISHED / "alp.jsonl", tmp_path / "digits")
    by_name = rows(cli, "pgdat", "alp", "--battery", "quick")
    assert rows(cli, PUBLISHED / "pgdat.jsonl", PUBLISHED / "alp.jsonl", "--battery", "quick") == by_name
    assert rows(cli, PUBLISHED / "pgdat.jsonl", tmp_path, "--battery", "quick") == by_name


@pytest.mark.slow
def test_two_runs_of_several_defenses_are_paired_by_name(cli, tmp_path):
    for run, seed in (("first", 0), ("second", 1)):
        command = ("eval", "--model", "pgdat", "--model", "alp", "--attack", "pgd-20", "--limit", 10)
        assert cli(*command, "--seed", seed, "--results", tmp_path / run).code == 0
    assert cli("eval", "--model", "trades", *command[5:], "--results", tmp_path / "second").code == 0
    said = cli("diff", tmp_path / "first", tmp_path / "second")
    assert said.code == 0
    assert "digits/pgdat pgd-20" in said.out
    assert "digits/alp pgd-20" in said.out
    assert "The seed differs: 0 in A, 1 in B." in said.out
    assert "the same network on both sides" in said.out
    assert "trades" not in said.out.partition("\n\n")[2].partition("\n\n")[0]
    assert "On one side only: digits/trades." in said.out


def test_a_run_of_damaged_weights_is_told_from_the_sound_one(cli, tmp_path):
    folder = damaged(tmp_path / "pgdat", 0.5)
    attack = ("--attack", "pgd-10")
    assert cli("eval", "--model", folder, *attack, "--results", tmp_path / "run").code == 0
    row = rows(cli, "pgdat", tmp_path / "run")["pgd-10"]
    assert float(row["difference"]) < -5
    assert row["p"] == "<0.001"
    assert "the same network" not in cli("diff", "pgdat", tmp_path / "run").out


def test_of_a_folder_with_older_weights_the_last_network_is_compared(cli, tmp_path):
    """However many more attacks the old one has in common."""
    (tmp_path / "new" / "digits").mkdir(parents=True)
    file = tmp_path / "new" / "digits" / "pgdat.jsonl"
    shutil.copy(PUBLISHED / "pgdat.jsonl", file)
    edited(file, lambda header, identity: (identity["model"].update(weights="0" * 64), header.update(created="2020")))
    add = [record for record in read_file(PUBLISHED / "pgdat.jsonl") if record.header.attack.name == "pgd-20"]
    write_file(file, [*read_file(file), *add])
    found = rows(cli, PUBLISHED / "pgdat.jsonl", tmp_path / "new")
    assert set(found) == {"clean", "pgd-20"}
    assert "the same network on both sides" in cli("diff", PUBLISHED / "pgdat.jsonl", tmp_path / "new").out


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_asked_for(cli, name):
    said = cli("diff", PGDAT, PUBLISHED / "alp.jsonl", "--battery", "quick", "--format", name)
    assert said.code == 0
    assert "mim-20" in said.out


@pytest.mark.parametrize("field", ["eps", "norm", "data", "ids", "size", "dataset"])
def test_other_data_or_threat_is_refused_by_name(cli, tmp_path, field):
    path = shutil.copy(PUBLISHED / "alp.jsonl", tmp_path)
    edited(tmp_path / "alp.jsonl", FIELDS[field][0])
    said = cli("diff", PGDAT, path)
    assert said.code == 3
    name = FIELDS[field][1].split()[0]
    assert name in said.sentence
    assert "in the first and" in said.sentence


@pytest.mark.parametrize("field", ["version", "spec", "parameter", "engine"])
def test_attacks_that_are_not_the_same_are_left_out_by_name(cli, tmp_path, field):
    path = tmp_path / "pgdat.jsonl"
    named = {
        name: [record for record in read_file(PUBLISHED / "pgdat.jsonl") if record.header.attack.name == name]
        for name in ("fgsm", "pgd-20")
    }
    write_file(path, named["fgsm"] + named["pgd-20"])
    everything = path.read_text()
    write_file(path, named["fgsm"])
    edited(path, FIELDS[field][0])
    write_file(path, [*read_file(path), *named["pgd-20"]])
    said = cli("diff", PGDAT, path)
    assert said.code == 0
    assert "Left out, not the same attack: fgsm" in said.out
    path.write_text(everything)
    edited(path, FIELDS[field][0])
    said = cli("diff", PGDAT, path)
    assert said.code == 3
    assert FIELDS[field][1].split()[0] in said.sentence


def test_nothing_in_common_is_refused(cli, tmp_path):
    command = ("eval", "--model", "pgdat", "--limit", 20, "--results")
    assert cli(*command, tmp_path / "a", "--attack", "fgsm").code == 0
    assert cli(*command, tmp_path / "b", "--attack", "pgd-1").code == 0
    said = cli("diff", tmp_path / "a", tmp_path / "b")
    assert said.code == 3
    assert "no attack in common" in said.sentence


def test_empty_sides_are_incomplete(cli, tmp_path):
    for arguments in ((tmp_path, "pgdat"), ("pgdat", "cifar10/pgdat")):
        said = cli("diff", *arguments)
        assert said.code == 3
        assert "no records" in said.sentence
