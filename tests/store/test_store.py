"""Records: what is written is what is read."""

import json
import shutil

import numpy as np
import pytest

import robench
from robench.errors import InputError
from robench.report import load, select
from robench.report.publish import publish
from robench.store import Store, read, read_file


@pytest.fixture(scope="module")
def _two_attacks(tmp_path_factory, digits):
    model, folder = robench.load_model("pgdat"), tmp_path_factory.mktemp("two-attacks")
    few = digits.limit(50)
    robench.evaluate(model, few.x, few.y, ids=few.ids, attacks=["pgd-20", "fgsm"], eps="0.2", results=folder)
    return folder


@pytest.fixture
def folder(_two_attacks, tmp_path):
    """Records of two attacks on fifty examples, the test's own."""
    return shutil.copytree(_two_attacks, tmp_path / "results")


def test_published_record_keeps_verdicts_and_first_successes(folder):
    raw = {record.header.attack.name: record for record in Store(folder).records()}
    (path,) = publish(folder)
    for record in read_file(path):
        before = raw[record.header.attack.name]
        for column in ("clean", "robust", "step"):
            np.testing.assert_array_equal(getattr(record, column), getattr(before, column))
        assert record.header == before.header
        assert record.robust_accuracy == before.robust_accuracy


def test_publishing_twice_changes_nothing(folder):
    (path,) = publish(folder)
    first = path.read_bytes()
    publish(folder)
    assert path.read_bytes() == first


def test_raw_replaces_its_published_copy(folder):
    publish(folder)
    assert len(load(folder)) == 2


def test_limits_are_not_mixed(folder, digits):
    model = robench.load_model("pgdat")
    fewer = digits.limit(20)
    robench.evaluate(model, fewer.x, fewer.y, ids=fewer.ids, attacks=["fgsm"], eps="0.2", results=folder)
    selection = select(load(folder))
    ((_, records),) = selection.defenses.items()
    assert {record.header.n for record in records} == {50}
    assert selection.left_out == 1


@pytest.mark.parametrize("key", ["robust", "steps", "hash"])
def test_tampered_published_line_is_refused(folder, key):
    (path,) = publish(folder)
    lines = path.read_text().splitlines()
    data = json.loads(lines[0])
    data[key] = {"robust": data["robust"][2:], "steps": [*data["steps"], 1], "hash": "0" * 64}[key]
    path.write_text("\n".join([json.dumps(data), *lines[1:]]) + "\n")
    with pytest.raises(InputError, match="line 1"):
        list(read_file(path))


def test_rows_survive_parquet(folder):
    for path in Store(folder).paths():
        header, rows = read(path)
        assert header.n == len(rows) == 50
        assert (rows.step[rows.robust] == -1).all()
        assert np.isnan(rows.distance[rows.robust]).all()
        broken = rows.clean & ~rows.robust
        assert (rows.distance[broken] <= 0.2 + 1e-6).all()
        assert (rows.queries[broken] >= 1).all()
        assert (rows.prediction[broken] != rows.label[broken]).all()
