"""CIFAR-100-C, Tiny-ImageNet-C and ImageNet-3DCC, planted small out of scans, beside independent readers."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import datasets, transforms

from robench.data import cifar100_c, find_dataset, imagenet_3dcc, imagenet_c, open_corrupted, tiny_imagenet
from robench.data import tiny_imagenet_c as tiny_c
from robench.data.digits import images as scans
from robench.data.split import Split
from robench.evaluation.corruptions import Published, evaluate
from robench.evaluation.request import NetworkUnderTest, Settings, network_identity
from robench.report.corruptions import means
from robench.report.page.corruptions import grids
from robench.report.sweeps import Sweep, comparable_groups, sweeps
from robench.specs.corruption_3d import CORRUPTIONS_3D
from tests.support.refusals import refused

WNIDS = ("n01443537", "n01629819", "n01641577")
EACH = 2


def picture(number: int, size: int, severity: int = 0) -> Image.Image:
    """A scan in colour, darker with each severity."""
    levels = np.uint8(scans(np.array([number]))[0, 0] * (250 - 40 * severity))
    channels = [Image.fromarray(each) for each in (levels, levels // 2, 255 - levels)]
    return Image.merge("RGB", channels).resize((size, size))


def plant(folder, names, size, name_of=lambda label, at: f"{label}_{at}.JPEG", severities=range(1, 6)):
    for corruption in names:
        for severity in severities:
            for label, wnid in enumerate(WNIDS):
                for at in range(EACH):
                    path = folder / corruption / str(severity) / wnid / name_of(label, at)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    picture(10 * label + at, size, severity).save(path, "JPEG", quality=95)
    return folder


def by_torchvision(cell, *steps):
    found = datasets.ImageFolder(cell, transforms.Compose([*steps, transforms.ToTensor()]))
    return torch.stack([image for image, _ in found]), [label for _, label in found]


def network(size):
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, len(WNIDS))).eval()


def under_test(model):
    return NetworkUnderTest("imagenet/mine", network_identity(model), lambda: model)


# ---- CIFAR-100-C ----

LABELS = np.array([99, 3, 57, 0, 11])


def plant_cifar(folder, names=("fog", "glass_blur", "spatter")):
    folder.mkdir(parents=True)
    for at, name in enumerate(names):
        held = [picture(number + at, 32, severity) for severity in range(1, 6) for number in range(len(LABELS))]
        np.save(folder / f"{name}.npy", np.stack([np.asarray(each) for each in held]))
    np.save(folder / "labels.npy", np.tile(LABELS, 5).astype(np.int64))


def test_cifar100_c_is_what_numpy_reads(tmp_path):
    plant_cifar(tmp_path / "CIFAR-100-C")
    found = cifar100_c.find(tmp_path, len(LABELS))
    assert (found.name, found.corruptions) == ("cifar100-c", ["glass_blur", "fog", "spatter"])
    for severity in range(1, 6):
        split = found.load("fog", severity)
        rows = np.load(tmp_path / "CIFAR-100-C" / "fog.npy")[(severity - 1) * 5 : severity * 5]
        assert np.array_equal(np.round(split.x.numpy() * 255), rows.transpose(0, 3, 1, 2))
        assert split.y.tolist() == LABELS.tolist()
    source = Published(found)
    assert source.corruptions == ["glass_blur", "fog"]
    assert source.lacking.startswith("cifar100-c lacks 13 of 15 corruptions (gaussian_noise, shot_noise,")


def test_files_of_cifar10_c_are_no_cifar100_c(tmp_path):
    np.lib.format.open_memmap(tmp_path / "fog.npy", "w+", np.uint8, (50_000, 32, 32, 3))
    np.save(tmp_path / "labels.npy", np.arange(50_000) % 10)
    found = open_corrupted("cifar100", tmp_path)
    refused(lambda: found.load("fog", 1), "labels.npy", "labels of 10 classes, expected 100", "record 3555552")


# ---- Tiny-ImageNet-C ----


def plant_tiny(folder):
    """Tiny-ImageNet as it is unpacked: names in no order of classes."""
    where = folder / "tiny-imagenet-200"
    (where / "val" / "images").mkdir(parents=True)
    lines = []
    for at, (label, number) in enumerate([(2, 1), (0, 1), (1, 0), (2, 0), (0, 0), (1, 1)]):
        picture(10 * label + number, 64).save(where / "val" / "images" / f"val_{at}.JPEG", quality=95)
        lines.append(f"val_{at}.JPEG\t{WNIDS[label]}\t0\t0\t62\t57")
    (where / "val" / "val_annotations.txt").write_text("\n".join(lines))
    (where / "wnids.txt").write_text("\n".join(WNIDS))


def test_tiny_imagenet_c_is_what_torchvision_reads_in_the_order_of_the_clean_images(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path / "cache"))
    plant_tiny(tmp_path)
    plant(tmp_path / "Tiny-ImageNet-C", ("fog", "snow"), 64, lambda label, at: f"other_{9 - at}.JPEG")
    clean = tiny_imagenet.load("test", tmp_path, classes=3)
    assert (clean.name, tuple(clean.x.shape)) == ("tiny-imagenet", (6, 3, 64, 64))
    assert (clean.y.tolist(), clean.ids.tolist()) == ([0, 0, 1, 1, 2, 2], list(range(6)))
    found = tiny_c.find(tmp_path, classes=3, per_class=EACH)
    for severity in range(1, 6):
        images, labels = by_torchvision(tmp_path / "Tiny-ImageNet-C" / "fog" / str(severity))
        split = found.load("fog", severity)
        assert torch.equal(split.x[:], images)
        assert split.y.tolist() == labels == clean.y.tolist()
    few = clean.first(3)
    (view,) = Published(found, few.ids.tolist()).views(few, "fog", 1, 0)
    assert torch.equal(view(torch.arange(3)), found.load("fog", 1).x[few.ids])
    refused(lambda: tiny_imagenet.load("test", tmp_path), "has 3 classes, expected 200")
    refused(lambda: tiny_imagenet.load("test", tmp_path / "cache"), "Tiny-ImageNet is not in", "--data-dir")


# ---- ImageNet-3DCC ----


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """ImageNet-3DCC, and one corruption of ImageNet-C beside it."""
    data = tmp_path_factory.mktemp("data")
    plant(data / "ImageNet-3DCC", CORRUPTIONS_3D, 32)
    plant(data / "ImageNet-C", ["fog"], 32)
    return data


@pytest.fixture(scope="module")
def swept(deep, tmp_path_factory):
    results, model = tmp_path_factory.mktemp("results"), network(32)
    to_tensor = transforms.ToTensor()
    images = torch.stack([to_tensor(picture(10 * label + at, 32)) for label in range(3) for at in range(EACH)])
    split = Split.checked("imagenet", images, np.arange(6) // EACH)
    for reader in (imagenet_3dcc, imagenet_c):
        source = Published(reader.find(deep, 3, EACH, 32), split.ids.tolist())
        evaluate(under_test(model), split, source, Settings(device="cpu"), results)
    return results


def test_3d_corruptions_are_evaluated_as_torchvision_reads_them(deep, swept):
    (sweep,) = [each for each in sweeps(swept)["imagenet/mine"] if each.kind == "3d"]
    model, expected = network(32), {}
    for name in CORRUPTIONS_3D:
        for severity in range(1, 6):
            images, labels = by_torchvision(deep / "ImageNet-3DCC" / name / str(severity))
            expected[name, severity] = 100 * (model(images).argmax(1) == torch.tensor(labels)).float().mean().item()
            assert sweep.cells[name, severity].accuracy == pytest.approx(expected[name, severity])
    assert len(expected) == 60
    assert sweep.complete
    assert sweep.mca == pytest.approx(np.mean([*expected.values()]))
    assert sweep.mean_error is None  # no AlexNet of these images is declared


def test_the_two_sets_of_imagenet_are_never_merged(swept):
    found = sweeps(swept)["imagenet/mine"]
    assert sorted(each.kind for each in found) == ["3d", "common"]
    common, deep = (next(iter(group.values())) for group in comparable_groups({"mine": found}))
    assert (common.kind, common.names, common.mca) == ("common", ["fog"], None)
    assert (deep.kind, deep.names) == ("3d", list(CORRUPTIONS_3D))
    table = means({"mine": deep})
    assert table.title.startswith("Accuracy under 3D corruptions")
    assert "twelve" in table.notes[1]
    assert not swept_without(deep, "flash").complete
    assert [(grid["origin"], len(grid["rows"])) for grid in grids(found, "imagenet")] == [
        ("published 3D", 12),
        ("published", 1),
    ]


def swept_without(sweep, name):
    return Sweep(tuple(line for line in sweep.lines if line.corruption != name))


def test_images_of_another_size_are_resized_as_robustbench_does(tmp_path):
    cell = plant(tmp_path / "ImageNet-3DCC", ["flash"], 256, severities=[3]) / "flash" / "3"
    split = imagenet_3dcc.find(tmp_path, 3, EACH).load("flash", 3)
    assert torch.equal(split.x[:], by_torchvision(cell, transforms.Resize([224, 224]))[0])


def test_what_is_missing_is_one_sentence(tmp_path):
    refused(lambda: open_corrupted("imagenet", tmp_path, "3d"), "ImageNet-3DCC is not in", "datasets.epfl.ch/3dcc")
    refused(lambda: open_corrupted("digits", tmp_path, "3d"), "'digits' has no published 3D corruptions, only imagenet")
    folder = plant(tmp_path / "ImageNet-3DCC", ["flash"], 32, severities=[1, 2, 4])
    found = imagenet_3dcc.find(tmp_path, 3, EACH)
    refused(found.describe, folder, "lacks severities flash/3, flash/5", "datasets.epfl.ch/3dcc")
    refused(lambda: found.load("fog", 1), "unknown corruption 'fog'", "fog_3d")
    assert Published(found).lacking.startswith("imagenet-3dcc lacks 11 of 12 corruptions (near_focus")


# ---- by name ----


def test_lists_and_the_doctor_show_every_set(tmp_path, cli):
    listed = cli("list", "datasets").out
    said = cli("doctor", "--results", tmp_path / "results", "--data-dir", tmp_path)
    assert said.code == 0
    for name in ("cifar10-c", "cifar100-c", "imagenet-c", "tiny-imagenet-c", "imagenet-3dcc"):
        assert name in listed
        assert f"data {name:17} not ready: " in said.out
        refused(lambda name=name: find_dataset(name), f"'{name}' holds corrupted test images", "--battery corruptions")
    shown = cli("show", "battery", "corruptions-3d").out
    assert all(name in shown for name in CORRUPTIONS_3D)


def test_3d_corruptions_of_other_datasets_are_refused(cli, tmp_path):
    said = cli("eval", "--model", "pgdat", "--battery", "corruptions-3d", "--limit", 10, "--results", tmp_path)
    assert said.code == 2
    assert "'digits' has no published 3D corruptions, only imagenet." in said.err
