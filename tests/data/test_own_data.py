"""Folders of images as datasets, kept as bytes, decoded once; names and choices of data."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from robench import paths
from robench.data import DATASETS, decode, find_dataset
from robench.data.choice import ExampleChoice
from robench.data.pixels import Pixels
from robench.data.split import Split
from robench.errors import InputError
from tests.support.images import FLOATS, LABELS, RAW, N, png


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv(paths.CACHE, str(folder))
    return folder


@pytest.fixture
def folder(tmp_path):
    for at, (pixels, label) in enumerate(zip(RAW, LABELS, strict=True)):
        path = tmp_path / "mine" / "test" / f"class{label}" / f"{at:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels))
    return tmp_path / "mine"


ORDER = np.argsort(LABELS, kind="stable")
"""A folder's order: class by class."""

# ---- Bytes that look like floats ----


def test_bytes_look_like_the_floats_they_stand_for():
    pixels = Pixels(RAW)
    assert (len(pixels), pixels.shape, pixels.dtype) == (N, FLOATS.shape, torch.float32)
    assert torch.equal(pixels[:], FLOATS)
    assert torch.equal(pixels[2:5], FLOATS[2:5])
    assert torch.equal(pixels[4], FLOATS[4])
    assert torch.equal(pixels[np.array([4, 1])], FLOATS[[4, 1]])
    assert torch.equal(pixels[torch.tensor([3, 1, 1])], FLOATS[[3, 1, 1]])
    mask = torch.from_numpy(LABELS == 1)
    assert torch.equal(pixels[mask], FLOATS[mask])
    assert torch.equal(pixels.take(mask)[1:], FLOATS[mask][1:])


def test_a_split_is_the_same_however_its_images_are_kept():
    bytes_, floats = Split.checked("s", Pixels(RAW), LABELS), Split.checked("s", FLOATS, LABELS)
    assert bytes_.identity() == floats.identity()
    assert torch.equal(bytes_.sample(6, 1).x[:], floats.sample(6, 1).x[:])
    fit, held = bytes_.stratified(3)
    assert (len(fit), len(held)) == (9, 3)


def test_verdicts_are_the_same_however_images_are_kept(tmp_path):
    from robench.evaluation.progress import Quiet
    from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
    from robench.evaluation.run import evaluate
    from robench.specs import ThreatModel, find_attack
    from robench.store import Store

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(189, 3)).eval()
    labels = network(FLOATS).argmax(1)
    found = []
    for at, x in enumerate((FLOATS, Pixels(RAW))):
        split = Split.checked("s", x, labels)
        under_test = NetworkUnderTest("s/n", {"weights": "w"}, lambda: network)
        attacks = (find_attack("pgd-20"), find_attack("square").model_copy(update={"steps": 300}))
        threat = ThreatModel.parse("linf", "2/255")
        request = EvaluationRequest(under_test, split, threat, attacks, Settings(device="cpu"))
        outcome = evaluate(request, Store(tmp_path / str(at)), Quiet())
        found.append([result.record for result in outcome.results])
    for floats, bytes_ in zip(*found, strict=True):
        assert floats.header.hash == bytes_.header.hash
        assert (floats.step == bytes_.step).all()


# ---- Folders ----


def test_a_folder_is_read_class_by_class(folder):
    split = find_dataset(f"folder:{folder}").load()
    assert split.name == "mine"
    assert split.y.tolist() == sorted(LABELS)
    assert torch.equal(split.x[:], FLOATS[ORDER])
    assert split.ids.tolist() == list(range(N))


def test_a_folder_of_classes_is_the_test_part(folder):
    assert len(find_dataset(f"folder:{folder / 'test'}").load()) == N
    with pytest.raises(InputError, match="has no folder train"):
        find_dataset(f"folder:{folder / 'test'}").load("train")


def test_images_are_decoded_once_and_again_when_they_change(folder, cache, monkeypatch):
    data = find_dataset(f"folder:{folder}")
    first = data.load()
    decoded = []
    original = decode._decode
    monkeypatch.setattr(decode, "_decode", lambda *arguments: (decoded.append(1), original(*arguments)))
    assert data.load().identity() == first.identity()
    assert decoded == []
    (folder / "test" / "class0" / "000.png").write_bytes(png(255 - RAW[0]))
    changed = data.load()
    assert decoded == [1]
    assert changed.sha256 != first.sha256


def add_image(where):
    (where / "012.png").write_bytes(png(RAW[0]))


def remove_image(where):
    (where / "003.png").unlink()


def rename_image(where):
    (where / "003.png").rename(where / "013.png")


def rewrite_in_as_many_bytes(where):
    path = where / "003.png"
    found = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert path.stat().st_size == found.st_size


@pytest.mark.parametrize("change", [add_image, remove_image, rename_image, rewrite_in_as_many_bytes])
def test_every_change_of_a_folder_is_noticed(folder, cache, change):
    find_dataset(f"folder:{folder}").load()
    change(folder / "test" / "class0")
    split = find_dataset(f"folder:{folder}").load()
    assert len(list((cache / "images").glob("*.npy"))) == 2
    paths = sorted((folder / "test").glob("*/*.png"))
    assert torch.equal(split.x[:], torch.stack([pixels_of(path) for path in paths]))
    assert split.y.tolist() == [int(path.parent.name[-1]) for path in paths]


def pixels_of(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1).float() / 255


def test_only_what_is_asked_for_is_decoded(folder, cache):
    split = find_dataset(f"folder:{folder}").load(limit=5)
    assert len(split) == 5
    assert torch.equal(split.x[:], FLOATS[ORDER[split.ids]])
    (kept,) = (cache / "images").glob("*.npy")
    assert np.load(kept).shape[0] == 5


def test_a_torn_note_of_the_digest_is_made_again(folder, cache):
    data = find_dataset(f"folder:{folder}")
    digest = data.load().sha256
    (note,) = (cache / "images").glob("*.sha256")
    note.write_text(digest[:10])
    assert data.load().sha256 == digest


def break_image(folder):
    (folder / "test" / "class1" / "001.png").write_bytes(b"<html>not found</html>")


def cut_image(folder):
    path = folder / "test" / "class1" / "001.png"
    path.write_bytes(path.read_bytes()[:40])


def other_size(folder):
    (folder / "test" / "class1" / "001.png").write_bytes(png(RAW[1][:5]))


def no_images(folder):
    for path in folder.rglob("*.png"):
        path.rename(path.with_suffix(".txt"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_image, "001.png' cannot be read"),
        (cut_image, "001.png' cannot be read"),
        (other_size, "001.png' is 7x5, .*000.png' 7x9: give all images one size"),
        (no_images, "holds no images"),
    ],
)
def test_damaged_folders_are_named(folder, cache, damage, words):
    damage(folder)
    with pytest.raises(InputError, match=words):
        find_dataset(f"folder:{folder}").load()
    assert list((cache / "images").glob("*.npy")) == []


# ---- Names and choices ----


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("npz:/nowhere.npz", "there is no file"),
        ("folder:/nowhere", "there is no folder"),
        ("zip:/tmp/a.zip", "unknown kind of dataset 'zip'"),
        ("cifar", "did you mean cifar10"),
    ],
)
def test_data_that_is_not_there_is_named(name, words):
    with pytest.raises(InputError, match=words):
        find_dataset(name)


def test_ones_own_data_never_takes_the_name_of_a_known_set(tmp_path):
    np.savez(tmp_path / "cifar10.npz", x=RAW, y=LABELS)
    with pytest.raises(InputError, match="another dataset's name"):
        find_dataset(f"npz:{tmp_path / 'cifar10.npz'}")


def test_a_sample_is_stratified_and_its_ids_say_which(digits):
    data = DATASETS["digits"]
    one, again = ExampleChoice(sample=100).of(data, None), ExampleChoice(limit=100).of(data, None)
    assert one.ids.tolist() == again.ids.tolist()
    assert one.ids.tolist() == [i for i in digits.ids.tolist() if i in set(one.ids.tolist())]
    share = np.bincount(one.y, minlength=10) / np.bincount(digits.y, minlength=10)
    assert np.abs(share - 100 / 540).max() < 0.03
    assert one.identity()["ids"] != digits.limit(100).identity()["ids"]


@pytest.mark.parametrize("choice", [ExampleChoice(limit=0), ExampleChoice(sample=0), ExampleChoice(sample=-1)])
def test_impossible_samples_are_named(choice):
    with pytest.raises(InputError, match=r"--limit (0|-1) must be at least 1"):
        choice.of(DATASETS["digits"], None)


@pytest.mark.parametrize("choice", [ExampleChoice(limit=541), ExampleChoice(sample=541)])
def test_more_than_there_are_is_all(choice, digits):
    assert choice.of(DATASETS["digits"], None).ids.tolist() == digits.ids.tolist()


def test_two_choices_at_once_are_refused(cli):
    said = cli("eval", "--model", "pgdat", "--limit", 3, "--sample", 3)
    assert said.code == 2
    assert "--limit and --sample" in said.sentence


def test_from_the_command_line(cli, tmp_path, digits):
    np.savez(tmp_path / "scans.npz", x=digits.x[:30].numpy(), y=digits.y[:30].numpy())
    name = f"npz:{tmp_path / 'scans.npz'}"
    command = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--dataset", name, "--results", tmp_path / "r")
    assert "give one with --eps" in cli(*command).sentence
    said = cli(*command, "--eps", "0.2")
    assert said.code == 0
    assert "scans, linf 0.2" in said.out.replace("\n", " ") or "linf 0.2, 30 examples" in said.out
    assert list((tmp_path / "r" / "raw" / "scans" / "pgdat").glob("*.parquet"))
