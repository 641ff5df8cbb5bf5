"""ImageNet-C, planted small: read in the order of the clean images, or refused in one sentence."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from robench.data import imagenet, imagenet_c, open_corrupted
from tests.support.refusals import refused

WNIDS = ("n01440764", "n01443537", "n01484850")
SIZED = {"classes": len(WNIDS), "per_class": 2}


def colour(severity: int, label: int, place: int) -> tuple[int, int, int]:
    return 40 * severity, 40 * label, 40 * place


def picture(path: Path, rgb, size=(224, 224)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, rgb).save(path, "JPEG", quality=100)


def photo(folder: Path, label: int, place: int) -> Path:
    return folder / WNIDS[label] / f"ILSVRC2012_val_{9 * place + label:08}.JPEG"


def plant_imagenet(folder: Path, names=("fog", "gaussian_noise"), severities=range(1, 6)) -> Path:
    for name in names:
        for severity in severities:
            for label in range(len(WNIDS)):
                for place in range(2):
                    picture(photo(folder / name / str(severity), label, place), colour(severity, label, place))
    return folder


def plant_clean(data: Path, places=range(2)) -> None:
    for label in range(len(WNIDS)):
        for place in places:
            picture(photo(data / "val", label, place), (9, 9, 9), (300, 260))


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("folder", ["ImageNet-C", "imagenet-c", "."])
def test_imagenet_c_is_read_in_the_order_of_the_clean_images(tmp_path, folder, clean):
    plant_imagenet(tmp_path / folder)
    if clean:
        plant_clean(tmp_path)
    found = imagenet_c.find(tmp_path, **SIZED)
    assert (found.name, found.corruptions) == ("imagenet-c", ["gaussian_noise", "fog"])
    split = found.load("fog", 4)
    assert (split.name, tuple(split.x.shape), split.x.dtype) == ("imagenet-c/fog/4", (6, 3, 224, 224), torch.float32)
    assert split.y.tolist() == [0, 0, 1, 1, 2, 2]
    assert split.ids.tolist() == list(range(6))
    wanted = torch.tensor([colour(4, i // 2, i % 2) for i in range(6)]) / 255
    assert (split.x[:].mean((2, 3)) - wanted).abs().max() < 2 / 255
    few = found.load("fog", 4, limit=3)
    assert torch.equal(few.x[:], split.x[:3])
    assert (few.y.tolist(), few.ids.tolist()) == ([0, 0, 1], [0, 1, 2])
    assert "2 of 15 corruptions and 0 of 4 extra ones at 5 severities, 6 images looked at" in found.describe()
    if clean:
        test = imagenet.load("test", tmp_path)
        assert (test.y.tolist(), test.ids.tolist()) == (split.y.tolist(), split.ids.tolist())


def test_the_fingerprint_tells_other_files_apart(tmp_path):
    folder = plant_imagenet(tmp_path / "ImageNet-C")
    found = imagenet_c.find(tmp_path, 3, 2)
    before = found.fingerprint("fog")
    assert found.fingerprint("gaussian_noise") == before  # the same names and sizes
    picture(next((folder / "fog" / "5").rglob("*.JPEG")), (200, 10, 99), (300, 300))
    assert found.fingerprint("fog") != before


def test_groups_as_archives_name_them(tmp_path):
    plant_imagenet(tmp_path / "ImageNet-C" / "weather", ["fog"])
    plant_imagenet(tmp_path / "ImageNet-C" / "extra", ["spatter"])
    assert imagenet_c.find(tmp_path, **SIZED).corruptions == ["fog", "spatter"]


def test_part_of_the_clean_images_says_which_corrupted_ones_are_read(tmp_path):
    plant_imagenet(tmp_path)
    plant_clean(tmp_path, places=[1])
    split = imagenet_c.find(tmp_path, **SIZED).load("fog", 2)
    assert split.ids.tolist() == [0, 1, 2]
    wanted = torch.tensor([colour(2, i, 1) for i in range(3)]) / 255
    assert (split.x[:].mean((2, 3)) - wanted).abs().max() < 2 / 255


def test_only_the_first_images_are_opened(tmp_path):
    plant_imagenet(tmp_path)
    for label in (1, 2):
        photo(tmp_path / "fog" / "1", label, 0).write_text("never read")
    found = imagenet_c.find(tmp_path, **SIZED)
    assert len(found.load("fog", 1, limit=2)) == 2
    refused(lambda: found.load("fog", 1, limit=3), photo(tmp_path / "fog" / "1", 1, 0), "no readable image")


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


LACKING = {
    "severity": (lambda d: remove(d / "fog" / "3"), "lacks severities fog/3"),
    "class": (lambda d: remove(d / "fog" / "3" / WNIDS[1]), f"lacks classes {WNIDS[1]} of fog/3"),
    "other class": (lambda d: picture(d / "fog/3/n9/a.JPEG", 0), "class folders of its own (n9)"),
    "truncated image": (lambda d: shorten(photo(d / "fog" / "3", 0, 1)), "n01440764/ILSVRC2012_val_00000009.JPEG"),
    "empty image": (lambda d: photo(d / "fog" / "3", 0, 1).write_bytes(b""), "00000009.JPEG' is no readable image"),
    "size": (lambda d: picture(photo(d / "fog" / "3", 0, 1), 0, (250, 260)), "00000009.JPEG' is 250x260, expected 224"),
}


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("lacking", LACKING)
def test_what_is_lacking_is_named(tmp_path, lacking, clean):
    do, words = LACKING[lacking]
    folder = plant_imagenet(tmp_path / "ImageNet-C")
    if clean:
        plant_clean(tmp_path)
    do(folder)
    found = imagenet_c.find(tmp_path, **SIZED)
    refused(lambda: found.load("fog", 3), folder, words)
    assert len(found.load("gaussian_noise", 3)) == 6


@pytest.mark.parametrize(
    ("clean", "words"), [(False, "has 1 images, expected 2"), (True, "lacks the images n01443537/")]
)
def test_missing_image_is_noticed(tmp_path, clean, words):
    plant_imagenet(tmp_path)
    if clean:
        plant_clean(tmp_path)
    photo(tmp_path / "fog" / "3", 1, 0).unlink()
    found = imagenet_c.find(tmp_path, **SIZED)
    refused(lambda: found.load("fog", 3), tmp_path / "fog" / "3", words)
    assert len(found.load("fog", 3, limit=2)) == 2


def test_all_that_is_lacking_is_one_sentence(tmp_path):
    folder = plant_imagenet(tmp_path / "ImageNet-C", ["fog", "snow"])
    remove(folder / "fog" / "2")
    remove(folder / "fog" / "5")
    remove(folder / "snow" / "4" / WNIDS[2])
    found = imagenet_c.find(tmp_path, **SIZED)
    refused(found.describe, "lacks severities fog/2, fog/5, classes n01484850 of snow/4", "Zenodo, record 2235448")


def test_published_number_of_classes_is_expected(tmp_path):
    plant_imagenet(tmp_path)
    found = open_corrupted("imagenet", tmp_path)
    refused(lambda: found.load("fog", 1, limit=1), "has 3 class folders, expected 1,000")
