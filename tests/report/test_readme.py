"""The README's numbers are those of the published records."""

import re

import pytest

from robench.paths import data_root
from robench.report import load, select, worst_case

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
