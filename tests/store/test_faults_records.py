"""Damaged records: one clear sentence, the right exit code, nothing lost.

The numbers are those of the list of faults.
"""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robench.errors import InputError
from robench.store import read
from robench.store.header import SCHEMA
from tests.support.marks import slow
from tests.support.records import change_column, change_header, raw_record
from tests.support.seals import unseal
from tests.support.shell import SMALL
from tests.support.toys import Interrupted, cut, interrupted, refusal

# ---- 15: damaged records ----


def without(column):
    def change(path):
        pq.write_table(pq.read_table(path).drop_columns([column]), path)

    return change


def header(**changes):
    return lambda path: change_header(path, lambda before: {**before, **changes})


RAW = {
    "cut short": (cut, "delete it and run the same command again"),
    "empty": (lambda path: path.write_bytes(b""), "delete it and run the same command again"),
    "no Parquet file": (lambda path: path.write_text("hello"), "delete it and run the same command again"),
    "a newer schema": (header(schema=SCHEMA + 1), "update robench"),
    "another identity": (header(identity={"seed": 3}), "its hash does not match"),
    "another hash": (header(hash="0" * 64), "its hash does not match"),
    "an unknown key": (header(colour="red"), "'colour'"),
    "a missing key": (lambda path: change_header(path, lambda h: {k: v for k, v in h.items() if k != "n"}), "'n'"),
    "rows missing": (lambda path: pq.write_table(pq.read_table(path).slice(1), path), "cut short"),
    "header no JSON": (lambda path: change_header(path, lambda h: b"{"), "delete it"),
    "header no text": (lambda path: change_header(path, lambda h: b"\xff"), "delete it"),
    "header a list": (lambda path: change_header(path, lambda h: [1]), "delete it"),
    "another eps beside its identity": (
        header(threat={"norm": "linf", "text": "1", "eps": 1.0}),
        "contradicts its identity",
    ),
    "verdicts gone": (lambda path: change_column(path, "robust", lambda c: [None] * len(c)), "delete it"),
    "no column of verdicts": (without("robust"), "delete it"),
}


@pytest.mark.parametrize("command", [SMALL, ("report",), ("publish",), ("verify",)], ids=lambda command: command[0])
@pytest.mark.parametrize("what", RAW)
def test_a_damaged_record_is_named_with_its_mend(cli, results, what, command):
    path = raw_record(results)
    change, words = RAW[what]
    change(path)
    said = cli(*command, "--results", results)
    assert said.code == 2
    assert str(path) in said.last
    assert words in said.last


def test_a_record_under_anothers_name_is_refused(cli, results):
    path = raw_record(results)
    wrong = path.rename(path.with_name("pgd-20-0123456789abcdef.parquet"))
    said = cli("report", "--results", results)
    assert said.code == 2
    assert str(wrong) in said.sentence
    assert "not the one in its name" in said.sentence


@pytest.mark.parametrize("command", ["report", "publish", "verify"])
def test_a_foreign_file_is_not_to_be_deleted(cli, results, command):
    path = raw_record(results).with_name("budget.parquet")
    pq.write_table(pa.table({"euros": [1]}), path)
    said = cli(command, "--results", results)
    assert said.code == 2
    assert str(path) in said.sentence
    assert "not a robench record" in said.sentence
    assert "delete" not in said.sentence


def test_the_mend_of_a_damaged_record_works(cli, results):
    path = raw_record(results)
    before = read(path)[1]
    cut(path)
    assert cli(*SMALL, "--results", results).code == 2
    path.unlink()
    assert cli(*SMALL, "--results", results).code == 0
    assert read(path)[1].robust.tolist() == before.robust.tolist()


def contents(path):
    head, rows = read(path)
    columns = [column.tolist() for column in rows.columns().values()]
    return head.model_dump_json(), repr(columns)


@pytest.mark.parametrize("stride", [61, slow(11)])
def test_no_flipped_byte_changes_what_is_read(results, stride):
    path = raw_record(results)
    whole, before, silent = path.read_bytes(), contents(path), []
    for place in range(0, len(whole), stride):
        flipped = bytearray(whole)
        flipped[place] ^= 0x55
        path.write_bytes(flipped)
        try:
            if contents(path) != before:
                silent.append(place)
        except InputError:
            continue
    assert not silent


def test_a_damaged_chunk_is_named(tmp_path, monkeypatch):
    chunk = interrupted(tmp_path, monkeypatch)[0]
    cut(chunk)
    text = refusal(Interrupted(), chunk_size=3, results=tmp_path)
    assert str(chunk) in text
    assert "delete" in text


def published(path, change):
    unseal(path)
    head, _, tail = path.read_bytes().partition(b"\n")
    path.write_bytes(change(head) + b"\n" + tail)


def fields(**changes):
    return lambda line: json.dumps({**json.loads(line), **changes}).encode()


PUBLISHED = {
    "cut short": (lambda line: line[:100], "not a record"),
    "a conflict marker": (lambda line: b"<<<<<<< HEAD\n" + line, "not a record"),
    "a newer schema": (fields(schema=SCHEMA + 1), "update robench"),
    "another identity": (fields(identity={"seed": 3}), "its hash does not match"),
    "verdicts no hex": (fields(robust="xyz"), "damaged verdicts"),
    "verdicts too short": (fields(robust="ff"), "damaged verdicts"),
    "verdicts that contradict": (fields(robust="ffffff"), "disagree"),
    "steps a number": (fields(steps=3), "restore"),
    "steps in words": (lambda line: fields(steps=["one"] * len(json.loads(line)["steps"]))(line), "restore"),
    "no object": (lambda line: b"[1]", "not a record"),
    "no text": (lambda line: b"\xff" + line, "restore"),
}


@pytest.mark.parametrize("what", PUBLISHED)
def test_a_damaged_published_record_is_named(cli, results, what):
    assert cli("publish", "--results", results).code == 0
    path = results / "digits" / "pgdat.jsonl"
    change, words = PUBLISHED[what]
    published(path, change)
    said = cli("report", "--results", results)
    assert said.code == 2
    assert str(path) in said.sentence
    assert words in said.sentence


def test_the_mend_of_a_damaged_published_record_works(cli, results):
    assert cli("publish", "--results", results).code == 0
    path = results / "digits" / "pgdat.jsonl"
    before = path.read_bytes()
    published(path, lambda line: line[:100])
    if "publish again" in cli("report", "--results", results).sentence:
        assert cli("publish", "--results", results).code == 0
        assert path.read_bytes() == before
