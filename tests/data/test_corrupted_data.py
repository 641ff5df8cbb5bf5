"""CIFAR-10-C, planted small: read as published, or refused in one sentence; both sets by name and in the doctor."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robench.data import cifar10, cifar10_c, find_corrupted, open_corrupted
from robench.data.corrupted import CORRUPTIONS, EXTRA, KNOWN
from robench.data.npy_files import NpyFile
from robench.data.split import Split
from tests.support.refusals import refused

N = 4
LABELS = np.array([3, 8, 8, 0])


# ---- CIFAR-10-C ----


def clean_images(n: int) -> np.ndarray:
    """Blocks of 4x4 pixels, uint8 (n, 32, 32, 3)."""
    small = np.random.default_rng(0).integers(60, 200, (n, 8, 8, 3), np.uint8)
    return small.repeat(4, 1).repeat(4, 2)


def five(n: int) -> np.ndarray:
    """Darker with each severity."""
    return np.concatenate([clean_images(n) - np.uint8(10 * severity) for severity in range(1, 6)])


def plant(folder: Path, n: int = N, names=("fog", "gaussian_noise"), labels=None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        np.save(folder / f"{name}.npy", five(n))
    np.save(folder / "labels.npy", np.tile(np.resize(LABELS, n) if labels is None else labels, 5).astype(np.uint8))
    return folder


def pack(path: Path, folder: Path, prefix: str = "CIFAR-10-C/") -> str:
    with tarfile.open(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, prefix + file.name)
    return md5(path)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def have_clean(monkeypatch):
    """Put clean test images and labels at hand."""

    def put(images: np.ndarray, labels: np.ndarray) -> None:
        x = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
        monkeypatch.setattr(cifar10, "load", lambda part, data_dir: Split.checked("cifar10", x, labels))

    return put


def expected(severity: int, n: int = N) -> torch.Tensor:
    return torch.from_numpy((clean_images(n) - np.uint8(10 * severity)).transpose(0, 3, 1, 2) / np.float32(255))


def require_published(found, where: Path) -> None:
    assert found.name == "cifar10-c"
    assert found.corruptions == ["gaussian_noise", "fog"]
    for severity in range(1, 6):
        split = found.load("fog", severity)
        assert split.name == f"cifar10-c/fog/{severity}"
        assert (split.x.dtype, split.y.dtype) == (torch.float32, torch.int64)
        assert torch.equal(split.x, expected(severity))
        assert split.y.tolist() == LABELS.tolist()
        assert split.ids.tolist() == list(range(N))
    few = found.load("fog", 5, limit=2)
    assert (len(few), few.ids.tolist(), few.sha256) == (2, [0, 1], split.sha256)
    said = found.describe()
    assert said.startswith("2 of 15 corruptions and 0 of 4 extra ones at 5 severities, 4 images each")
    assert str(where) in said
    assert f"missing: {CORRUPTIONS[1]}, {CORRUPTIONS[2]}" in said


def test_order_of_names_is_the_papers():
    assert (len(CORRUPTIONS), len(EXTRA)) == (15, 4)
    assert CORRUPTIONS[0] == "gaussian_noise"
    assert CORRUPTIONS[-1] == "jpeg_compression"


@pytest.mark.parametrize("folder", ["CIFAR-10-C", "."])
def test_folder_is_read_severity_by_severity(tmp_path, folder):
    plant(tmp_path / folder)
    require_published(cifar10_c.find(tmp_path, N), tmp_path / folder)


@pytest.mark.parametrize("prefix", ["CIFAR-10-C/", "./CIFAR-10-C/", ""])
def test_archive_is_read_without_unpacking(tmp_path, prefix):
    archive = tmp_path / "data" / "CIFAR-10-C.tar"
    archive.parent.mkdir()
    found = cifar10_c.find(archive.parent, N, pack(archive, plant(tmp_path / "planted"), prefix))
    require_published(found, archive)
    assert found.describe().endswith("checksum holds")
    assert list(archive.parent.iterdir()) == [archive]


def test_the_fingerprint_is_that_of_the_files_bytes(tmp_path):
    folder = plant(tmp_path / "CIFAR-10-C")
    found = cifar10_c.find(tmp_path, N)
    before = found.fingerprint("fog")
    assert before == hashlib.sha256((folder / "fog.npy").read_bytes()).hexdigest()
    values = np.load(folder / "fog.npy")
    values[0, 0, 0, 0] ^= 1
    np.save(folder / "fog.npy", values)
    assert found.fingerprint("fog") != before


def test_a_folder_goes_before_the_archive_and_extra_corruptions_go_last(tmp_path):
    plant(tmp_path / "CIFAR-10-C", names=KNOWN[::-1])
    (tmp_path / "CIFAR-10-C.tar").write_bytes(b"never opened")
    found = cifar10_c.find(tmp_path, N)
    assert found.corruptions == [*CORRUPTIONS, *EXTRA]
    assert found.describe().startswith("15 of 15 corruptions and 4 of 4 extra ones")
    assert "missing" not in found.describe()


def test_no_more_than_one_severity_is_in_memory(tmp_path, monkeypatch):
    plant(tmp_path)
    sizes = []
    read = NpyFile.rows
    monkeypatch.setattr(NpyFile, "rows", lambda *args: sizes.append(len(found := read(*args))) or found)
    cifar10_c.find(tmp_path, N).load("fog", 3)
    assert sizes == [5 * N, N]  # labels, then images


def save(folder: Path, name: str, values: np.ndarray, **options) -> None:
    np.save(folder / f"{name}.npy", values, **options)


def cut(folder: Path, name: str, less: int) -> None:
    path = folder / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:-less])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"0")


def version(folder: Path) -> None:
    with (folder / "fog.npy").open("wb") as file:
        np.lib.format.write_array(file, five(N), version=(3, 0))


def fortran(folder: Path) -> None:
    save(folder, "fog", np.asfortranarray(five(N)))


DAMAGE: dict[str, Any] = {
    "truncated": (lambda f: cut(f, "fog", 1000), "fog.npy", "is truncated"),
    "header only": (lambda f: cut(f, "fog", 5 * N * 3072), "fog.npy", "is truncated"),
    "cut in the header": (lambda f: cut(f, "fog", 5 * N * 3072 + 60), "fog.npy", "no array"),
    "empty": (lambda f: (f / "fog.npy").write_bytes(b""), "fog.npy", "no array"),
    "a web page": (lambda f: (f / "fog.npy").write_text("<html>"), "fog.npy", "no array"),
    "longer": (lambda f: lengthen(f / "fog.npy"), "fog.npy", "behind its end"),
    "objects": (lambda f: save(f, "fog", np.array([{}] * 9), allow_pickle=True), "fog.npy", "Python objects"),
    "floats": (lambda f: save(f, "fog", five(N) / 255), "fog.npy", "holds float64, expected uint8"),
    "channels first": (lambda f: save(f, "fog", five(N).transpose(0, 3, 1, 2).copy()), "fog.npy", "(20, 32, 32, 3)"),
    "short": (lambda f: save(f, "fog", five(N)[:-1]), "fog.npy", "(19, 32, 32, 3), expected (20, 32, 32, 3)"),
    "by column": (fortran, "fog.npy", "column by column"),
    "newer format": (version, "fog.npy", "no array"),
    "a folder": (lambda f: ((f / "fog.npy").unlink(), (f / "fog.npy").mkdir()), "fog.npy", "cannot be read"),
    "no labels": (lambda f: (f / "labels.npy").unlink(), "labels.npy", "is missing"),
    "labels of objects": (
        lambda f: save(f, "labels", np.array([None] * 20), allow_pickle=True),
        "labels.npy",
        "Python objects",
    ),
    "float labels": (lambda f: save(f, "labels", np.tile(LABELS, 5) * 1.0), "labels.npy", "expected integers"),
    "few labels": (lambda f: save(f, "labels", LABELS), "labels.npy", "(4,), expected (20,)"),
    "cut labels": (lambda f: cut(f, "labels", 3), "labels.npy", "is truncated"),
    "labels out of range": (lambda f: save(f, "labels", np.tile(LABELS + 2, 5)), "labels.npy", "2 to 10"),
    "negative labels": (lambda f: save(f, "labels", np.tile(LABELS - 1, 5)), "labels.npy", "-1 to 7"),
    "labels by example": (lambda f: save(f, "labels", LABELS.repeat(5)), "labels.npy", "reordered", "severity 2"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("packed", [False, True])
def test_damage_is_named(tmp_path, damage, packed):
    do, *words = DAMAGE[damage]
    folder = plant(tmp_path / "CIFAR-10-C")
    do(folder)
    if packed and damage != "a folder":
        data = tmp_path / "data"
        data.mkdir()
        found = cifar10_c.find(data, N, pack(data / "CIFAR-10-C.tar", folder))
        words.append("CIFAR-10-C.tar")
    else:
        found = cifar10_c.find(tmp_path, N)
    refused(lambda: found.load("fog", 2), *words, "Zenodo, record 2535967")
    refused(found.describe, *words)


def test_published_size_is_expected_of_what_is_there(tmp_path):
    plant(tmp_path)
    refused(lambda: open_corrupted("cifar10", tmp_path).load("fog", 1), "labels.npy", "expected (50000,)")


def test_other_labels_than_the_clean_images_have(tmp_path, have_clean):
    plant(tmp_path)
    have_clean(clean_images(N), LABELS)
    assert cifar10_c.find(tmp_path, N).load("fog", 1).y.tolist() == LABELS.tolist()
    have_clean(clean_images(N), LABELS[::-1].copy())
    refused(lambda: cifar10_c.find(tmp_path, N).load("fog", 1), "labels.npy", "other labels than the test images")
    have_clean(clean_images(2), LABELS[:2])
    refused(lambda: cifar10_c.find(tmp_path, N).load("fog", 1), "labels.npy", "other labels than the test images")


@pytest.mark.parametrize("clean", [False, True])
def test_reordered_images_are_refused(tmp_path, have_clean, clean):
    n = 120
    folder = plant(tmp_path / "CIFAR-10-C", n)
    if clean:
        have_clean(clean_images(n), np.resize(LABELS, n))
    for severity in (1, 5):
        assert torch.equal(cifar10_c.find(tmp_path, n).load("fog", severity).x[:], expected(severity, n))
    by_example = five(n).reshape(5, n, 32, 32, 3).swapaxes(0, 1).reshape(5 * n, 32, 32, 3)
    shuffled = five(n)
    shuffled[2 * n : 3 * n] = shuffled[2 * n : 3 * n][np.random.default_rng(1).permutation(n)]
    for damaged in (by_example, shuffled):
        save(folder, "fog", damaged)
        other = "the clean test images" if clean else "severity 1"
        refused(lambda: cifar10_c.find(tmp_path, n).load("fog", 3), "fog.npy", "reordered", "severity 3", other)


ASKED: dict[str, Any] = {
    "unknown": (("fogg", 1), "unknown corruption 'fogg'", "did you mean fog"),
    "missing": (("snow", 1), "has no corruption 'snow'", "gaussian_noise, fog"),
    "severity 0": (("fog", 0), "severity 0", "1, 2, 3, 4, 5"),
    "severity 6": (("fog", 6), "severity 6", "1, 2, 3, 4, 5"),
    "limit 0": (("fog", 1, 0), "--limit 0", "at least 1"),
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_cannot_be_asked_for(tmp_path, asked):
    arguments, *words = ASKED[asked]
    plant(tmp_path)
    refused(lambda: cifar10_c.find(tmp_path, N).load(*arguments), *words)


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, "/etc/passwd", 1 if kind == tarfile.REGTYPE else 0
    return info, io.BytesIO(b"x")


MEMBERS = {
    "parent": (member("CIFAR-10-C/../../fog.npy"), "'CIFAR-10-C/../../fog.npy' whose path leads out"),
    "absolute": (member("/fog.npy"), "'/fog.npy' whose path leads out"),
    "backslash": (member("..\\fog.npy"), "whose path leads out"),
    "symbolic link": (member("CIFAR-10-C/fog.npy", tarfile.SYMTYPE), "link or device 'CIFAR-10-C/fog.npy'"),
    "hard link": (member("CIFAR-10-C/fog.npy", tarfile.LNKTYPE), "link or device 'CIFAR-10-C/fog.npy'"),
    "device": (member("CIFAR-10-C/fog.npy", tarfile.CHRTYPE), "link or device 'CIFAR-10-C/fog.npy'"),
    "pipe": (member("CIFAR-10-C/fog.npy", tarfile.FIFOTYPE), "link or device 'CIFAR-10-C/fog.npy'"),
}


@pytest.mark.parametrize("bad", MEMBERS)
def test_archive_that_leads_elsewhere_is_refused(tmp_path, bad):
    added, words = MEMBERS[bad]
    path = tmp_path / "CIFAR-10-C.tar"
    pack(path, plant(tmp_path / "planted"))
    with tarfile.open(path, "a") as archive:
        archive.addfile(*added)
    refused(lambda: cifar10_c.find(tmp_path, N, md5(path)), path, words)


ARCHIVES = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:90_000]), "truncated"),
    "empty": (lambda path: path.write_bytes(b""), "truncated or no tar archive"),
    "a web page": (lambda path: path.write_text("<html>" * 200), "no tar archive"),
    "one byte differs": (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"1"), "has md5"),
}


@pytest.mark.parametrize("damage", ARCHIVES)
def test_damaged_archive_is_refused(tmp_path, damage):
    do, words = ARCHIVES[damage]
    path = tmp_path / "CIFAR-10-C.tar"
    published = pack(path, plant(tmp_path / "planted"))
    do(path)
    refused(lambda: cifar10_c.find(tmp_path, N, published), path, words, "Zenodo, record 2535967")


def test_only_the_published_archive_is_read(tmp_path):
    pack(tmp_path / "CIFAR-10-C.tar", plant(tmp_path / "planted"))
    refused(lambda: find_corrupted("cifar10", tmp_path), "CIFAR-10-C.tar", "md5", "published archive 56bf5dcef84d")


def test_archive_without_a_corruption(tmp_path):
    path = tmp_path / "CIFAR-10-C.tar"
    published = pack(path, plant(tmp_path / "planted", names=()))
    refused(lambda: cifar10_c.find(tmp_path, N, published), path, "has no corruption")


def test_archive_that_vanishes(tmp_path):
    path = tmp_path / "CIFAR-10-C.tar"
    found = cifar10_c.find(tmp_path, N, pack(path, plant(tmp_path / "planted")))
    path.unlink()
    refused(lambda: found.load("fog", 1), "labels.npy", path, "cannot be read")


# ---- by name, and in `robench doctor` ----


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cifar10", ("CIFAR-10-C is not in", "CIFAR-10-C.tar", "--data-dir")),
        ("imagenet", ("ImageNet-C is not in", "<corruption>/<severity>/<class>", "--data-dir")),
        ("digits", ("'digits' has no published corrupted version", "cifar10, cifar100, imagenet, tiny-imagenet")),
    ],
)
def test_what_is_not_there(tmp_path, name, words):
    assert find_corrupted(name, tmp_path) is None
    refused(lambda: open_corrupted(name, tmp_path), *words)


def test_doctor_says_what_is_found_and_what_is_missing(tmp_path, cli):
    folder = tmp_path / "CIFAR-10-C"
    plant(folder, 10_000, names=(), labels=np.arange(10_000) % 10)
    for name in CORRUPTIONS[1:]:  # as long as the published files, but with holes in them
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (50_000, 32, 32, 3))
    said = cli("doctor", "--results", tmp_path / "results", "--data-dir", tmp_path)
    about = {line[:22].strip(): line for line in said.out.splitlines()}
    assert said.code == 0
    found = about["data cifar10-c"]
    assert "14 of 15 corruptions and 0 of 4 extra ones at 5 severities, 10,000 images each" in found
    assert found.endswith("missing: gaussian_noise")
    assert "not ready: ImageNet-C is not in" in about["data imagenet-c"]
