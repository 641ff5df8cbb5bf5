"""A table shows what compares with each other; other groups are other tables, and options choose."""

import csv
import io
import json
import re

import pytest

import robench
from robench.report import load
from tests.support.groups import evaluated, written


@pytest.fixture(scope="module")
def two_eps(tmp_path_factory):
    """Two networks, each at eps 0.05 and 0.15, in one results folder."""
    folder = tmp_path_factory.mktemp("groups")
    code, data, _ = written(folder)
    for name in ("one", "two"):
        for eps in ("0.05", "0.15"):
            evaluated(code, name, data, eps, folder / "results", "--attack", "fgsm", "--attack", "pgd-1")
    return folder / "results"


ROW = re.compile(r"(test/[\w-]+@[0-9a-f]{8})  ")


def names(text):
    return [found[1] for line in text.splitlines() if (found := ROW.match(line))]


def tables(text):
    """The titles of an output's tables, each with the defenses in its rows."""
    found = {}
    for line in text.splitlines():
        if "(%)" in line:
            found[line] = []
        elif row := ROW.match(line):
            found[[*found][-1]].append(row[1])
    return found


def test_two_networks_at_eps_005_and_015_in_one_results_folder(cli, tmp_path):
    code, data, _ = written(tmp_path)
    evaluated(code, "one", data, "0.05", tmp_path / "results")
    evaluated(code, "two", data, "0.15", tmp_path / "results")
    found = tables(cli("report", "robustness", "--results", tmp_path / "results").out)
    low, high = found
    assert "linf 0.05, 12 examples, seed 0" in low
    assert "linf 0.15, 12 examples, seed 0" in high
    assert [len(mine) for mine in found.values()] == [1, 1]
    assert found[low] != found[high]


def test_both_networks_at_both_eps(cli, two_eps):
    found = tables(cli("report", "robustness", "--results", two_eps).out)
    assert [len(mine) for mine in found.values()] == [2, 2]
    for eps in ("0.05", "0.15", "15/100"):
        said = cli("report", "robustness", "--results", two_eps, "--eps", eps)
        assert len(names(said.out)) == 2
        assert f"linf {float(eps) if '/' not in eps else 0.15}, 12 examples" in said.out
    attack = cli("report", "robustness", "--results", two_eps, "--attack", "fgsm", "--format", "md").out
    heads = [line.split() for line in attack.splitlines() if line.startswith("| defense")]
    assert [head[-2] for head in heads] == ["fgsm", "fgsm"]
    assert not any("pgd-1" in head for head in heads)
    everything = cli("report", "--results", two_eps).out
    for options in (("--norm", "linf"), ("--seed", 0), ("--dataset", "test")):
        assert cli("report", "--results", two_eps, *options).out == everything
    one = cli("report", "robustness", "--results", two_eps, "--model", "net-one").out
    assert {name.partition("@")[0] for name in names(one)} == {"test/net-one"}


def test_two_files_of_one_name_with_other_images(cli, tmp_path):
    code, first, second = written(tmp_path)
    evaluated(code, "one", first, "0.05", tmp_path / "results")
    evaluated(code, "two", second, "0.05", tmp_path / "results")
    found = tables(cli("report", "robustness", "--results", tmp_path / "results").out)
    assert [len(mine) for mine in found.values()] == [1, 1]
    assert all(re.search(r"examples [0-9a-f]{16}$", title) for title in found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--eps", "0.3"), ["--eps 0.3", "linf 0.05, linf 0.15"]),
        (("--norm", "l2"), ["--norm l2", "linf 0.05"]),
        (("--seed", 7), ["--seed 7", "seed 0"]),
        (("--dataset", "cifar10"), ["--dataset cifar10", "is test"]),
        (("--attack", "pgd-20"), ["--attack pgd-20", "fgsm, pgd-1"]),
        (("--battery", "fast"), ["--battery fast", "fgsm, pgd-1"]),
        (("--model", "pgdat"), ["--model digits/pgdat", "test/net-one@"]),
    ],
)
@pytest.mark.parametrize("command", ["report", "leaderboard"])
def test_a_selection_that_matches_nothing_says_what_there_is(cli, two_eps, tmp_path, command, options, words):
    if command == "leaderboard":
        assert cli("publish", "--results", two_eps).code == 0
    said = cli(command, "--results", two_eps, *options)
    assert said.code == 3
    assert all(word in said.sentence for word in [*words, "robench eval"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--eps", "much"), "eps 'much' is not a number"),
        (("--attack", "pgd-21"), "pgd-20?"),
        (("--model", "net-on"), "did you mean test/net-one"),
        (("--battery", "fats"), "did you mean fast"),
    ],
)
def test_a_name_that_does_not_exist_is_met_by_the_nearest(cli, two_eps, options, words):
    said = cli("report", "--results", two_eps, *options)
    assert said.code == 2
    assert words in said.sentence


def test_a_csv_file_holds_one_group(cli, two_eps):
    said = cli("report", "robustness", "--format", "csv", "--results", two_eps)
    assert said.code == 2
    assert "linf 0.05" in said.sentence
    assert "--eps" in said.sentence
    one = cli("report", "robustness", "--format", "csv", "--results", two_eps, "--eps", "0.05")
    assert len(list(csv.DictReader(io.StringIO(one.out)))) == 2


def test_ranks_are_of_one_group(cli, two_eps):
    assert cli("publish", "--results", two_eps).code == 0
    said = cli("leaderboard", "--results", two_eps)
    assert said.code == 0
    found = tables(said.out)
    assert [len(mine) for mine in found.values()] == [2, 2]
    with (two_eps / "leaderboard.csv").open(newline="") as stream:
        ranks = [row["rank"] for row in csv.DictReader(stream)]
    assert ranks == [f"test, linf {eps}, 12 examples: {rank}" for eps in ("0.05", "0.15") for rank in (1, 2)]
    chosen = cli("leaderboard", "--results", two_eps, "--eps", "0.15")
    assert len(names(chosen.out)) == 2
    assert "wrote" not in chosen.out


def test_the_page_ranks_one_group_at_a_time(cli, two_eps):
    text = cli("report", "--format", "html", "--results", two_eps).out
    data = json.loads(re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', text, re.DOTALL)[1])
    settings = [defense["setting"] for defense in data["defenses"]]
    assert len(set(settings)) == 2
    assert [settings.count(each) for each in dict.fromkeys(settings)] == [2, 2]
    assert len({defense["key"] for defense in data["defenses"]}) == 4
    assert "settings.length > 1" in text


def test_a_difference_is_of_one_group(cli, two_eps):
    said = cli("diff", "net-one", "net-two", "--results", two_eps)
    assert said.code == 0
    titles = [line for line in said.out.splitlines() if line.startswith("A: ")]
    assert titles == [f"A: net-one; B: net-two: test, linf {eps}, 12 examples" for eps in ("0.05", "0.15")]
    alone = cli("diff", "net-one", "net-two", "--results", two_eps, "--eps", "0.05", "--attack", "fgsm")
    assert "linf 0.05" in alone.out
    assert "0.15" not in alone.out
    assert "pgd-1 " not in alone.out


def test_a_table_in_python_is_of_one_group_and_names_the_others(two_eps):
    table = robench.table("robustness", results=two_eps)
    assert len(table.rows) == 2
    assert "test, linf 0.05, 12 examples, seed 0." in table.notes
    assert "Other groups, not comparable with this one: test, linf 0.15, 12 examples, seed 0." in table.notes
    assert "test, linf 0.15, 12 examples, seed 0." in robench.table("robustness", eps=0.15, results=two_eps).notes


def test_groups_differ_in_seed_and_precision_too(cli, tmp_path):
    code, data, _ = written(tmp_path)
    for options in ((), ("--seed", 1), ("--precision", "bf16")):
        evaluated(code, "one", data, "0.05", tmp_path / "results", *options)
    assert len({record.comparison_key for record in load(tmp_path / "results")}) == 3
    assert len(tables(cli("report", "robustness", "--results", tmp_path / "results").out)) == 3


def test_default_report_fits_the_terminal(cli):
    said = cli("report")
    rows = [line for line in said.out.splitlines() if re.match(r"(digits|cifar10-jpeg)/\w+ ", line)]
    assert len(rows) > 50
    assert max(map(len, rows)) <= 100
    heads = [line.split() for line in said.out.splitlines() if line.startswith("defense ")]
    assert heads[1] == ["defense", "worst", "case", "trust", "clean", "pgd-20", "autoattack", "cascade"]
    assert "add --all-attacks" in said.out
    whole = cli("report", "robustness", "--all-attacks", "--seed", 0, "--dataset", "digits").out
    assert "mim-20" in whole
    assert "adaptive-pgd-500" in whole
