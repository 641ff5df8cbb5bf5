"""`robench verify`, `publish` and `report`."""

import csv
import io
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from robench.data import find_dataset
from robench.report import FORMATS
from robench.report.by_name import TABLES
from robench.specs import EMBEDDED
from robench.store import read
from tests.support.records import change_column, change_header, raw_record
from tests.support.shell import EVAL

# ---- verify ----


def test_verify_confirms_what_was_saved(cli, results):
    said = cli("verify", "--results", results)
    assert (said.code, said.err) == (0, "")
    for attack in ("pgd-20", "mim-20"):
        header, rows = read(raw_record(results, attack))
        broken = int((rows.clean & ~rows.robust).sum())
        line = next(line for line in said.out.splitlines() if f"{attack} ({header.hash[:8]})" in line)
        assert broken > 0
        assert line.split()[-3:] == [str(broken), str(broken), "none"]


def first_point(change):
    def apply(points):
        place = next(place for place, point in enumerate(points) if point)
        points[place] = change(np.frombuffer(points[place], "<f4")).astype("<f4").tobytes()
        return points

    return apply


def clean_image(path):
    _, rows = read(path)
    split = find_dataset(EMBEDDED).load("test")
    identifier = rows.id[np.flatnonzero(rows.clean & ~rows.robust)[0]]
    return split.x[split.ids == int(identifier)].numpy().ravel()


def below_zero(point, clean):
    return np.where(clean == 0, np.float32(-0.01), point)


TAMPERED = {
    "outside the ball": lambda point, clean: 1 - clean,
    "outside [0, 1]": below_zero,
    "not misclassified": lambda point, clean: clean,
    "not finite": lambda point, clean: point * np.nan,
}


@pytest.mark.parametrize("fault", TAMPERED)
def test_verify_names_a_tampered_point(cli, results, fault):
    path = raw_record(results)
    clean = clean_image(path)
    change_column(path, "adversarial", first_point(lambda point: TAMPERED[fault](point, clean)))
    said = cli("verify", "--results", results)
    assert said.code == 1
    assert f"1x {fault}" in said.out
    assert "do not trust" in said.err


def test_verify_catches_a_verdict_turned_robust(cli, results):
    change_column(raw_record(results), "robust", lambda column: [True] * len(column))
    said = cli("verify", "--results", results)
    assert said.code == 1
    assert "robust but with a first success" in said.out


def test_verify_catches_rows_in_another_order(cli, results):
    def turned(column):
        return column[::-1]

    for name in read(raw_record(results))[1].columns():
        change_column(raw_record(results), name, turned)
    assert cli("verify", "--results", results).code in (1, 2)


def test_verify_does_not_believe_a_widened_ball(cli, results):
    path = raw_record(results)
    clean = clean_image(path)
    change_column(path, "adversarial", first_point(lambda point: np.clip(clean + 2 * (point - clean), 0, 1)))
    change_header(path, lambda header: {**header, "threat": {"norm": "linf", "text": "1", "eps": 1.0}})
    assert cli("verify", "--results", results).code in (1, 2)


def test_verify_of_unknown_ids_is_no_internal_fault(cli, results):
    change_column(raw_record(results), "id", lambda column: [5000 + i for i in column])
    assert cli("verify", "--results", results).code in (1, 2)


def test_verify_without_stored_points_is_incomplete(cli, tmp_path):
    assert cli(*EVAL, "--results", tmp_path).code == 0
    said = cli("verify", "--results", tmp_path)
    assert said.code == 3
    assert "--save-adversarial" in said.sentence


def test_points_are_added_to_a_record_that_has_none(cli, tmp_path):
    assert cli(*EVAL, "--results", tmp_path).code == 0
    assert cli(*EVAL, "--results", tmp_path, "--save-adversarial").code == 0
    assert cli("verify", "--results", tmp_path).code == 0


def test_verify_checks_only_the_named_defense(cli, results):
    change_column(raw_record(results), "adversarial", first_point(lambda point: point * np.nan))
    assert cli("verify", "--results", results, "--model", "pgdat").code == 1
    said = cli("verify", "--results", results, "--model", "standard")
    assert said.code == 3


# ---- publish and report ----


def test_report_needs_only_published_records(cli, results):
    from_raw = cli("report", "--results", results)
    assert cli("publish", "--results", results).code == 0
    shutil.rmtree(results / "raw")
    published = cli("report", "--results", results)
    assert published.code == 0
    assert published.out == from_raw.out
    assert "pgd-20" in published.out


def test_publishing_again_changes_nothing(cli, results):
    assert cli("publish", "--results", results).code == 0
    path = results / "digits" / "pgdat.jsonl"
    before = path.read_bytes()
    assert before.count(b"\n") == 3
    assert all(len(line) < 2200 for line in before.splitlines())
    said = cli("publish", "--results", results)
    assert said.out == f"wrote {path}\n"
    assert path.read_bytes() == before


def test_publish_takes_only_the_named_defense(cli, results):
    command = ("eval", "--model", "standard", "--attack", "fgsm", "--limit", 20)
    assert cli(*command, "--results", results).code == 0
    assert cli("publish", "--results", results, "--model", "standard").code == 0
    assert [path.name for path in results.glob("digits/*.jsonl")] == ["standard.jsonl"]


@pytest.mark.parametrize("command", ["report", "publish", "verify"])
def test_an_empty_folder_is_incomplete(cli, tmp_path, command):
    said = cli(command, "--results", tmp_path / "nothing")
    assert said.code == 3
    assert str(tmp_path / "nothing") in said.sentence
    assert "robench eval" in said.sentence


@pytest.mark.parametrize("command", ["report", "publish"])
def test_a_defense_without_records_is_named(cli, results, command):
    said = cli(command, "--results", results, "--model", "standard")
    assert said.code == 3
    assert "digits/standard" in said.sentence


def rendered(cli, results, form, *options, table="robustness"):
    return cli("report", table, "--results", results, "--format", form, *options).out


def cells(cli, results, *options, table="robustness"):
    return list(csv.reader(io.StringIO(rendered(cli, results, "csv", *options, table=table))))


def test_csv_holds_the_accuracies_of_the_records(cli, results):
    head, row = cells(cli, results)
    assert head[:6] == ["defense", "worst case", "worst case low", "worst case high", "trust", "clean"]
    assert head[6:] == [f"{attack}{end}" for attack in ("pgd-20", "mim-20") for end in ("", " low", " high")]
    assert row[0] == "digits/pgdat"
    for attack in ("pgd-20", "mim-20"):
        _, rows = read(raw_record(results, attack))
        value, low, high = (float(row[head.index(attack) + place]) for place in range(3))
        assert value == round(100 * rows.robust.mean(), 2)
        assert low < value < high


def as_ensemble(rows):
    """A person's table with its intervals in columns of their own, as in the CSV."""
    wide = [place for place, cell in enumerate(rows[1]) if "[" in cell]

    def spread(place, cell):
        if place not in wide:
            return [cell]
        return re.findall(r"[\d.]+", cell) if "[" in cell else [cell, f"{cell} low", f"{cell} high"]

    return [[each for place, cell in enumerate(row) for each in spread(place, cell)] for row in rows]


def shortened(rows):
    """The CSV's interval ends with as many digits as people see."""
    ends = [place for place, name in enumerate(rows[0]) if name.endswith((" low", " high"))]
    return [rows[0], *([f"{float(c):.1f}" if p in ends else c for p, c in enumerate(row)] for row in rows[1:])]


def test_markdown_is_a_pipe_table(cli, results):
    lines = rendered(cli, results, "md").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert as_ensemble([table[0], *table[2:]]) == shortened(cells(cli, results))
    assert all(set(cell) <= {"-", ":"} for cell in table[1])


def test_latex_is_a_booktabs_table(cli, results):
    command = ("eval", "--model", "pgdat_he", "--attack", "pgd-20", "--limit", 20)
    assert cli(*command, "--results", results).code == 0
    text = rendered(cli, results, "latex")
    assert text.startswith(r"\documentclass{article}")
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    start = next(at for at, line in enumerate(lines) if line.startswith(r"\begin{tabular}"))
    lines = lines[start : next(at for at, line in enumerate(lines) if line.startswith(r"\end{tabular}"))]
    assert r"\toprule" in lines
    assert r"pgdat\_he" in "\n".join(lines)
    body = [line for line in lines if line.endswith(r"\\")]
    assert len(body) == 3
    assert all(line.count("&") == 5 for line in body)


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.rows = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data.strip())


def test_html_is_a_balanced_table(cli, results):
    parser = Cells()
    parser.feed(rendered(cli, results, "html"))
    assert parser.open == []
    assert as_ensemble(parser.rows) == shortened(cells(cli, results))


@pytest.mark.parametrize("name", FORMATS)
def test_report_writes_a_file(cli, results, tmp_path, name):
    path = tmp_path / "new" / "table"
    said = cli("report", "robustness", "--results", results, "--format", name, "--out", path)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"wrote {path}\n"
    assert path.read_text() == cli("report", "robustness", "--results", results, "--format", name).out


def test_report_of_one_battery_shows_its_attacks_only(cli, results):
    assert cells(cli, results, "--battery", "quick") == cells(cli, results)
    said = cli("report", "--battery", "fast", "--results", results)
    assert said.code == 3
    assert "--battery fast" in said.sentence


@pytest.mark.slow
def test_what_an_attack_leaves_out_is_its_accuracy_above_the_worst_case(cli):
    def row(table):
        said = cli("report", table, "--format", "csv", "--model", "pgdat", "--seed", 0)
        (found,) = csv.DictReader(io.StringIO(said.out))
        return found

    alone, worst = (float(row("robustness")[name]) for name in ("pgd-20", "worst case"))
    assert float(row("overestimate")["pgd-20"]) == pytest.approx(alone - worst, abs=0.011)
    assert worst < alone


def test_report_that_cannot_write_names_the_place_and_the_option(cli, results, tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "table.md"
    said = cli("report", "--results", results, "--format", "md", "--out", path)
    assert said.code == 2
    assert f"cannot write to '{path.parent}'" in said.sentence
    assert "--out" in said.sentence


def test_every_table_can_be_asked_for_by_name(cli, results):
    every = cli("report", *TABLES, "--results", results).out
    shown = cli("report", "--results", results).out
    assert every.startswith(shown)
    assert "No records of attacks that see scores or decisions only" in every.removeprefix(shown)
