"""Every recipe of the README's section "Evaluate your own model", executed as written in an empty folder."""

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

README = data_root() / "README.md"
SECTION = "## Evaluate your own model\n"


def blocks():
    """Language and text of each block of code, in order."""
    text = README.read_text(encoding="utf-8")
    section = text[text.index(SECTION) + len(SECTION) :]
    return re.findall(r"^```(\w+)\n(.*?)^```$", section[: section.index("\n## ")], re.MULTILINE | re.DOTALL)


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


@pytest.mark.slow
@pytest.mark.skipif(not README.is_file(), reason="a wheel has no README beside it")
def test_each_recipe_runs_as_written(installed, tmp_path):
    plant(tmp_path)
    # The wheel instead of the checkout; of the caller's environment only where programs lie; its own home and cache.
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    clean = {"PATH": programs, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    run = 0
    for language, text in blocks():
        if named := re.match(r"# (\w+\.py)\n", text):
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
            continue
        command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        run += text.count("robench ") if language == "bash" else 1
    assert run >= 10
    assert (tmp_path / "models" / "data" / "mine" / "card.toml").is_file()
    assert (tmp_path / "robustness.jsonl").is_file()
    assert (tmp_path / "results" / "raw" / "data").is_dir()
