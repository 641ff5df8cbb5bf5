"""Files of every older schema are read to the verdicts that they were written with; newer schemas are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from robench.errors import InputError
from robench.specs import digest
from robench.store import SCHEMA, Store, read, read_file
from robench.store import corrupted as corrupted_lines
from robench.store.corrupted import read_lines
from robench.store.origin import read_origin
from robench.store.sealed import write_sealed
from tests.support.records import change_header

CORPUS = Path(__file__).parent / "corpus"
VERSIONS = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())
WITH_CHECKSUMS = [name for name in VERSIONS if (CORPUS / name / "raw").is_dir() and name != "1-unsealed"]


def lines(path):
    """The lines of a published file as they stand there, read without robench."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in found if "hash" in line]


def bits(text, n):
    return [each == "1" for each in f"{int(text, 16):0{4 * len(text)}b}"[:n]]


@pytest.mark.parametrize("name", [name for name in VERSIONS if (CORPUS / name / "digits" / "pgdat.jsonl").is_file()])
def test_published_lines_of_every_schema_keep_their_verdicts(name):
    path = CORPUS / name / "digits" / "pgdat.jsonl"
    written = lines(path)
    found = list(read_file(path))
    assert len(found) == len(written) >= 2
    assert {record.header.schema_version for record in found} == {int(name[0])}
    for record, line in zip(found, written, strict=True):
        n = line["n"]
        assert (record.clean.tolist(), record.robust.tolist()) == (bits(line["clean"], n), bits(line["robust"], n))
        broken = record.clean & ~record.robust
        assert record.step[broken].tolist() == line["steps"]
        assert (record.queries is None) == ("queries" not in line)
        drawn = bytes.fromhex(line.get("right", ""))
        assert (None if record.right is None else bytes(record.right.tolist())) == (drawn or None)
        assert (record.header.hash, record.header.target) == (line["hash"], line.get("target", ""))
    said = {row["spec_hash"]: row for row in json.loads((CORPUS / name / "out.json").read_text())["results"]}
    assert said
    for record in found:
        if record.header.hash in said:
            row = said.pop(record.header.hash)
            assert row["robust_accuracy"] == pytest.approx(record.robust_accuracy)
            assert row["clean_accuracy"] == pytest.approx(record.clean_accuracy)
    assert not said


@pytest.mark.parametrize("name", WITH_CHECKSUMS)
def test_raw_records_of_every_schema_say_what_the_published_lines_say(name):
    published = {line["hash"]: line for line in lines(CORPUS / name / "digits" / "pgdat.jsonl")}
    found = 0
    for path in Store(CORPUS / name).paths():
        header, rows = read(path)
        line = published[header.hash]
        assert rows.clean.tolist() == bits(line["clean"], header.n)
        assert rows.robust.tolist() == bits(line["robust"], header.n)
        broken = rows.clean & ~rows.robust
        assert rows.step[broken].tolist() == line["steps"]
        found += int(broken.sum())
        lengths = {len(point or b"") for point in rows.adversarial[broken]}
        assert lengths <= {4 * 64 * header.has_adversarial}
    assert found


@pytest.mark.parametrize("name", ["2-corruptions", "2-seals"])
def test_corruptions_of_every_schema_keep_their_verdicts(name):
    path = CORPUS / name / "digits" / "corruptions" / "pgdat.jsonl"
    found = list(read_lines(path))
    assert [line.verdicts.tolist() for line in found] == [bits(each["correct"], 10) for each in lines(path)]
    said = json.loads((CORPUS / "2-corruptions" / "out.json").read_text())["corruptions"]
    assert [each["accuracy"] for each in said] == pytest.approx([line.accuracy for line in found])


def test_points_of_the_corpus_are_judged_again(cli):
    said = cli("verify", "--published", "--results", CORPUS / "2-seals")
    assert (said.code, said.err) == (0, "")


def test_a_raw_record_without_checksums_is_refused_with_the_reason():
    (path,) = Store(CORPUS / "1-unsealed").paths()
    with pytest.raises(InputError, match="written before records had checksums: delete it and run the same command"):
        read(path)


def test_schemas_newer_than_known_end_in_one_sentence(tmp_path):
    newer = {"schema": SCHEMA + 1, "brand": "new"}
    told = rf"has schema {SCHEMA + 1}, this robench reads up to {SCHEMA}: update robench\.$"
    published = tmp_path / "pgdat.jsonl"
    write_sealed(published, [{**line, **newer} for line in lines(CORPUS / "2-queries" / "digits" / "pgdat.jsonl")])
    with pytest.raises(InputError, match=told):
        list(read_file(published))
    raw = Path(shutil.copy(next(Store(CORPUS / "2-queries").paths()), tmp_path))
    change_header(raw, lambda header: {**header, **newer})
    with pytest.raises(InputError, match=told):
        read(raw)
    swept = tmp_path / "swept.jsonl"
    line = lines(CORPUS / "2-corruptions" / "digits" / "corruptions" / "pgdat.jsonl")[0]
    later = corrupted_lines.SCHEMA + 1
    write_sealed(swept, [{**line, "schema": later, "brand": "new"}])
    with pytest.raises(InputError, match=f"has schema {later}, this robench reads up to {later - 1}: update robench"):
        list(read_lines(swept))
    origin = tmp_path / "network-0.json"
    origin.write_text(json.dumps({"schema": 2, "network": {}, "files": {}}))
    with pytest.raises(InputError, match="has a newer schema than 1: update robench"):
        read_origin(origin)


def test_the_corpus_has_every_schema_that_this_version_reads():
    assert {name[0] for name in VERSIONS} == {str(schema) for schema in range(1, SCHEMA + 1)}
    held = [line for name in VERSIONS for path in (CORPUS / name).glob("digits/*.jsonl") for line in lines(path)]
    assert all(digest(line["identity"]) == line["hash"] for line in held)
    assert np.unique([line["schema"] for line in held]).tolist() == list(range(1, SCHEMA + 1))
