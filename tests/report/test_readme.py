"""The README's numbers are those of the published records."""

import csv
import re

import pytest

from robench.cli.evaluate_run import beside_leaderboard
from robench.paths import data_root
from robench.report import Evaluation, load, select, worst_case
from robench.report.beside_leaderboard import leaderboard_says
from robench.store import Record, read_file
from robench.store.outcome import Result

README = data_root() / "README.md"
COLUMNS = ("pgd-20", "pgd-500", "scaled-pgd-500", "adaptive-pgd-500", "autoattack", "cascade")


@pytest.mark.skipif(not README.is_file(), reason="a wheel has no README beside it")
def test_the_table_of_defenses_is_what_the_records_say():
    selection = select(load(data_root() / "results", published=True))
    rows = re.findall(r"^\| (\w+) \| ([\d.]+ \| .*) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    defenses = [name.removeprefix("digits/") for name in selection.defenses if name.startswith("digits/")]
    assert [name for name, _ in rows] == defenses
    for name, cells in rows:
        records = {record.header.attack.name: record for record in selection.defenses[f"digits/{name}"]}
        worst = worst_case(list(records.values()))
        expected = [records["pgd-20"].clean_accuracy, *(records[attack].robust_accuracy for attack in COLUMNS)]
        low, high = worst.interval
        text = (
            " | ".join(f"{value:.2f}" for value in expected) + f" | {worst.robust_accuracy:.2f} [{low:.1f}, {high:.1f}]"
        )
        assert cells == text, name


@pytest.mark.skipif(not README.is_file(), reason="a wheel has no README beside it")
def test_the_table_of_the_stand_in_is_what_the_records_say():
    selection = select(load(data_root() / "results", published=True))
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+ \| .*) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows
    for name, cells in rows:
        records = {record.header.attack.name: record for record in selection.defenses[f"cifar10-jpeg/{name}"]}
        worst = worst_case(list(records.values()))
        shown = ("pgd-20", "pgd-500", "scaled-pgd-500", "adaptive-pgd-500", "fab", "cascade")
        expected = [records["pgd-20"].clean_accuracy, *(records[attack].robust_accuracy for attack in shown)]
        low, high = worst.interval
        text = " | ".join(f"{value:.2f}" for value in expected)
        assert cells == f"{text} | {worst.robust_accuracy:.2f} [{low:.1f}, {high:.1f}]", name


@pytest.mark.skipif(not README.is_file(), reason="a wheel has no README beside it")
def test_the_first_command_tells_what_the_leaderboard_shows():
    """A worst case over fewer attacks than the leaderboard counts is shown beside the leaderboard's."""
    with (data_root() / "results" / "leaderboard.csv").open(newline="") as stream:
        (row,) = (row for row in csv.DictReader(stream) if (row["dataset"], row["defense"]) == ("digits", "pgdat_he"))
    expected = f"leaderboard {row['worst case']}% ({row['attacks']} published attacks)"
    line = re.search(r"^digits/pgdat_he: worst case .*$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert line
    assert line[0].endswith(f"; {expected}")
    record = next(read_file(data_root() / "results" / "digits" / "pgdat_he.jsonl"))
    stored = Evaluation((Result(record, "stored", 0, 0, 0.0),))
    first, *others = beside_leaderboard(stored).title.splitlines()
    assert first.endswith(f"% clean; {expected}")
    assert others == stored.table().title.splitlines()[1:]
    few = record.header.model_copy(update={"identity": {**record.header.identity, "data": {"ids": "others"}}})
    assert leaderboard_says(Record(few, record.clean, record.robust, record.step)) == ""
