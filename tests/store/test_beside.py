"""What lies beside records: the origin of a network, the clean images of an evaluation."""

from pathlib import Path

import numpy as np
import pytest

from robench.errors import InputError
from robench.specs import Head, Input, NetworkSpec
from robench.store.examples import Examples, as_bytes, as_floats, read_examples, read_images, write_examples
from robench.store.origin import Origin, read_origin, write_origin


@pytest.mark.parametrize(
    "network",
    [
        NetworkSpec("he.pt", head=Head(kind="he", scale=15.0), input=Input(), key="model_ema", variant="plain"),
        NetworkSpec("net.py:make", Path("w.pt"), Input(mean=[0.5], std=[0.2]), feature_layer="a.b", single_logit=True),
        NetworkSpec("onnx:net.onnx", title="mine", rejects="flag"),
        NetworkSpec("timm:resnet18"),
    ],
)
def test_an_origin_is_read_as_it_was_written(tmp_path, monkeypatch, network):
    monkeypatch.chdir(tmp_path)
    for name in ("he.pt", "net.py", "w.pt", "net.onnx"):
        Path(name).write_text(name)
    files = tuple(path for path in (network.file, network.weights) if path)
    origin = Origin.of(network, files)
    write_origin(tmp_path / "o.json", origin)
    again = read_origin(tmp_path / "o.json")
    assert again == origin
    assert again.network.kind == network.kind
    assert again.network.label == network.label
    assert all(Path(file).is_absolute() for file in again.files)
    assert len(again.files) == len(files)
    monkeypatch.chdir("/")
    again.require_unchanged()
    for path in files:
        (tmp_path / path).write_text("other")
        with pytest.raises(InputError, match="has changed since the evaluation: restore it, or --model"):
            again.require_unchanged()
        (tmp_path / path).write_text(str(path))
    assert read_origin(tmp_path / "none.json") is None


def test_images_are_bytes_only_if_bytes_give_exactly_the_images(tmp_path):
    raw = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    images = raw.astype(np.float32) / np.float32(255)
    assert np.array_equal(as_bytes(images), raw)
    assert as_bytes(np.nextafter(images, np.float32(1))) is None
    for x in (raw, images / 3):
        kept = Examples(x, np.arange(4), np.array([7, 2**40, 3, 5]))
        write_examples(tmp_path / "e", kept)
        again = read_examples(tmp_path / "e")
        assert all(np.array_equal(getattr(again, name), getattr(kept, name)) for name in ("x", "y", "ids"))
        assert np.array_equal(read_images(tmp_path / "e", [3, 2**40]), as_floats(x[[2, 1]]))
    with pytest.raises(InputError, match="damaged or gone"):
        read_images(tmp_path / "e", [4])
    with pytest.raises(InputError, match="damaged or gone"):
        read_examples(tmp_path / "none")
