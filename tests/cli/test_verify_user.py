"""`--save-adversarial`, `verify` and the gallery for a user's networks and data."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from robench import paths
from robench.cli import run
from robench.data import find_dataset
from robench.report import load, select
from robench.report.page import page_data
from robench.store import Store, read
from robench.store.examples import Examples, beside, read_examples, write_examples
from robench.store.origin import KEY
from tests.support.images import png
from tests.support.programs import quietly
from tests.support.records import change_column
from tests.support.user_networks import CODE, IDS, N, linear, write

RUN = ("--attack", "fgsm", "--eps", "0.1", "--save-adversarial")
FUNCTION = ("--model", "net.py:make", "--weights", "w.pt")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """The cache of the user who evaluates and verifies; it holds the key of signatures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.CACHE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def _evaluated(tmp_path_factory, digits):
    """Code, weights, images and results, evaluated with relative paths."""
    place = tmp_path_factory.mktemp("users")
    write(place, digits)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        command = ("eval", *FUNCTION, "--dataset", "npz:data.npz", *RUN, "--attack", "pgd-20", "--results", "r")
        assert run([*map(str, command)]) == 0
    return place


@pytest.fixture
def place(_evaluated, tmp_path):
    """The evaluated folder itself: its paths are in the records."""
    kept = shutil.copytree(_evaluated, tmp_path / "kept")
    yield _evaluated
    shutil.rmtree(_evaluated)
    shutil.copytree(kept, _evaluated)


def verified(said):
    """The stored, confirmed and faulty examples of each line."""
    lines = [line for line in said.out.splitlines() if "(" in line]
    return [tuple(line.split(")")[1].split(maxsplit=2)) for line in lines]


def test_a_users_network_is_verified_from_any_folder(cli, place):
    said = cli("verify", "--results", place / "r")
    assert (said.code, said.err) == (0, "")
    found = verified(said)
    assert len(found) == 2
    for stored, confirmed, faults in found:
        assert int(stored) == int(confirmed) > 0
        assert faults == "none"
    (place / "data.npz").unlink()  # the images are kept beside the records
    assert cli("verify", "--results", place / "r").code == 0


def test_the_page_shows_the_users_images(cli, place):
    assert cli("report", "--format", "html", "--results", place / "r", "--out", place / "p.html").code == 0
    found = load(place / "r")
    shown = page_data(found, [select(found)], None)["defenses"][0]["gallery"]  # no dataset is asked for images
    assert shown["note"] == ""
    ids = {example["id"] for attack in shown["attacks"] for example in attack["examples"]}
    assert ids
    assert ids <= {*IDS.tolist()}


def test_images_are_kept_once_as_bytes(place):
    (path,) = (place / "r" / "raw").glob("*/examples/*")
    kept = read_examples(path)
    data = np.load(place / "data.npz")
    assert np.array_equal(kept.x, data["x"])
    assert kept.x.dtype == np.uint8
    assert np.array_equal(kept.ids, IDS)


def test_a_network_that_is_gone_or_changed_is_named_and_its_code_does_not_run(cli, place, tmp_path):
    runs = place / "runs.txt"
    (place / "net.py").rename(tmp_path / "net.py")
    said = cli("verify", "--results", place / "r")
    assert said.code == 1
    assert "not checked" in said.out
    assert f"'{place / 'net.py'}' is gone: name the network where it is now, --model FILE.py:FUNCTION" in said.sentence
    said = cli(
        "verify", "--results", place / "r", "--model", f"{tmp_path / 'net.py'}:make", "--weights", place / "w.pt"
    )
    assert (said.code, said.err) == (0, "")
    assert len(verified(said)) == 2
    before = runs.read_text()
    (place / "net.py").write_text(CODE.replace("64, 10", "64, 10, True"))
    said = cli("verify", "--results", place / "r")
    assert (said.code, "net.py' has changed since the evaluation: restore it" in said.sentence) == (1, True)
    assert runs.read_text() == before
    said = cli("verify", "--results", place / "r", "--model", f"{place / 'net.py'}:make", "--weights", place / "w.pt")
    assert (said.code, "not the one that was evaluated" in said.sentence) == (1, True)


def test_changed_weights_are_named(cli, place):
    torch.save({name: 2 * each for name, each in torch.load(place / "w.pt").items()}, place / "w.pt")
    said = cli("verify", "--results", place / "r")
    assert (said.code, "w.pt' has changed since the evaluation" in said.sentence) == (1, True)
    other = ("--model", f"{place / 'net.py'}:trained")
    said = cli("verify", "--results", place / "r", *other)
    assert (said.code, "no stored adversarial examples of " in said.sentence) == (3, True)
    said = cli("verify", "--results", place / "r", "--weights", place / "w.pt")
    assert (said.code, "name it" in said.sentence) == (2, True)


def test_places_that_another_user_wrote_are_not_followed(cli, place, tmp_path, monkeypatch):
    """Results of a stranger name neither code nor downloads, wherever these lie; the network can be named."""
    monkeypatch.setenv(paths.CACHE, str(tmp_path))
    before = (place / "runs.txt").read_text()
    said = cli("verify", "--results", place / "r")
    assert (said.code, "another user wrote where its network was" in said.sentence) == (1, True)
    assert (place / "runs.txt").read_text() == before
    named = ("--model", f"{place / 'net.py'}:make", "--weights", place / "w.pt")
    assert cli("verify", "--results", place / "r", *named).code == 0


def test_nobody_else_can_read_the_key_of_signatures(place):
    key = paths.user_cache() / KEY
    assert len(key.read_bytes()) == 32
    assert key.stat().st_mode & 0o077 == 0


def test_code_that_came_with_the_results_does_not_run(cli, place):
    (path,) = (place / "r" / "raw").rglob("network-*.json")
    (place / "r" / "net.py").write_text(CODE)
    origin = json.loads(path.read_text().replace(f"{place}/net.py", f"{place}/r/net.py"))
    path.write_text(json.dumps(origin))
    said = cli("verify", "--results", place / "r")
    assert (said.code, "its code lies in the folder of results itself" in said.sentence) == (1, True)
    assert not (place / "r" / "runs.txt").exists()
    path.write_text(json.dumps({**origin, "files": {}}))  # nor if nothing is said of its files
    assert cli("verify", "--results", place / "r").code == 1
    path.write_text(json.dumps({**origin, "files": {}}).replace("/r/net.py", "/net.py"))
    said = cli("verify", "--results", place / "r")
    assert (said.code, "another user wrote where its network was" in said.sentence) == (1, True)
    assert not (place / "r" / "runs.txt").exists()
    path.write_text("{")
    said = cli("verify", "--results", place / "r")
    assert (said.code, "is damaged: delete it and name the network" in said.sentence) == (1, True)


def flip(path, column):
    """Flip a bit in the middle of the points, whose values stand in a dictionary before the pages."""
    assert column.path_in_schema == "adversarial"
    content = bytearray(path.read_bytes())
    content[(column.dictionary_page_offset + column.data_page_offset) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_byte_is_seen(cli, place):
    path, other = sorted(Store(place / "r").paths())
    flip(path, pq.read_metadata(path).row_group(0).column(13))
    said = cli("verify", "--results", place / "r")
    assert (said.code, "damaged" in said.sentence, str(path) in said.sentence) == (2, True, True)
    path.unlink()

    def brighter(points):
        at = next(at for at, point in enumerate(points) if point)
        point = np.frombuffer(points[at], "<f4").copy()
        point[np.argmax(point < 0.5)] += 0.3
        return [point.tobytes() if place == at else each for place, each in enumerate(points)]

    change_column(other, "adversarial", brighter)
    said = cli("verify", "--results", place / "r")
    assert (said.code, "1x outside the ball" in said.out) == (1, True)


def test_changed_clean_images_are_seen(cli, place):
    (path,) = (place / "r" / "raw").glob("*/examples/*")
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    said = cli("verify", "--results", place / "r")
    assert (said.code, "the clean images in" in said.sentence, "damaged" in said.sentence) == (1, True, True)
    path.unlink()
    said = cli("verify", "--results", place / "r")
    assert (said.code, "its clean images were not kept" in said.sentence) == (1, True)
    said = cli("report", "--format", "html", "--results", place / "r")
    assert "the clean ones are not available: repeat `robench eval` with `--save-adversarial`" in said.out
    again = ("eval", *("--model", f"{place}/net.py:make", "--weights", place / "w.pt"), "--dataset")
    assert cli(*again, f"npz:{place}/data.npz", *RUN, "--results", place / "r", "--json", place / "j").code == 0
    assert json.loads((place / "j").read_text())["results"][0]["forwards"] == 0
    assert cli("verify", "--results", place / "r").code == 0


def test_settings_networks_and_eps_side_by_side(cli, tmp_path, digits, monkeypatch):
    """Two eps, another norm, a target, a normalisation, a name, one example: all in one folder."""
    write(tmp_path, digits)
    monkeypatch.chdir(tmp_path)
    for options in (
        ("--eps", "0.1"),
        ("--eps", "0.2", "--target", 3),
        ("--eps", "1", "--norm", "l2", "--name", "mine", "--limit", 7),
        ("--eps", "0.1", "--mean", "0.1", "--std", "0.9", "--seed", 1, "--example", IDS[0]),
    ):
        command = ("eval", *FUNCTION, "--dataset", "npz:data.npz", "--attack", "fgsm", "--save-adversarial")
        assert cli(*command, *options, "--results", "r").code == 0
    monkeypatch.chdir("/")
    said = cli("verify", "--results", tmp_path / "r")
    assert (said.code, said.err) == (0, "")
    found = verified(said)
    assert len(found) == 4
    assert all(stored == confirmed and faults == "none" for stored, confirmed, faults in found)
    assert cli("verify", "--results", tmp_path / "r", "--model", "mine").out.count("fgsm") == 1
    named = ("--model", f"{tmp_path / 'net.py'}:make", "--weights", tmp_path / "w.pt", "--mean", "0.1", "--std", "0.9")
    assert cli("verify", "--results", tmp_path / "r", *named).out.count("fgsm") == 1


def torchscript(place, network):
    quietly(torch.jit.script, network).save(place / "net.pt")
    return ("--model", "net.pt")


def exported(place, network):
    torch.export.save(torch.export.export(network, (torch.rand(2, 1, 8, 8),)), place / "net.pt2")
    return ("--model", "net.pt2")


def card(place, network):
    command = ("card", "init", *FUNCTION, "--dataset", "npz:data.npz", "--name", "mine", "--out", "cards")
    assert run([*map(str, command)]) == 0
    return ("--model", "cards/data/mine")


def reweighted(place, network):
    from robench.classifiers import load_model

    save_file(load_model("pgdat").state_dict(), place / "other.safetensors")
    return ("--model", "pgdat", "--weights", "other.safetensors")


@pytest.mark.parametrize("kind", [torchscript, pytest.param(exported, marks=pytest.mark.slow), card, reweighted])
def test_every_kind_of_network(cli, tmp_path, digits, monkeypatch, kind):
    write(tmp_path, digits)
    monkeypatch.chdir(tmp_path)
    command = ("eval", *kind(tmp_path, linear(digits)), "--dataset", "npz:data.npz", *RUN, "--eps", "0.3")
    said = cli(*command, "--results", "r")
    assert said.code == 0, said.err
    monkeypatch.chdir("/")
    said = cli("verify", "--results", tmp_path / "r")
    assert (said.code, said.err) == (0, "")
    ((stored, confirmed, faults),) = verified(said)
    assert int(stored) == int(confirmed) > 0
    assert faults == "none"


def folder(place, digits):
    raw = (digits.x[:N] * 255).round().byte().numpy()[:, 0]
    for at, (image, label) in enumerate(zip(raw, digits.y[:N].tolist(), strict=True)):
        (place / "scans" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / "scans" / str(label) / f"{at}.png")
    (place / "names.txt").write_text("".join(f"{at}\n" for at in range(10)))
    return ("folder:scans", "--classes", "names.txt", "--resize", 8)


def parquet(place, digits):
    raw = (digits.x[:N] * 255).round().byte().numpy()[:, 0]
    held = pa.table({"image": [{"bytes": png(each), "path": ""} for each in raw], "label": digits.y[:N].tolist()})
    pq.write_table(held, place / "scans.parquet")
    return ("parquet:scans.parquet",)


@pytest.mark.parametrize("data", [folder, parquet])
def test_some_images_of_a_folder_or_a_parquet_file(cli, tmp_path, digits, monkeypatch, data):
    write(tmp_path, digits)
    monkeypatch.chdir(tmp_path)
    command = ("eval", *FUNCTION, "--dataset", *data(tmp_path, digits), *RUN, "--limit", 11, "--results", "r")
    said = cli(*command)
    assert said.code == 0, said.err
    assert cli("verify", "--results", "r").code == 0
    (path,) = Store(tmp_path / "r").paths()
    header, rows = read(path)
    assert (header.n, header.has_adversarial) == (11, True)
    assert (rows.clean & ~rows.robust).any()


def test_clean_images_beside_records_of_a_registered_dataset_are_not_asked(cli, tmp_path):
    """Who forges a point could forge the image that it is compared with."""
    options = ("--model", "pgdat", "--attack", "fgsm", "--limit", 20, "--eps", "0.3", "--save-adversarial")
    assert cli("eval", *options, "--results", tmp_path).code == 0
    (record,) = (path for path in (tmp_path / "raw").rglob("fgsm-*.parquet"))
    header, rows = read(record)
    split = find_dataset("digits").load("test").first(20)
    forged = Examples(split.x[:].numpy().copy(), split.y.numpy(), split.ids.numpy())
    broken = int(np.flatnonzero(rows.clean & ~rows.robust)[0])
    forged.x[broken] = np.frombuffer(rows.adversarial[broken], "<f4").reshape(forged.x.shape[1:])
    write_examples(beside(record, header.identity["data"]), forged)
    change_column(record, "distance", lambda values: [0.0 if at == broken else v for at, v in enumerate(values)])
    said = cli("verify", "--results", tmp_path)
    assert said.code == 1
    assert "1x" in said.out
