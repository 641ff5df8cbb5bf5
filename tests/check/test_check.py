"""`robench check` from end to end: what fails, what passes, what is refused (fault 16), and where it is told."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from junitparser import JUnitXml

from robench.check.github import error
from robench.paths import data_root
from robench.store import read, read_file, write_file
from tests.support.gates import FIELDS, PUBLISHED, QUICK, damaged, edited, plant, turned
from tests.support.shell import PYTHON

SMALL = ("check", "--model", "pgdat", "--attack", "fgsm", "--attack", "pgd-20", "--limit", 60)


@pytest.fixture(autouse=True)
def _outside_of_actions(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture(scope="session")
def _small_baseline(tmp_path_factory):
    from robench.cli import run

    path = tmp_path_factory.mktemp("baseline") / "pgdat.jsonl"
    assert run([*map(str, SMALL), "--baseline", str(path), "--update"]) == 0
    return path


@pytest.fixture
def baseline(_small_baseline, tmp_path):
    """Records of two attacks on sixty examples, the test's own."""
    return shutil.copy(_small_baseline, tmp_path / "baseline.jsonl")


# ---- What it catches, and what it lets pass ----


def test_a_planted_regression_of_two_and_a_half_points_fails(cli, tmp_path):
    places = plant(tmp_path / "pgdat.jsonl", "pgdat", 14)
    junit = tmp_path / "new" / "junit.xml"
    said = cli("check", "--model", "pgdat", "--baseline", tmp_path / "pgdat.jsonl", "--junit", junit)
    assert said.code == 1
    assert "FAILED: 6 of 7 cells of 1 defense regressed (1 same)" in said.out
    ids = lost_ids(junit, "pgd-20")
    assert len(ids) == len(places)
    row = next(line for line in said.out.splitlines() if line.startswith("digits/pgdat pgd-20"))
    assert "-2.59" in row
    assert f"14: {', '.join(map(str, ids[:5]))}, ..." in row
    assert "clean" in said.out
    assert cli(*reproduction(said.out), "--results", tmp_path / "one").out.count(" 0.00") >= 2


def lost_ids(junit, name):
    case = next(case for case in ET.parse(junit).iter("testcase") if case.get("name") == name)
    listed = re.search(r"lost \d+: ([\d, ]+)", "".join(case.itertext()))[1]
    return [int(each) for each in listed.split(",")]


def reproduction(out):
    """The command that the gate prints, without its program."""
    return shlex.split(re.search(r"`robench (eval [^`]*)`", out)[1])


def test_damaged_weights_fail_and_the_command_reproduces_an_example(cli, tmp_path):
    folder = damaged(tmp_path / "pgdat", 0.3)
    said = cli("check", "--model", folder, "--baseline", PUBLISHED / "pgdat.jsonl")
    assert said.code == 1
    assert "another network than the baseline's" in said.out
    again = cli(*reproduction(said.out), "--results", tmp_path / "one")
    assert again.code == 0
    assert re.search(r"worst case 0\.00%.*100\.00% clean", again.out)
    assert "1 examples" in again.out
    assert f"--model {folder}" in said.out


def test_published_records_pass_as_they_are(cli, tmp_path):
    said = cli("check", "--model", "pgdat", "--model", "pgdat_he", "--attack", "pgd-20", "--attack", "fgsm")
    assert said.code == 0
    assert "passed: none of 8 cells of 2 defenses regressed" in said.out
    assert "the same network as the baseline's" in said.out
    assert "Attacks: 4 of 4 run now" in said.out


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_seeds_stay_silent(cli, seed):
    said = cli("check", "--model", "pgdat", "--battery", "quick", "--seed", seed)
    assert said.code == 0
    assert f"seed {seed}; the same network as the baseline's, which has seed 0." in said.out
    assert re.search(r"pgd-20 .* (lower|higher)", said.out), "another seed turns some verdicts"


def test_an_improvement_is_shown_and_passes(cli, baseline):
    def broken(header, identity):
        n = header["n"]
        if header["attack"]["name"] == "pgd-20":
            header["robust"], header["steps"] = "00" * -(-n // 8), [0] * bin(int(header["clean"], 16)).count("1")

    edited(baseline, broken)
    said = cli(*SMALL, "--baseline", baseline)
    assert said.code == 0
    assert re.search(r"pgd-20 .* higher", said.out)


def test_the_allowed_drop_is_allowed(cli, tmp_path):
    plant(tmp_path / "pgdat.jsonl", "pgdat", 14)
    command = ("check", "--model", "pgdat", "--attack", "pgd-20", "--baseline", tmp_path / "pgdat.jsonl")
    assert cli(*command, "--max-drop", 2.5).code == 1
    assert cli(*command, "--max-drop", 2.6).code == 0
    assert cli(*command, "--alpha", 0.0001).code == 0


# ---- What it refuses ----


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


@pytest.mark.parametrize("field", ["version", "data", "eps"])
def test_the_mend_of_a_refusal_works(cli, baseline, field):
    edited(baseline, FIELDS[field][0])
    said = cli(*SMALL, "--baseline", baseline, "--update")
    assert said.code == 0
    assert FIELDS[field][1].partition(":")[0] in said.out
    assert cli(*SMALL, "--baseline", baseline).code == 0


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
    other = json.loads(baseline.read_text().splitlines()[0])
    edited(baseline, lambda header, identity: identity["model"].update(weights="0" * 64))
    baseline.write_text(baseline.read_text() + json.dumps(other) + "\n")
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


# ---- The baseline and the records ----


def test_update_shows_what_changes_and_drops_other_weights(cli, baseline, tmp_path):
    assert "nothing changed" in cli(*SMALL, "--baseline", baseline, "--update").out
    folder = damaged(tmp_path / "pgdat", 0.5)
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


def test_update_keeps_the_lines_of_others_and_of_other_attacks(cli, tmp_path):
    path = shutil.copy(PUBLISHED / "pgdat.jsonl", tmp_path)
    before = (tmp_path / "pgdat.jsonl").read_text() + (PUBLISHED / "alp.jsonl").read_text()
    (tmp_path / "pgdat.jsonl").write_text(before)
    assert cli("check", "--model", "pgdat", "--attack", "pgd-20", "--baseline", path, "--update").code == 0
    assert sorted((tmp_path / "pgdat.jsonl").read_text().splitlines()) == sorted(before.splitlines())


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


def test_ctrl_c_says_what_was_kept(tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        for options, words in (((), "nothing was kept"), (("--results", tmp_path), "what was finished is kept")):
            command = [*PYTHON, "check", "--model", "pgdat", "--battery", "quick", *map(str, options)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert "fgsm" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 130
            assert words in err
            assert "Traceback" not in err
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# ---- Where it is told ----


def test_junit_holds_every_cell(cli, tmp_path):
    plant(tmp_path / "pgdat.jsonl", "pgdat", 14)
    path = tmp_path / "junit.xml"
    assert cli("check", "--model", "pgdat", "--baseline", tmp_path / "pgdat.jsonl", "--junit", path).code == 1
    document = JUnitXml.fromfile(str(path))
    assert (document.tests, document.failures, document.errors) == (7, 6, 0)
    root = ET.parse(path).getroot()
    assert [case.get("name") for case in root.iter("testcase")] == ["worst case", "clean", *QUICK]
    assert {case.get("classname") for case in root.iter("testcase")} == {"digits/pgdat"}
    failure = next(case for case in root.iter("testcase") if case.get("name") == "pgd-20").find("failure")
    assert "(-2.59 points, p <0.001 after Holm), 14 examples lost, 0 gained" in failure.get("message")
    assert f"--attack pgd-20 --norm linf --eps 0.2 --seed 0 --example {lost_ids(path, 'pgd-20')[0]}" in failure.text


def test_a_refusal_reaches_junit_and_github(cli, baseline, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    edited(baseline, FIELDS["version"][0])
    said = cli(*SMALL, "--baseline", baseline, "--junit", tmp_path / "junit.xml")
    assert said.code == 3
    (case,) = ET.parse(tmp_path / "junit.xml").getroot().iter("testcase")
    assert "attack.version is 99" in case.find("error").get("message")
    assert said.out.startswith("::error title=robench check::")
    assert "attack.version is 99" in said.out


def test_github_gets_a_summary_and_one_annotation_a_defense(cli, tmp_path, monkeypatch):
    plant(tmp_path / "pgdat.jsonl", "pgdat", 14)
    command = ("check", "--model", "pgdat", "--attack", "pgd-20", "--baseline", tmp_path / "pgdat.jsonl")
    assert "::error" not in cli(*command).out
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    said = cli(*command)
    assert said.code == 1
    (line,) = [line for line in said.out.splitlines() if line.startswith("::error")]
    assert line.startswith("::error title=robench check%3A digits/pgdat::pgd-20 of digits/pgdat: ")
    assert "%25 now (-2.59 points" in line
    text = summary.read_text()
    assert text.startswith("before\n### FAILED: 1 of 2 cells")
    assert "| digits/pgdat pgd-20 |" in text
    assert "regression" in text


def test_annotations_are_escaped():
    assert error("50%\nno, really: a\rb", "a: b, c") == "::error title=a%3A b%2C c::50%25%0Ano, really: a%0Db"


@pytest.mark.parametrize("place", ["README.md", "examples/github-workflow.yml"])
def test_the_one_line_for_other_projects_works(cli, tmp_path, monkeypatch, place):
    if not (data_root() / place).is_file():
        pytest.skip("a wheel has no such file beside it")
    (line,) = re.findall(r"(?:^|run: )robench (check --model models/mine.*)$", (data_root() / place).read_text(), re.M)
    monkeypatch.chdir(tmp_path)
    damaged(tmp_path / "models" / "mine", 0.0)
    assert cli(*line.split(), "--update").code == 0
    assert cli(*line.split()).code == 0
    assert JUnitXml.fromfile("robench.xml").failures == 0
    shutil.rmtree(tmp_path / "models" / "mine")
    damaged(tmp_path / "models" / "mine", 0.5)
    assert cli(*line.split()).code == 1
    assert JUnitXml.fromfile("robench.xml").failures > 0


# ---- One example alone ----


@pytest.mark.parametrize("attack", ["pgd-20", "mim-20", "apgd-ce", "cascade"])
def test_an_example_alone_gets_the_verdict_it_gets_among_others(cli, tmp_path, attack):
    command = ("eval", "--model", "pgdat", "--attack", attack, "--results", tmp_path)
    assert cli(*command, "--limit", 30).code == 0
    rows = read(next((tmp_path / "raw" / "digits" / "pgdat").glob("*.parquet")))[1]
    places = [*np.flatnonzero(rows.clean & ~rows.robust)[:2], *np.flatnonzero(rows.robust)[:2]]
    for place in places:
        alone = json.loads(cli(*command, "--example", rows.id[place], "--json", "-").out)["results"][0]
        assert alone["n"] == 1
        assert alone["robust_accuracy"] == 100.0 * rows.robust[place]


def test_attacks_that_look_at_others_are_reproduced_whole(cli, tmp_path):
    baseline = tmp_path / "pgdat.jsonl"
    command = ("check", "--model", "pgdat", "--attack", "feature-attack", "--limit", 100, "--baseline", baseline)
    assert cli(*command, "--update").code == 0
    (record,) = read_file(baseline)
    write_file(baseline, [turned(record, np.flatnonzero(record.clean & ~record.robust).tolist(), robust=True)])
    said = cli(*command)
    assert said.code == 1
    assert "--example" not in said.out
    assert "--attack feature-attack --norm linf --eps 0.2 --seed 0 --limit 100" in said.out
