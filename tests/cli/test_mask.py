"""`robench eval --mask`: from the command to tables, the gate, `diff` and `verify`, and refusals."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from robench.cli import run
from robench.evaluation.verify import verify
from robench.store import Store, read
from tests.support.records import change_column, raw_record

COMMON = ("eval", "--model", "pgdat", "--attack", "fgsm", "--limit", 20, "--eps", 0.3)
INNER = np.zeros((8, 8), dtype=np.uint8)
INNER[1:7, 2:6] = 255
WORDS = "linf 0.3, pixels that may change: 24 of 64 (mask "


@pytest.fixture(scope="module")
def _masked(tmp_path_factory):
    """A results folder with a record under a mask, with points, and what was said."""
    folder = tmp_path_factory.mktemp("masked")
    Image.fromarray(INNER).save(folder / "m.png")
    words = (
        *COMMON,
        "--mask",
        folder / "m.png",
        "--results",
        folder / "r",
        "--save-adversarial",
        "--json",
        folder / "a",
    )
    assert run([str(each) for each in words]) == 0
    return folder


@pytest.fixture
def masked(_masked, tmp_path):
    return shutil.copytree(_masked, tmp_path / "masked")


def test_from_the_command_to_tables(cli, masked):
    (row,) = json.loads((masked / "a").read_text())["results"]
    assert row["mask"]["most"] == 24
    header, rows = read(raw_record(masked / "r", "fgsm"))
    clean = rows.clean & ~rows.robust
    assert 0 < clean.sum() < 20
    assert header.identity["mask"] == header.mask.sha256 == row["mask"]["sha256"]
    again = cli(*COMMON, "--mask", masked / "m.png", "--results", masked / "r", "--json", "-")
    assert json.loads(again.out)["results"][0]["forwards"] == 0
    assert WORDS in cli(*COMMON, "--mask", masked / "m.png", "--results", masked / "r").out
    report = cli("report", "--results", masked / "r", "--model", "pgdat", "--eps", "0.3")
    assert WORDS in report.out


def test_verify_judges_by_the_mask_that_is_kept(cli, masked):
    said = cli("verify", "--results", masked / "r")
    assert said.code == 0, said.err
    assert " none" in said.out
    path = raw_record(masked / "r", "fgsm")
    _, rows = read(path)
    broken = rows.clean & ~rows.robust

    def touched(points):
        images = [None if each is None else np.frombuffer(each, "<f4").copy() for each in points]
        first = int(np.flatnonzero(broken)[0])
        images[first][0] = 0.25  # the corner, which must stay 0
        return [None if each is None else each.tobytes() for each in images]

    change_column(path, "adversarial", touched)
    said = cli("verify", "--results", masked / "r")
    assert said.code == 1
    assert "outside the mask" in said.out
    shutil.rmtree(masked / "r" / "raw" / "digits" / "masks")
    (checked,) = verify(masked / "r")
    assert checked.reason.startswith("its mask is not in")


def test_other_masks_do_not_compare(cli, masked, tmp_path):
    assert cli("publish", "--results", masked / "r").code == 0
    baseline = masked / "r" / "digits" / "pgdat.jsonl"
    gate = cli("check", "--model", "pgdat", "--attack", "fgsm", "--limit", 20, "--eps", 0.3, "--baseline", baseline)
    assert gate.code == 3
    assert "mask is " in gate.last
    assert "there and absent here" in gate.last
    np.save(tmp_path / "all.npy", np.eye(8))
    assert cli(*COMMON, "--mask", tmp_path / "all.npy", "--results", tmp_path / "other").code == 0
    differ = cli("diff", masked / "r", tmp_path / "other")
    assert differ.code == 3
    assert "mask is " in differ.last


def test_a_row_for_each_test_image_and_a_plan(cli, tmp_path):
    rows = np.zeros((540, 8, 8), dtype=bool)
    rows[:, 2:6, 2:6] = True
    rows[::2, 0, 0] = True
    np.save(tmp_path / "rows.npy", rows)
    said = cli(*COMMON, "--mask", tmp_path / "rows.npy", "--attack", "autoattack", "--dry-run", "--json", "-")
    plans = json.loads(said.out)["plans"]["digits/pgdat"]
    assert [(each["attack"], each["seconds"]) for each in plans] == [("fgsm", None)]
    said = cli(*COMMON, "--mask", tmp_path / "rows.npy", "--results", tmp_path / "r")
    assert "pixels that may change: 16 to 17 of 64" in said.out, said.err
    (path,) = Store(tmp_path / "r").paths()
    assert read(path)[0].mask.unit == "pixels"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--mask", "none.npy"), "--mask 'none.npy' cannot be read"),
        (("--mask", "zero.npy"), "the mask is 0 everywhere, so no pixel may change"),
        (("--mask", "small.npy"), "the mask has shape (4, 4), the images (C, H, W) = (1, 8, 8)"),
        (("--mask", "small.npy", "--battery", "corruptions"), "--mask is for attacks"),
    ],
)
def test_refusals(cli, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    np.save("zero.npy", np.zeros((8, 8)))
    np.save("small.npy", np.ones((4, 4)))
    said = cli(*COMMON, "--results", tmp_path / "results", *words)
    assert said.code == 2
    assert sentence in said.last
