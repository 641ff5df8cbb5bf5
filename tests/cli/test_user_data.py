"""User data on the command line: fitted to the network, said in one line, or refused in one sentence."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from robench.data import decode, find_dataset
from robench.data.channels import with_one_channel
from robench.specs import ThreatModel
from tests.support.images import png

RUN = ("--attack", "fgsm", "--eps", "0.1")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv(decode.CACHE, str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def scans(tmp_path, digits):
    """Twelve scans of 3, 5 and 7 as grey PNG files in class folders."""
    raw = (digits.x[:] * 255).round().byte().numpy()[:, 0]
    for label in (3, 5, 7):
        (tmp_path / "scans" / str(label)).mkdir(parents=True)
        for at in (digits.y == label).nonzero().flatten().tolist()[:4]:
            Image.fromarray(raw[at]).save(tmp_path / "scans" / str(label) / f"{at}.png")
    return tmp_path / "scans"


def network(tmp_path, channels, classes):
    """A user's network of a function, with weights."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        f"def make():\n    return nn.Sequential(nn.Conv2d({channels}, 4, 3), nn.Flatten(), nn.Linear(144, {classes}))\n"
    )
    torch.manual_seed(0)
    made = torch.nn.Sequential(torch.nn.Conv2d(channels, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, classes))
    save_file(made.state_dict(), tmp_path / "w.safetensors")
    return "--model", f"{tmp_path / 'net.py'}:make", "--weights", tmp_path / "w.safetensors"


def evaluated(cli, tmp_path, *arguments):
    return cli("eval", *arguments, *RUN, "--results", tmp_path / "r")


def test_grey_images_get_the_channels_the_network_takes_said_once(cli, tmp_path, scans):
    said = evaluated(cli, tmp_path, "--model", "pgdat", "--model", "pgdat_he", "--dataset", f"folder:{scans}")
    assert said.code == 0, said.err
    line = f"scans (folder:{scans}): 12 images, 1 x 8 x 8; 3 classes; values 0 to 1; grey images given as one channel."
    assert said.err.count(line) == 1
    assert said.err.startswith(line)  # before the first attack


def test_grey_images_in_parquet_get_the_channels_the_network_takes(cli, tmp_path, digits):
    raw = (digits.x[:20] * 255).round().byte().numpy()[:, 0]
    held = pa.table({"image": [{"bytes": png(each), "path": ""} for each in raw], "label": digits.y[:20].tolist()})
    pq.write_table(held, tmp_path / "scans.parquet")
    said = evaluated(cli, tmp_path, "--model", "pgdat", "--dataset", f"parquet:{tmp_path / 'scans.parquet'}")
    assert said.code == 0, said.err
    assert "20 images, 1 x 8 x 8" in said.err
    assert "grey images given as one channel" in said.err


def test_grey_images_stay_as_they_are_for_a_network_of_colours(cli, tmp_path, scans):
    said = evaluated(cli, tmp_path, *network(tmp_path, 3, 3), "--dataset", f"folder:{scans}")
    assert said.code == 0, said.err
    assert "12 images, 3 x 8 x 8" in said.err
    assert "labels by the alphabetical order of 3 classes" in said.err
    assert "given as" not in said.err


def test_images_of_colours_are_refused_by_a_network_of_one_channel(cli, tmp_path, scans):
    Image.new("RGB", (8, 8), (9, 8, 7)).save(scans / "3" / "red.png")
    said = evaluated(cli, tmp_path, "--model", "pgdat", "--dataset", f"folder:{scans}")
    assert said.code == 2
    assert "shape (3, 8, 8)" in said.sentence


def test_one_channel_keeps_pixels_and_the_digest_of_the_whole_set(scans):
    split = find_dataset(f"folder:{scans}").load()
    one = with_one_channel(split)
    assert torch.equal(one.x[:], split.x[:][:, :1])
    assert with_one_channel(one) is None
    assert with_one_channel(split.limit(3)).sha256 == one.sha256 != split.sha256
    x = split.x[:].clone()
    floats = replace(split, x=x)
    assert torch.equal(with_one_channel(floats).x[:], one.x[:])
    x[-1, 2, 0, 0] += 0.1
    assert with_one_channel(floats) is None


def test_three_of_ten_classes_are_matched_by_the_names_of_the_cards_dataset(cli, tmp_path, scans):
    from robench.store import read

    assert evaluated(cli, tmp_path, "--model", "pgdat", "--dataset", f"folder:{scans}").code == 0
    (path,) = (tmp_path / "r" / "raw").rglob("*.parquet")
    rows = read(path)[1]
    assert sorted(rows.label.tolist()) == [3] * 4 + [5] * 4 + [7] * 4
    assert (rows.clean_prediction == rows.label).mean() > 0.8


def test_classes_that_cannot_be_matched_exit_2(cli, tmp_path, scans):
    own = network(tmp_path, 3, 10)
    said = evaluated(cli, tmp_path, *own, "--dataset", f"folder:{scans}")
    assert said.code == 2
    assert "'scans' has 3 classes, the network 10" in said.sentence
    assert "--classes FILE" in said.sentence
    (scans / "3").rename(scans / "three")
    said = evaluated(cli, tmp_path, "--model", "pgdat", "--dataset", f"folder:{scans}")
    assert (said.code, "has the classes three, which are not among" in said.sentence) == (2, True)


def test_classes_by_a_file_of_names(cli, tmp_path, scans):
    (tmp_path / "names.txt").write_text("".join(f"{at}\n" for at in range(10)))
    command = (*network(tmp_path, 3, 10), "--dataset", f"folder:{scans}", "--classes", tmp_path / "names.txt")
    assert evaluated(cli, tmp_path, *command).code == 0


def test_a_card_of_grey_images_is_made_and_checked(cli, tmp_path, scans):
    command = (*network(tmp_path, 1, 3), "--dataset", f"folder:{scans}", "--name", "mine")
    said = cli("card", "init", *command, "--out", tmp_path / "cards")
    assert said.code == 0, said.err
    card = tmp_path / "cards" / "scans" / "mine"
    said = cli("eval", "--model", card, *RUN, "--results", tmp_path / "r")
    assert said.code == 0, said.err
    assert "1 x 8 x 8" in said.err
    check = ("check", "--model", card, *RUN, "--baseline", tmp_path / "baseline.jsonl")
    assert cli(*check, "--update").code == 0
    said = cli(*check)
    assert said.code == 0, said.err


def test_other_sizes_are_refused_with_resize_as_the_mend(cli, tmp_path, scans):
    for path in scans.rglob("*.png"):
        Image.open(path).resize((16, 20)).save(path)
    command = ("--model", "pgdat", "--dataset", f"folder:{scans}")
    said = evaluated(cli, tmp_path, *network(tmp_path, 3, 3), *command[2:])
    assert said.code == 2
    assert "--resize N, --crop N" in said.sentence
    said = evaluated(cli, tmp_path, *command, "--resize", 8, "--crop", 8)
    assert said.code == 0, said.err
    assert "1 x 8 x 8" in said.err
    assert "resize 8, crop 8" in said.err


@pytest.mark.parametrize("option", [("--resize", 8), ("--crop", 8), ("--classes", "NAMES")])
def test_sizes_and_names_of_other_data_are_refused(cli, tmp_path, option):
    (tmp_path / "names.txt").write_text("a\nb\n")
    given = [tmp_path / "names.txt" if each == "NAMES" else each for each in option]
    said = evaluated(cli, tmp_path, "--model", "pgdat", *given)
    assert (said.code, "leave them out" in said.sentence) == (2, True)


def test_known_data_is_said_too(cli, tmp_path):
    said = evaluated(cli, tmp_path, "--model", "pgdat", "--limit", 20)
    assert "digits: 20 of 540 images, 1 x 8 x 8; " in said.err


def test_images_of_a_vision_transformer_that_asks_for_a_size(cli, tmp_path, scans):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.last = nn.Linear(3, 3)\n"
        "    def forward(self, x):\n"
        '        assert x.shape[-1] == 224, f"Input width ({x.shape[-1]}) doesn\'t match model (224)."\n'
        "        return self.last(x.mean((2, 3)))\n"
        "def make():\n    return Net()\n"
    )
    save_file(torch.nn.Linear(3, 3).state_dict(prefix="last."), tmp_path / "w.safetensors")
    model = ("--model", f"{tmp_path / 'net.py'}:make", "--weights", tmp_path / "w.safetensors")
    said = evaluated(cli, tmp_path, *model, "--dataset", f"folder:{scans}")
    assert said.code == 2
    assert "doesn't match model (224)" in said.sentence
    assert "--resize N" in said.sentence


@pytest.mark.parametrize("norm", ["linf", "Linf", float("inf"), np.inf, np.float32("inf"), torch.tensor(float("inf"))])
@pytest.mark.parametrize("eps", [0.25, np.float32(0.25), np.float64(0.25), np.array(0.25), torch.tensor(0.25)])
def test_numbers_of_numpy_and_torch_as_norm_and_eps(norm, eps):
    assert ThreatModel.parse(norm, eps) == ThreatModel.parse("linf", "0.25")


def test_two_as_a_norm():
    assert ThreatModel.parse(2, 0.5) == ThreatModel.parse(2.0, 0.5) == ThreatModel.parse("l2", "0.5")
