"""What is committed under results/tables is what the published records give, byte for byte."""

import csv
import shutil

import pytest

from robench.classifiers import load_card
from robench.paths import data_root
from robench.report.everything import datasets
from robench.report.paper import PAPER_TABLES, VerdictSource, View, paper_table
from robench.specs import EMBEDDED, ThreatModel, digest, find_attack, find_card
from robench.store import Record, read_published, write_file
from tests.support.queries import planted

RESULTS = data_root() / "results"
TABLES = RESULTS / "tables"

pytestmark = pytest.mark.skipif(not TABLES.is_dir(), reason="a wheel ships no tables, only records")


def test_every_committed_table_is_what_the_command_writes(cli, tmp_path):
    for dataset in datasets(RESULTS):
        shutil.copytree(RESULTS / dataset, tmp_path / dataset)
    assert cli("report", "--all", "--results", tmp_path).code == 0
    written, committed = files(tmp_path / "tables"), files(TABLES)
    assert written.keys() == committed.keys()
    assert [name for name, text in committed.items() if written[name] != text] == []


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_command_that_writes_everything_takes_nothing_else(cli):
    said = cli("report", "table2", "--all")
    assert (said.code, said.out) == (2, "")
    assert "take the other options out" in said.err


def test_only_known_sources_can_be_compared_with(cli):
    said = cli("report", "table2", "--against", "nobody")
    assert said.code == 2
    assert "'nobody' is not one of 'paper', 'robustbench'" in said.err
    assert "is for the table robustness" in cli("report", "table2", "--against", "robustbench").sentence


def test_a_table_of_the_paper_as_one_csv(cli):
    said = cli("report", "table2", "--against", "paper", "--format", "csv", "--results", RESULTS)
    assert said.code == 0
    assert said.out.splitlines()[0].startswith("defense,clean,clean (paper),pgd-20,pgd-20 (paper)")


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_without_records_a_table_says_how_to_fill_it(name, tmp_path):
    table = paper_table(name, VerdictSource(EMBEDDED, tmp_path), View(against=True))
    if table.rows:
        assert any("robench eval" in note or "robench reproduce" in note for note in table.notes)


def test_the_command_that_fills_a_cell_names_what_is_missing(tmp_path):
    table = paper_table("table2", VerdictSource(EMBEDDED, tmp_path), View())
    (fill,) = [note for note in table.notes if note.startswith("To fill")]
    for word in ("--model digits/pgdat_he", "--attack pgd-500", "--attack fab"):
        assert word in fill


def test_the_beginning_of_a_longer_run_fills_the_cell_of_a_shorter_attack():
    records = {
        record.header.attack.name: record
        for record in read_published(RESULTS)
        if record.header.model == "digits/freeat" and record.header.seed == 0
    }
    source = VerdictSource(EMBEDDED, RESULTS, published=True)
    source.records = lambda defense: {"pgd-500": records["pgd-500"]}
    found = source.record("freeat", "pgd-100")
    assert found.header.attack == find_attack("pgd-100")
    assert (found.robust == records["pgd-100"].robust).all()
    assert source.record("freeat", "mim-20") is None
    assert source.missing == {"freeat": ["mim-20"]}


def cifar(eps, dataset="cifar10"):
    """A record of PGD-20 on four examples of CIFAR-10, two robust."""
    record = planted("pgd-20", [0, 3, None, None], "cifar10/pgdat")
    threat = ThreatModel.parse("linf", eps)
    identity = {
        **record.header.identity,
        "data": {"name": dataset, "n": 4},
        "threat": {"norm": "linf", "eps": threat.eps},
    }
    update = {"dataset": dataset, "threat": threat, "identity": identity, "hash": digest(identity)}
    return Record(record.header.model_copy(update=update), record.clean, record.robust, record.step)


def test_differences_are_ours_minus_the_papers(tmp_path):
    write_file(tmp_path / "cifar10" / "pgdat.jsonl", [cifar("0.031")])
    source = VerdictSource("cifar10", tmp_path)
    row = paper_table("table2", source, View(against=True)).rows["pgdat"]
    assert (row["pgd-20"], row["pgd-20 (paper)"], row["pgd-20 (difference)"]) == ("50.00", "53.97", "-3.97")
    assert row["clean (difference)"] == f"{75 - 86.75:+.2f}"


@pytest.mark.parametrize("eps", ["8/255", "0.3"])
def test_report_table2_against_paper_subtracts_only_at_the_papers_eps(cli, tmp_path, eps):
    write_file(tmp_path / "cifar10" / "pgdat.jsonl", [cifar(eps)])
    command = ("report", "table2", "--against", "paper", "--dataset", "cifar10", "--results", tmp_path)
    said = cli(*command)
    assert said.code == 0
    assert "pgd-20 (paper)" in said.out
    assert "difference)" not in said.out
    assert "No differences are shown: the published numbers are of cifar10, linf 0.031" in said.out
    write_file(tmp_path / "cifar10" / "pgdat.jsonl", [cifar(eps), cifar("0.031")])
    assert "-3.97" in cli(*command, "--eps", "0.031").out


def test_report_table2_against_paper_on_digits_shows_the_published_column_alone():
    source = VerdictSource(EMBEDDED, RESULTS, published=True)
    table = paper_table("table2", source, View(against=True))
    row = table.rows["pgdat"]
    assert row["pgd-20 (paper)"] == "53.97"
    assert not any("difference" in column for column in [*table.columns, *row])
    assert table.notes[-1].startswith("No differences are shown")
    alone = paper_table("table2", source, View())
    assert not any("(paper)" in column for column in alone.columns)
    assert not any("differences" in note for note in alone.notes)
    with_intervals = paper_table("table2", source, View(intervals=True)).rows["pgdat"]
    assert with_intervals["pgd-20"].startswith(f"{row['pgd-20']} [")


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_no_committed_table_subtracts_what_does_not_compare(name):
    for path in TABLES.glob(f"*/{name}.csv"):
        assert "(difference)" not in path.read_text()


def test_the_committed_leaderboard_and_ledger_are_what_the_command_writes(cli, tmp_path):
    for dataset in datasets(RESULTS):
        shutil.copytree(RESULTS / dataset, tmp_path / dataset)
    for name in ("leaderboard.csv", "README.md", "ledger.csv"):
        shutil.copy(RESULTS / name, tmp_path / name)
    for name in ("leaderboard.csv", "ledger.csv"):
        (tmp_path / name).write_text("old")
    assert cli("leaderboard", "--results", tmp_path).code == 0
    for name in ("leaderboard.csv", "README.md", "ledger.csv"):
        assert (tmp_path / name).read_bytes() == (RESULTS / name).read_bytes()


def test_the_leaderboard_is_ranked_and_says_what_its_numbers_belong_to(cli, tmp_path):
    with (RESULTS / "leaderboard.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["dataset"] == EMBEDDED]
    places = range(1, len(rows) + 1)
    assert [row["rank"] for row in rows] == [f"{EMBEDDED}, linf 0.2, 540 examples: {place}" for place in places]
    worst = [float(row["worst case"]) for row in rows]
    assert worst == sorted(worst, reverse=True)
    for row in rows:
        card = find_card(f"{EMBEDDED}/{row['defense']}")
        assert card.sha256.startswith(row["weights"])
        assert len(row["weights"]) == 16
        assert int(row["parameters"]) == sum(p.numel() for p in load_card(card).parameters())
        assert float(row["worst case low"]) <= float(row["worst case"]) <= float(row["worst case high"])


def test_a_leaderboard_without_records_says_so(cli, tmp_path):
    said = cli("leaderboard", "--results", tmp_path)
    assert said.code == 3
    assert "robench publish" in said.err


def test_a_readme_without_its_marks_is_not_touched(cli, tmp_path):
    shutil.copytree(RESULTS / EMBEDDED, tmp_path / EMBEDDED)
    (tmp_path / "README.md").write_text("mine")
    said = cli("leaderboard", "--results", tmp_path)
    assert said.code == 2
    assert "<!-- leaderboard -->" in said.err
    assert (tmp_path / "README.md").read_text() == "mine"
