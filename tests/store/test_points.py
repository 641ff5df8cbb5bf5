"""Points of published records: what is written is what is read, byte for byte, and a changed byte is seen."""

import json
import zipfile

import numpy as np
import pytest

from robench.errors import InputError
from robench.store import grid
from robench.store.grid import EXACT, LEVELS, Point, grids
from robench.store.points import HEADER, PointsKey, points_path, read_points_file, write_points

EPS = 8 / 255
KEY = PointsKey("digits/one", "ab" * 32, "cd" * 32, "digits", "ef" * 32, "linf", EPS)


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    return random.random((20, 3, 5, 4), dtype=np.float32) * np.float32(1.2) - np.float32(0.1)


def test_every_grid_stays_in_the_ball_and_ends_exactly(images):
    for clean in images.clip(0, 1):
        random = np.random.default_rng(1)
        moved = (clean + random.uniform(-EPS, EPS, clean.shape)).clip(0, 1).astype(np.float32)
        for norm, eps in (("linf", EPS), ("l2", float(np.linalg.norm(moved.astype(float) - clean)))):
            found = list(grids(clean, moved, norm, eps))
            assert [each.levels for each in found] == [*LEVELS, EXACT]
            away = [np.abs(each.around(clean).astype(float) - moved).max() for each in found]
            assert away == sorted(away, reverse=True)
            assert away[-1] == 0
            for each in found:
                delta = each.around(clean).astype(float) - clean
                length = np.abs(delta).max() if norm == "linf" else np.linalg.norm(delta)
                assert length <= eps * (1 + 1e-6) + 1e-7


def test_a_corner_of_the_ball_is_kept_on_the_coarsest_grid(images):
    clean = images[0].clip(0, 1)
    corner = (clean + EPS * np.sign(images[1] - 0.5)).clip(0, 1).astype(np.float32)
    first = next(grids(clean, corner, "linf", EPS))
    assert first.levels == 1
    assert np.abs(first.around(clean).astype(float) - corner).max() <= 1e-7
    unmoved = (corner == clean).ravel()
    assert (first.values[unmoved] == 0).all()


def some_points(images):
    """A point on every grid."""
    clean, moved = images.clip(0, 1)[:2], images[2:4].clip(0, 1)
    near = clean + (moved - clean).clip(-EPS, EPS)
    every = [each for at in range(2) for each in grids(clean[at], near[at].astype(np.float32), "linf", EPS)]
    return {7 * at: Point(each.levels, each.step, each.values, at) for at, each in enumerate(every)}


def test_what_is_written_is_read_and_the_same_points_give_the_same_bytes(images, tmp_path):
    points = some_points(images)
    other = KEY._replace(norm="l2", eps=1.0, target="3")
    path = points_path(tmp_path / "digits" / "one.jsonl")
    write_points(path, {other: {5: points[7]}, KEY: points, KEY._replace(eps=0.5): {}})
    first = path.read_bytes()
    found = read_points_file(path)
    assert found.keys() == {KEY, other}
    for each, point in points.items():
        again = found[KEY][each]
        assert (again.levels, again.step, again.predicted) == (point.levels, point.step, point.predicted)
        assert again.values.dtype == point.values.dtype
        np.testing.assert_array_equal(again.values, point.values)
    write_points(path, {KEY: dict(reversed(found[KEY].items())), other: found[other]})
    assert path.read_bytes() == first
    with np.load(path) as file:  # readable without robench
        assert file["1.ids"].tolist() == sorted(points)


def test_a_changed_point_a_damaged_file_and_a_newer_schema_are_refused(images, tmp_path):
    path = tmp_path / "points" / "one.npz"
    write_points(path, {KEY: some_points(images)})
    with zipfile.ZipFile(path) as file:
        held = {name: file.read(name) for name in file.namelist()}

    def rewrite(**changed):
        with zipfile.ZipFile(path, "w") as file:
            for name, content in held.items():
                file.writestr(name, changed.get(name.partition(".npy")[0], content))

    flipped = bytearray(held["0.coarse.npy"])
    flipped[-1] ^= 1
    rewrite(**{"0.coarse": bytes(flipped)})
    with pytest.raises(InputError, match="damaged: restore it"):
        read_points_file(path)
    header = json.loads(held[HEADER])
    for changed, said in (({"schema": 2}, "has schema 2, this robench reads up to 1"), ({"groups": []}, "damaged")):
        rewrite(**{HEADER: json.dumps({**header, **changed}).encode()})
        with pytest.raises(InputError, match=said):
            read_points_file(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="damaged"):
        read_points_file(path)
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        read_points_file(path)


def test_bytes_hold_the_offsets_of_all_grids_but_the_finest():
    assert [levels <= grid.BYTE for levels in LEVELS] == [True, True, True, False]
