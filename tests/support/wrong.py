"""A folder with whatever wrong inputs need: networks, weights, data, cards, records."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save_file

from robench.paths import data_root
from tests.support.cards import copy_card
from tests.support.images import png

NETWORKS = """
import torch
from torch import nn


class Answer(nn.Module):
    def __init__(self, answer, classes=10):
        super().__init__()
        self.layer = nn.Linear(64, classes)
        self.answer = answer

    def forward(self, x):
        return self.answer(self.layer(x.flatten(1)))


def good():
    return Answer(lambda logits: logits)


def two():
    return Answer(lambda logits: logits, 2)


def nan():
    return Answer(lambda logits: logits * float("nan"))


def dice():
    return Answer(lambda logits: logits + torch.randn_like(logits))


def text():
    return Answer(lambda logits: "cat")


def rows():
    return Answer(lambda logits: logits[:-1])


def flat():
    return Answer(lambda logits: logits.flatten())


def one():
    return Answer(lambda logits: logits, 1)


def neighbours():
    return Answer(lambda logits: logits - logits.mean(0))


def raises():
    raise RuntimeError("no such GPU")


def leaves():
    raise SystemExit(3)


def nothing():
    return None


def arguments(depth):
    return depth


number = 7
"""


def furnish(folder: Path, x: torch.Tensor, y: torch.Tensor) -> None:
    """Write the files; x are a few digits, y their labels."""
    images, labels = x.numpy(), y.numpy()
    (folder / "net.py").write_text(NETWORKS)
    (folder / "broken.py").write_text("def good(:\n")
    _archives(folder, images, labels)
    _weights(folder)
    _folders(folder)
    pq.write_table(pa.table({"picture": ["a"], "label": [0]}), folder / "columns.parquet")
    held = [{"bytes": png(np.zeros((8, 8), np.uint8)), "path": ""}] * 2
    pq.write_table(pa.table({"image": held, "label": [0, -1]}), folder / "unlabelled.parquet")
    pq.write_table(pa.table({"image": held, "label": [True, False]}), folder / "bool.parquet")
    pq.write_table(pa.table({"image": held, "label": [0, 1]}), folder / "numbers.parquet")
    (folder / "names.txt").write_text("cat\ncat\n")
    (folder / "empty.txt").write_text("")
    (folder / "target.txt").write_text("3\nnine\n")
    (folder / "junk.jsonl").write_text("not JSON\n")
    (folder / "junk.parquet").write_bytes(b"PAR1 and no more")
    (folder / "empty").mkdir()
    (folder / "empty.pt").mkdir()
    (folder / "stanza.toml").write_text("[mine\n")
    copy_card(folder / "cards" / "mine")
    copy_card(folder / "cards" / "typo", ("epochs = 60", "epochz = 60"))
    copy_card(folder / "cards" / "unweighted")
    (folder / "cards" / "unweighted" / "weights.safetensors").unlink()
    copy_card(folder / "cards" / "other", ("features = 64", "features = 32"))
    copy_card(folder / "cards" / "changed")
    path = folder / "cards" / "changed" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    published = data_root() / "results" / "digits" / "pgdat.jsonl"
    first, *others = published.read_text().splitlines(keepends=True)
    changed = json.dumps(json.loads(first) | {"seed": 7})
    (folder / "altered.jsonl").write_text("".join([f"{changed}\n", *others]))
    (folder / "short.jsonl").write_text("".join([first, *others[:-1]]))
    (folder / "foreign" / "digits").mkdir(parents=True)
    shutil.copy(published, folder / "foreign" / "digits")


def _archives(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    kinds = {
        "good": (images, labels),
        "bright": (images * 255, labels),
        "negative": (images - 0.5, labels),
        "nan": (np.where(images > 0.5, np.nan, images), labels),
        "flat": (images.reshape(len(images), -1)[:, :63], labels),
        "floats": (images, labels + 0.5),
        "below": (images, labels - 20),
        "beyond": (images, labels + 20),
        "short": (images, labels[:-1]),
        "none": (images[:0], labels[:0]),
        "objects": (np.array([{}] * len(images), dtype=object), labels),
        "text": (np.array(["a"] * len(images)), labels),
        "large": (np.zeros((2, 1, 40, 40), np.float32), labels[:2]),
        "complex": (images + 1j, labels),
        "int32": ((images * 1000).astype(np.int32), labels),
    }
    for name, (x, y) in kinds.items():
        np.savez(folder / f"{name}.npz", x=x, y=y)
    np.savez(folder / "keys.npz", foo=images)
    np.savez(folder / "unlabelled.npz", x=images)
    (folder / "cut.npz").write_bytes((folder / "good.npz").read_bytes()[:200])


def _weights(folder: Path) -> None:
    layer = {"layer.weight": torch.zeros(10, 64), "layer.bias": torch.zeros(10)}
    save_file(layer, folder / "good.safetensors")
    torch.save({"layer.weight": torch.zeros(10, 65), "layer.bias": torch.zeros(10)}, folder / "shapes.pt")
    torch.save({"other.weight": torch.zeros(10, 64)}, folder / "keys.pt")
    torch.save({"model": layer, "model_ema": {k: v + 1 for k, v in layer.items()}}, folder / "twice.pt")
    torch.save({"layer.weight": torch.full((10, 64), float("nan")), "layer.bias": torch.zeros(10)}, folder / "nan.pt")
    (folder / "page.pt").write_text("<!DOCTYPE html><html>404</html>")
    (folder / "cut.pt").write_bytes((folder / "keys.pt").read_bytes()[:100])
    (folder / "void.pt").write_bytes(b"")


def _folders(folder: Path) -> None:
    def picture(place: str, side: int = 8) -> None:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (side, side), 100).save(folder / place)

    for label in range(10):
        picture(f"images/{label}/a.png")
    picture("three/3/a.png")
    picture("three/5/a.png")
    picture("sizes/0/a.png")
    picture("sizes/1/b.png", 9)
    picture("loose/a.png")
    picture("damaged/0/a.png")
    (folder / "damaged" / "1").mkdir()
    (folder / "damaged" / "1" / "b.png").write_bytes(b"\x89PNG no more")
    picture("vacant/0/a.png")
    (folder / "vacant" / "1").mkdir()
    picture("gone/0/a.png")
    (folder / "gone" / "1").mkdir()
    (folder / "gone" / "1" / "b.png").symlink_to("nowhere.png")
    picture("training/train/0/a.png")
