"""`robench check` from end to end: what fails, what passes, and where it is told."""

import json
import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from junitparser import JUnitXml

from robench.algorithms.mim import MIM
from robench.check.github import error
from robench.store import read, read_file, write_file
from tests.support.gates import FIELDS, PUBLISHED, SMALL, damaged, edited, lost_ids, plant, reproduction, turned
from tests.support.marks import slow

# ---- What it catches, and what it lets pass ----


def test_a_planted_regression_of_two_and_a_half_points_fails(cli, now, tmp_path):
    places = plant(tmp_path / "pgdat.jsonl", "pgdat", 14, now.attacks)
    junit, count = tmp_path / "new" / "junit.xml", len(now.attacks)
    said = cli(*now.command, "--baseline", tmp_path / "pgdat.jsonl", "--junit", junit)
    assert said.code == 1
    assert f"FAILED: {count + 1} of {count + 2} cells of 1 defense regressed (1 same)" in said.out
    ids = lost_ids(junit, now.last)
    assert len(ids) == len(places)
    row = next(line for line in said.out.splitlines() if line.startswith(f"digits/pgdat {now.last}"))
    assert "-2.59" in row
    assert f"14: {', '.join(map(str, ids[:5]))}, ..." in row
    assert "clean" in said.out
    assert cli(*reproduction(said.out), "--results", tmp_path / "one").out.count(" 0.00") >= 2


def test_damaged_weights_fail_and_the_command_reproduces_an_example(cli, tmp_path):
    folder = damaged(tmp_path / "pgdat", 0.3)
    attacks = ("--attack", "fgsm", "--attack", "pgd-2")
    said = cli("check", "--model", folder, *attacks, "--baseline", PUBLISHED / "pgdat.jsonl")
    assert said.code == 1
    assert "another network than the baseline's" in said.out
    again = cli(*reproduction(said.out), "--results", tmp_path / "one")
    assert again.code == 0
    assert re.search(r"worst case 0\.00%.*100\.00% clean", again.out)
    assert "1 examples" in again.out
    assert f"--model {folder}" in said.out


def test_published_records_pass_as_they_are(cli, tmp_path):
    said = cli("check", "--model", "pgdat", "--model", "pgdat_he", "--attack", "fgsm")
    assert said.code == 0
    assert "passed: none of 4 cells of 2 defenses regressed" in said.out
    assert "the same network as the baseline's" in said.out
    assert "Attacks: 2 of 2 run now" in said.out


def test_a_baseline_older_than_the_control_still_compares(cli, tmp_path):
    baseline = tmp_path / "pgdat.jsonl"
    command = ("check", "--model", "pgdat", "--limit", 20, "--baseline", baseline)
    assert cli(*command, "--attack", "fgsm", "--update").code == 0
    said = cli(*command, "--attack", "fgsm", "--attack", "control")
    assert said.code == 0
    assert "none of 2 cells of 1 defense regressed" in said.out
    assert "control: not compared, it is newer than the baseline (--update adds it)" in " ".join(said.out.split())
    assert cli(*command, "--attack", "control").code == 3
    assert cli(*command, "--attack", "fgsm", "--attack", "control", "--update").code == 0
    assert "not compared" not in cli(*command, "--attack", "fgsm", "--attack", "control").out


QUICKLY = ("--battery", "quick")


@pytest.mark.parametrize(
    ("seed", "attacks"),
    [(1, ("--attack", "pgd-10")), *(slow(seed, QUICKLY) for seed in (1, 2, 3))],
)
def test_other_seeds_stay_silent(cli, seed, attacks):
    said = cli("check", "--model", "pgdat", *attacks, "--seed", seed)
    assert said.code == 0
    assert f"seed {seed}; the same network as the baseline's, which has seed 0." in said.out
    assert re.search(r"pgd-[12]0 .* (lower|higher)", said.out), "another seed turns some verdicts"


def test_an_improvement_is_shown_and_passes(cli, baseline):
    def broken(header, identity):
        n = header["n"]
        if header["attack"]["name"] == "pgd-20":
            header["robust"], header["steps"] = "00" * -(-n // 8), [0] * bin(int(header["clean"], 16)).count("1")

    edited(baseline, broken)
    said = cli(*SMALL, "--baseline", baseline)
    assert said.code == 0
    assert re.search(r"pgd-20 .* higher", said.out)


def test_the_allowed_drop_is_allowed(cli, now, tmp_path):
    plant(tmp_path / "pgdat.jsonl", "pgdat", 14, now.attacks)
    command = (*now.command, "--baseline", tmp_path / "pgdat.jsonl")
    assert cli(*command, "--max-drop", 2.5).code == 1
    assert cli(*command, "--max-drop", 2.6).code == 0
    assert cli(*command, "--alpha", 0.0001).code == 0


def test_one_datasets_folder_is_a_baseline(cli, tmp_path):
    folder = tmp_path / "digits"
    (folder / "corruptions").mkdir(parents=True)
    for file in ("pgdat.jsonl", "corruptions/alp.jsonl"):
        shutil.copy(PUBLISHED / file, folder / file)
    command = ("check", "--model", "pgdat", "--attack", "fgsm", "--results", tmp_path / "now", "--baseline")
    assert cli(*command, folder).code == cli(*command, tmp_path).code == 0
    assert cli(*command, folder, "--update").code == 0
    assert sorted(each.name for each in tmp_path.glob("**/pgdat.jsonl")) == ["pgdat.jsonl"]


@pytest.mark.parametrize("kept", [pytest.param(True, id="results kept"), slow(False, id="nothing kept")])
def test_an_interrupted_gate_says_what_was_kept(cli, tmp_path, monkeypatch, kept):
    def press(self, state, t, task):
        raise KeyboardInterrupt

    monkeypatch.setattr(MIM, "step", press)
    command = ("check", "--model", "pgdat", "--attack", "fgsm", "--attack", "mim-20", "--baseline", PUBLISHED)
    said = cli(*command, *(("--results", tmp_path) if kept else ()))
    assert said.code == 130
    assert ("what was finished is kept" if kept else "nothing was kept") in said.last


# ---- Where it is told ----


def test_junit_holds_every_cell(cli, now, tmp_path):
    plant(tmp_path / "pgdat.jsonl", "pgdat", 14, now.attacks)
    path, count = tmp_path / "junit.xml", len(now.attacks)
    assert cli(*now.command, "--baseline", tmp_path / "pgdat.jsonl", "--junit", path).code == 1
    document = JUnitXml.fromfile(str(path))
    assert (document.tests, document.failures, document.errors) == (count + 2, count + 1, 0)
    root = ET.parse(path).getroot()
    assert [case.get("name") for case in root.iter("testcase")] == ["worst case", "clean", *now.attacks]
    assert {case.get("classname") for case in root.iter("testcase")} == {"digits/pgdat"}
    failure = next(case for case in root.iter("testcase") if case.get("name") == now.last).find("failure")
    assert "(-2.59 points, p <0.001 after Holm), 14 examples lost, 0 gained" in failure.get("message")
    example = lost_ids(path, now.last)[0]
    assert f"--attack {now.last} --norm linf --eps 0.2 --seed 0 --example {example}" in failure.text


def test_a_refusal_reaches_junit_and_github(cli, baseline, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    edited(baseline, FIELDS["version"][0])
    said = cli(*SMALL, "--baseline", baseline, "--junit", tmp_path / "junit.xml")
    assert said.code == 3
    (case,) = ET.parse(tmp_path / "junit.xml").getroot().iter("testcase")
    assert "attack.version is 99" in case.find("error").get("message")
    assert said.out.startswith("::error title=robench check::")
    assert "attack.version is 99" in said.out


def test_github_gets_a_summary_and_one_annotation_a_defense(cli, now, tmp_path, monkeypatch):
    plant(tmp_path / "pgdat.jsonl", "pgdat", 14, now.attacks)
    command, count = (*now.command, "--baseline", tmp_path / "pgdat.jsonl"), len(now.attacks)
    assert "::error" not in cli(*command).out
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    said = cli(*command)
    assert said.code == 1
    (line,) = [line for line in said.out.splitlines() if line.startswith("::error")]
    assert line.startswith("::error title=robench check%3A digits/pgdat::worst case of digits/pgdat: ")
    assert f"; {count} more of its cells regressed" in line
    assert "%25 now (-2.59 points" in line
    text = summary.read_text()
    assert text.startswith(f"before\n### FAILED: {count + 1} of {count + 2} cells")
    assert re.search(rf"\| digits/pgdat {now.last} +\|", text)
    assert "regression" in text


def test_annotations_are_escaped():
    assert error("50%\nno, really: a\rb", "a: b, c") == "::error title=a%3A b%2C c::50%25%0Ano, really: a%0Db"


@pytest.mark.parametrize("examples", [30, slow(540)])
def test_a_retrained_network_of_the_registrys_kind_fails(cli, tmp_path, monkeypatch, examples):
    command = ["check", "--model", "models/mine/card.toml", "--baseline", "robustness.jsonl", "--junit", "robench.xml"]
    command += ["--limit", examples, "--attack", "fgsm", "--attack", "pgd-2"] if examples < 540 else []
    monkeypatch.chdir(tmp_path)
    damaged(tmp_path / "models" / "mine", 0.0)
    assert cli(*command, "--update").code == 0
    assert cli(*command).code == 0
    assert JUnitXml.fromfile("robench.xml").failures == 0
    shutil.rmtree(tmp_path / "models" / "mine")
    damaged(tmp_path / "models" / "mine", 1.0)
    assert cli(*command).code == 1
    assert JUnitXml.fromfile("robench.xml").failures > 0


# ---- One example alone ----


@pytest.mark.parametrize("attack", ["pgd-20", *map(slow, ("apgd-ce", "mim-20", "cascade"))])
def test_an_example_alone_gets_the_verdict_it_gets_among_others(cli, tmp_path, attack):
    command = ("eval", "--model", "pgdat", "--attack", attack, "--results", tmp_path)
    assert cli(*command, "--limit", 20).code == 0
    rows = read(next((tmp_path / "raw" / "digits" / "pgdat").glob("*.parquet")))[1]
    places = [*np.flatnonzero(rows.clean & ~rows.robust)[:1], *np.flatnonzero(rows.robust)[:1]]
    assert len(places) == 2
    for place in places:
        alone = json.loads(cli(*command, "--example", rows.id[place], "--json", "-").out)["results"][0]
        assert alone["n"] == 1
        assert alone["robust_accuracy"] == 100.0 * rows.robust[place]


@pytest.mark.slow
def test_attacks_that_look_at_others_are_reproduced_whole(cli, tmp_path):
    baseline = tmp_path / "pgdat.jsonl"
    where = ("--baseline", baseline, "--results", tmp_path / "now")
    command = ("check", "--model", "pgdat", "--attack", "feature-attack-5", "--limit", 50, *where)
    assert cli(*command, "--update").code == 0
    (record,) = read_file(baseline)
    write_file(baseline, [turned(record, np.flatnonzero(record.clean & ~record.robust).tolist(), robust=True)])
    said = cli(*command)
    assert said.code == 1
    assert "--example" not in said.out
    assert "--attack feature-attack-5 --norm linf --eps 0.2 --seed 0 --limit 50" in said.out
