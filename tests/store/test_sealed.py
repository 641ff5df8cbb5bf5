"""A published file that was changed by one bit, one line or one cut is refused, or reads as before."""

import random
import shutil

import pytest

from robench.errors import InputError
from robench.paths import data_root
from robench.report.publish import republish
from robench.store import read_file, write_file
from robench.store.corrupted import read_lines, write_lines
from robench.store.published import to_data
from robench.store.sealed import is_sealed, read_sealed
from tests.support.seals import unseal

PUBLISHED = data_root() / "results" / "digits"
COUNTS = [(60, 12), pytest.param(5000, 500, marks=pytest.mark.slow)]
"""Numbers of flipped bits, and of other changes."""


@pytest.fixture(scope="module", params=["records", "corruptions"])
def file(request, tmp_path_factory):
    """A sealed file and what it reads as."""
    path = tmp_path_factory.mktemp("sealed") / "pgdat.jsonl"
    if request.param == "records":
        write_file(path, list(read_file(PUBLISHED / "pgdat.jsonl"))[:4])
    else:
        write_lines(path, list(read_lines(PUBLISHED / "corruptions" / "pgdat.jsonl"))[:4])
    return path, contents(path)


def contents(path):
    return [line for _, line in read_sealed(path, "restore it")]


def holds(path, data, expected):
    """Whether changed bytes are refused in one sentence, or read as before."""
    path.write_bytes(data)
    try:
        return contents(path) == expected
    except InputError as error:
        text = str(error)
        return "\n" not in text and text.endswith(".") and str(path) in text


@pytest.mark.parametrize(("bits", "cuts"), COUNTS)
def test_no_change_is_silent(file, tmp_path, bits, cuts):
    path, expected = file
    whole, draw, copy = path.read_bytes(), random.Random(0), tmp_path / "copy.jsonl"
    for _ in range(bits):
        at = draw.randrange(8 * len(whole))
        changed = bytearray(whole)
        changed[at // 8] ^= 1 << at % 8
        assert holds(copy, bytes(changed), expected), f"bit {at}"
    lines = whole.splitlines(keepends=True)
    for _ in range(cuts):
        at, to = sorted(draw.sample(range(len(whole)), 2))
        assert holds(copy, whole[:at], expected)
        assert holds(copy, whole[:at] + whole[to:], expected)
        assert holds(copy, whole[:at] + whole[at:to] + whole[at:], expected)
        k = draw.randrange(len(lines))
        assert holds(copy, b"".join(lines[:k] + lines[k + 1 :]), expected)
        assert holds(copy, b"".join([*lines[:k], lines[draw.randrange(len(lines) - 1)], *lines[k:]]), expected)


def test_the_changed_line_is_named(file, tmp_path):
    path, _ = file
    copy = tmp_path / "copy.jsonl"
    copy.write_text(path.read_text().replace('"seed":0', '"seed":1', 1))
    with pytest.raises(InputError, match="was changed after it was sealed, first line 1"):
        contents(copy)


def test_two_hex_digits_that_swap_a_verdict_are_noticed(tmp_path):
    """The digits d and e have equally many ones, so that counts of verdicts stay."""
    path = tmp_path / "pgdat.jsonl"
    write_file(path, list(read_file(PUBLISHED / "pgdat.jsonl"))[:2])
    text = path.read_text()
    at = text.index("d", text.index('"robust":"'))
    path.write_text(text[:at] + "e" + text[at + 1 :])
    with pytest.raises(InputError, match="sealed"):
        list(read_file(path))


def test_other_line_ends_and_joined_files_are_read(file, tmp_path):
    path, expected = file
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert contents(copy) == expected
    copy.write_bytes(2 * path.read_bytes())
    assert contents(copy) == 2 * expected


def test_a_file_without_seals_is_read_and_publish_seals_it(cli, tmp_path):
    path = tmp_path / "digits" / "pgdat.jsonl"
    path.parent.mkdir()
    shutil.copy(PUBLISHED / "pgdat.jsonl", path)
    before = list(map(to_data, read_file(path)))
    unseal(path)
    assert not is_sealed(path)
    assert "no seal: pgdat.jsonl" in cli("leaderboard", "--results", tmp_path, "--out", tmp_path / "l.csv").err
    assert f"wrote {path}" in cli("publish", "--results", tmp_path).out
    assert is_sealed(path)
    assert list(map(to_data, read_file(path))) == before
    assert "no seal" not in cli("leaderboard", "--results", tmp_path, "--out", tmp_path / "l.csv").err
    assert cli("publish", "--results", tmp_path).code == 3  # nothing is left to do


@pytest.mark.parametrize("change", ["step", "clean"])
def test_lines_without_seals_must_agree(tmp_path, change):
    """Steps within the attack's, and the same clean verdicts for one network."""
    path = tmp_path / "pgdat.jsonl"
    records = [record for record in read_file(PUBLISHED / "pgdat.jsonl") if record.header.seed == 0][:3]
    if change == "step":
        records[1].step[records[1].step > 0] = records[1].header.attack.steps + 1
    else:
        one = (records[1].clean & ~records[1].robust).nonzero()[0][0]
        records[1].clean[one] = False
    write_file(path, records)
    with pytest.raises(InputError, match=r"line 2: .*(steps|clean verdicts)"):
        list(read_file(path))


def test_records_that_would_be_refused_are_not_published(tmp_path):
    """Two attacks on one network with other clean verdicts, as a near tie gives on another device."""
    records = [record for record in read_file(PUBLISHED / "pgdat.jsonl") if record.header.seed == 0][:2]
    one = (records[1].clean & ~records[1].robust).nonzero()[0][0]
    records[1].clean[one] = False
    with pytest.raises(InputError, match="differ in clean verdicts"):
        republish(tmp_path / "pgdat.jsonl", records)
    assert not (tmp_path / "pgdat.jsonl").exists()


def test_a_damaged_file_of_another_defense_stops_no_publication(cli, results):
    other = results / "digits" / "other.jsonl"
    other.parent.mkdir(exist_ok=True)
    other.write_text("")
    assert cli("publish", "--results", results, "--model", "digits/pgdat").code == 0
    assert "is empty" in cli("publish", "--results", results).sentence
    assert (results / "digits" / "pgdat.jsonl").is_file()
