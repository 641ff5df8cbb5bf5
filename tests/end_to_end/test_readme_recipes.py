"""Every recipe of README's section "Evaluate your own model" and of docs/, executed as written in an empty folder."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from robench.paths import data_root
from tests.support import foreign
from tests.support.documents import blocks

README = data_root() / "README.md"
SECTION = "## Evaluate your own model\n"


def own_model():
    text = README.read_text(encoding="utf-8")
    section = text[text.index(SECTION) + len(SECTION) :]
    return section[: section.index("\n## ")]


def plant(folder):
    """What the recipes take for granted: other people's checkpoints, and a few images."""
    torch.save({"state_dict": foreign.wide_resnet()}, folder / "trades_wrn.pt")
    torch.save({"state_dict": foreign.wide_resnet(bias=False)}, folder / "at_he_wrn.pt")
    torch.save(foreign.preact_resnet18(), folder / "fastat.pth")
    save_file(timm.create_model("resnet18", num_classes=10).state_dict(), folder / "resnet18.safetensors")
    random, rows = np.random.default_rng(0), []
    for at in range(10):
        image = Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        path = folder / "images" / f"class{at}" / "0.png"
        path.parent.mkdir(parents=True)
        image.save(path)
        image.save(encoded := io.BytesIO(), "PNG")
        rows.append({"image": {"bytes": encoded.getvalue(), "path": None}, "label": at})
    pq.write_table(pa.Table.from_pylist(rows), folder / "val.parquet")


def execute(text, folder, installed):
    """Run every block in order; return how many commands ran, and the text that they wrote to stdout and stderr."""
    # The wheel instead of the checkout; of the caller's environment only where programs lie; its own home and cache.
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    clean = {"PATH": programs, "HOME": str(folder / "home"), "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    run, written = 0, ""
    for language, block in blocks(text):
        if language == "text":
            continue
        if named := re.match(r"# (\w+\.py)\n", block):
            (folder / named[1]).write_text(block, encoding="utf-8")
            continue
        command = ["bash", "-euo", "pipefail", "-c", block] if language == "bash" else [sys.executable, "-c", block]
        done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        run += block.count("robench ") if language == "bash" else 1
        written += done.stdout + done.stderr
    return run, written


@pytest.mark.slow
@pytest.mark.skipif(not README.is_file(), reason="a wheel has no README beside it")
def test_each_recipe_runs_as_written(installed, tmp_path):
    plant(tmp_path)
    run, _ = execute(own_model(), tmp_path, installed)
    assert run >= 10
    assert (tmp_path / "models" / "data" / "mine" / "card.toml").is_file()
    assert (tmp_path / "robustness.jsonl").is_file()
    assert (tmp_path / "results" / "raw" / "data").is_dir()


@pytest.mark.slow
@pytest.mark.skipif(not README.is_file(), reason="a wheel has no docs beside it")
def test_the_tutorial_of_the_gate_runs_in_a_shell(installed, tmp_path):
    text = (data_root() / "docs" / "gate.md").read_text(encoding="utf-8")
    run, written = execute(text, tmp_path, installed)
    assert run >= 7
    assert "FAILED: 8 of 8 cells" in written
    assert "exit code 1" in written


@pytest.mark.slow
@pytest.mark.skipif(not README.is_file(), reason="a wheel has no docs beside it")
def test_the_tour_of_networks_runs_as_written_and_shows_what_it_writes(installed, tmp_path):
    text = (data_root() / "docs" / "networks.md").read_text(encoding="utf-8")
    run, written = execute(text, tmp_path, installed)
    assert run >= 4
    shown = "".join(block for language, block in blocks(text) if language == "text")
    # Accuracies depend a little on the processor that trained, and seconds on the machine: words are compared.
    lines = [line for line in shown.splitlines() if line and not re.search(r"\d\.\d", line)]
    assert len(lines) >= 10
    for line in lines:
        assert line in written, line
