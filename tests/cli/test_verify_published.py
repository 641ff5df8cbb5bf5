"""`robench publish` puts points on file, and `robench verify --published` judges every broken example from them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from robench.cli import run
from robench.paths import data_root
from robench.specs import Card, find_card
from robench.store import Record, read_file, write_file
from robench.store.points import PointsKey, points_path, read_points_file, write_points
from tests.support.records import raw_record
from tests.support.shell import EVAL, SMALL
from tools import publish_points

MORE = ("eval", "--model", "pgdat", "--attack", "fgsm", "--limit", 20, "--save-adversarial")
PUBLISHED = "digits/pgdat.jsonl"


@pytest.fixture(scope="module")
def _published(tmp_path_factory):
    """Published records of two attacks, of one in l2, and of one with a target, with their points."""
    folder = tmp_path_factory.mktemp("published")
    for command in (SMALL, (*MORE, "--norm", "l2", "--eps", "2"), (*MORE, "--target", 3, "--eps", "0.5")):
        assert run([*map(str, command), "--results", str(folder)]) == 0
    assert run(["publish", "--results", str(folder)]) == 0
    shutil.rmtree(folder / "raw")
    return folder


@pytest.fixture
def published(_published, tmp_path):
    """The test's own copy, without the raw records."""
    return shutil.copytree(_published, tmp_path / "results")


def broken(record):
    return int((record.clean & ~record.robust).sum())


def row(said, model="digits/pgdat"):
    (line,) = (line for line in said.out.splitlines() if line.startswith(f"{model} "))
    return [int(word.replace(",", "")) for word in line.split()[1:]]


def test_every_broken_verdict_is_confirmed(cli, published):
    said = cli("verify", "--published", "--results", published)
    assert (said.code, said.err) == (0, "")
    records = list(read_file(published / PUBLISHED))
    total = sum(map(broken, records))
    assert all(map(broken, records))
    assert row(said) == [4, total, total, 0, 0]
    groups = read_points_file(points_path(published / PUBLISHED))
    assert groups.keys() == {PointsKey.of(record.header) for record in records}
    for key, points in groups.items():
        mine = [record for record in records if PointsKey.of(record.header) == key]
        assert len(points) == sum(np.any([record.clean & ~record.robust for record in mine], axis=0))


def test_a_verdict_without_a_point_is_named(cli, published, tmp_path):
    path = published / PUBLISHED
    first, *others = read_file(path)
    at = int(np.flatnonzero(first.robust)[0])
    forged = first.robust.copy()
    forged[at] = False
    write_file(path, [Record(first.header, first.clean, forged, np.where(forged, -1, first.step.clip(0))), *others])
    said = cli("verify", "--published", "--results", published, "--json", tmp_path / "j")
    assert said.code == 1
    assert row(said)[3:] == [1, 0]
    name = first.header.attack.name
    assert f"digits/pgdat {name} (seed 0), examples " in said.sentence
    assert "no point on file." in said.sentence
    ((fault,), *_) = (each["unconfirmed"] for each in json.loads((tmp_path / "j").read_text())["models"])
    assert (fault["attack"], fault["record"], len(fault["ids"])) == (name, first.header.hash, 1)


def test_points_that_break_nothing_leave_the_ball_or_are_of_other_weights_are_named(cli, published):
    path = points_path(published / PUBLISHED)
    groups = read_points_file(path)
    small = next(key for key in groups if key.norm == "linf" and not key.target)
    (one, point), (two, other), *_ = groups[small].items()
    groups[small] |= {one: replace(point, step=point.step * 1.1), two: replace(other, values=other.values * 0)}
    lost = next(key for key in groups if key.norm == "l2")
    aimed = next(key for key in groups if key.target)
    groups[lost._replace(network="0" * 64)] = groups.pop(lost)
    groups[aimed] = {each: replace(point, predicted=4) for each, point in groups[aimed].items()}
    write_points(path, groups)
    said = cli("verify", "--published", "--results", published)
    assert said.code == 1
    assert f"examples {one}: outside the ball." in said.err
    assert f"examples {two}: not misclassified." in said.err
    assert "the points on file are of other weights." in said.err
    assert "not of the target class" not in said.err  # the class in the file is not believed


def test_other_clean_verdicts_are_named(cli, published):
    path = published / PUBLISHED
    records = list(read_file(path))
    wrong = records[0].clean.copy()
    wrong[int(np.flatnonzero(records[0].robust)[0])] = False
    changed = [
        Record(r.header, wrong, r.robust & wrong, np.where(wrong, r.step, 0)) if not r.header.target else r
        for r in records
    ]
    write_file(path, changed)
    said = cli("verify", "--published", "--results", published)
    assert (said.code, "another clean verdict" in said.err) == (1, True)


def test_a_network_that_is_not_the_published_one_confirms_nothing(cli, published, monkeypatch):
    other = find_card("pgdat_he").identity()
    monkeypatch.setattr(Card, "identity", lambda self: other)
    said = cli("verify", "--published", "--results", published)
    assert (said.code, row(said)[2]) == (1, 0)
    assert "made with other weights than the card's" in said.err


def test_missing_files_end_in_one_sentence(cli, published, tmp_path):
    path = points_path(published / PUBLISHED)
    path.unlink()
    said = cli("verify", "--published", "--results", published)
    assert (said.code, f"'{path}' is missing" in said.sentence) == (2, True)
    said = cli("verify", "--published", "--results", tmp_path / "none")
    assert (said.code, "has no published records" in said.sentence) == (2, True)
    said = cli("verify", "--published", "--results", published, "--model", "pgdat_he")
    assert (said.code, "no published records of pgdat_he" in said.sentence) == (2, True)
    said = cli("verify", "--dataset", "digits")
    assert (said.code, "add --published" in said.sentence) == (2, True)
    said = cli("verify", "--published", "--model", "pgdat", "--scale", 3)
    assert (said.code, "leave the options" in said.sentence) == (2, True)


def test_a_dataset_that_is_not_there_ends_in_one_sentence(cli, tmp_path):
    (tmp_path / "none").mkdir()
    path = tmp_path / "results" / "cifar10-jpeg" / "pgdat.jsonl"
    path.parent.mkdir(parents=True)
    shutil.copy(data_root() / "results" / "cifar10-jpeg" / "pgdat.jsonl", path)
    write_points(points_path(path), {})
    folders = ("--results", tmp_path / "results", "--data-dir", tmp_path / "none")
    said = cli("verify", "--published", "--dataset", "cifar10-jpeg", *folders)
    assert (said.code, "cifar10-jpeg" in said.sentence) == (2, True)


def test_publishing_again_loses_no_point_and_what_lacks_one_is_counted(cli, results, tmp_path):
    raw_record(results).unlink()  # leaves mim-20
    assert cli("publish", "--results", results).code == 0
    path = points_path(results / PUBLISHED)
    first = path.read_bytes()
    assert cli(*EVAL, "--results", results).code == 0  # stronger, without points
    said = cli("publish", "--results", results)
    assert said.code == 0
    groups = read_points_file(path)
    (points,) = groups.values()
    every = len({each for record in read_file(results / PUBLISHED) for each in np.flatnonzero(~record.robust)})
    assert f"digits/pgdat: {every - len(points)} of {every} broken examples have no point on file" in said.out
    assert path.read_bytes() == first
    shutil.rmtree(results / "raw")
    assert cli("verify", "--published", "--results", results).code == 1


def test_the_tool_makes_the_points_that_are_missing_and_goes_on_where_it_stopped(published, tmp_path, monkeypatch):
    path = published / PUBLISHED
    before, made = path.read_bytes(), read_points_file(points_path(path))
    points_path(path).unlink()
    monkeypatch.setattr(publish_points, "CHEAP", (("fgsm", 0),))
    aimed = sum(len(points) for key, points in made.items() if key.target)
    # what fgsm leaves falls to the attack that broke it; points with a target come from `publish` alone
    assert publish_points.complete(path, find_card("pgdat"), tmp_path / "scratch") == aimed
    found = read_points_file(points_path(path))
    assert {key: points.keys() for key, points in found.items()} == {
        key: points.keys() for key, points in made.items() if not key.target
    }
    assert path.read_bytes() == before
    monkeypatch.setattr(publish_points, "evaluate", None)  # nothing is run again
    assert publish_points.complete(path, find_card("pgdat"), tmp_path / "scratch") == aimed


def test_the_committed_points_confirm_the_committed_records(cli):
    said = cli(
        "verify", "--published", "--dataset", "digits", "--model", "pgdat_he", "--results", data_root() / "results"
    )
    assert (said.code, said.err) == (0, "")
    records, verdicts, confirmed, *others = row(said, "digits/pgdat_he")
    assert records > 60
    assert verdicts == confirmed > 5000
    assert others == [0, 0]
