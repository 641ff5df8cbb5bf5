"""Files of masks: every kind that is read, and what is refused in one sentence."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from robench.data.about import About
from robench.data.mask import fitted_mask
from robench.data.mask_values import MaskValues, read_mask
from robench.data.split import Split
from robench.errors import InputError

MASK = np.arange(12).reshape(3, 4) % 3 == 0


def test_every_kind_of_file_gives_the_same_mask(tmp_path):
    np.save(tmp_path / "a.npy", MASK)
    np.save(tmp_path / "b.npy", MASK.astype(np.float32))
    np.savez(tmp_path / "c.npz", MASK.astype(np.uint8))
    np.savez(tmp_path / "d.npz", mask=MASK, other=1)
    picture = Image.fromarray(MASK.astype(np.uint8) * 255)
    for name, mode in (("e.png", "L"), ("f.png", "1"), ("g.PNG", "RGB"), ("h.png", "P")):
        picture.convert(mode).save(tmp_path / name)
    for path in sorted(tmp_path.iterdir()):
        found = read_mask(path)
        assert found.values.dtype == bool
        assert (found.values == MASK).all(), path
        assert found.ids is None


def test_ids_choose_rows_whatever_their_order(tmp_path):
    rows = np.random.default_rng(0).random((5, 3, 4)) < 0.5
    np.savez(tmp_path / "a.npz", mask=rows, ids=np.array([8, 2, 9, 4, 7]))
    split = Split.checked("data", torch.rand(3, 1, 3, 4), torch.zeros(3, dtype=torch.int64), [9, 7, 2])
    found = fitted_mask(read_mask(tmp_path / "a.npz"), split)
    assert torch.equal(found.values[:, 0], torch.from_numpy(rows[[2, 4, 1]]))
    other = Split.checked("data", torch.rand(2, 1, 3, 4), torch.zeros(2, dtype=torch.int64), [9, 5])
    with pytest.raises(InputError, match=re.escape("no row for 1 examples (ids [5]): add them.")):
        fitted_mask(read_mask(tmp_path / "a.npz"), other)


def test_a_row_for_each_example_of_the_dataset_serves_a_part_of_it():
    rows = np.random.default_rng(0).random((6, 3, 4)) < 0.5
    whole = Split.checked("data", torch.rand(6, 1, 3, 4), torch.arange(6) % 2, [10, 20, 30, 40, 50, 60])
    part = whole.take(torch.tensor([1, 4]))
    part = Split(part.name, part.x, part.y, part.ids, part.sha256, About(total=6))
    found = fitted_mask(MaskValues(rows), part, lambda: whole.ids)
    assert torch.equal(found.values[:, 0], torch.from_numpy(rows[[1, 4]]))
    assert found.summary == fitted_mask(MaskValues(rows[[1, 4]]), part, lambda: whole.ids).summary
    with pytest.raises(InputError, match="rows for 5 examples, there are 2 evaluated ones of 6"):
        fitted_mask(MaskValues(rows[:5]), part, lambda: whole.ids)


def test_what_is_no_mask_is_refused_in_one_sentence(tmp_path):
    def save(name, array):
        np.save(tmp_path / name, array)

    def picture(name, image, **options):
        image.save(tmp_path / name, **options)

    (tmp_path / "text.txt").write_text("1 0")
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    save("half.npy", np.full((3, 4), 0.5))
    save("bytes.npy", MASK.astype(np.uint8) * 255)
    np.savez(tmp_path / "two.npz", a=MASK, b=MASK)
    np.savez(tmp_path / "ids.npz", mask=MASK[None], ids=np.array([0.5]))
    picture("grey.png", Image.new("L", (4, 3), 128))
    picture("one.png", Image.new("L", (4, 3), 1))
    picture("red.png", Image.new("RGB", (4, 3), (255, 0, 0)))
    picture("clear.png", Image.new("RGBA", (4, 3), (255, 255, 255, 0)))
    for name, words in {
        "text.txt": "is no .npy, .npz or .png file",
        "missing.npy": "cannot be read",
        "broken.npy": "cannot be read",
        "broken.npz": "cannot be read",
        "broken.png": "cannot be read",
        "half.npy": "holds the value 0.5, expected 0 and 1 only",
        "bytes.npy": "holds the value 255, expected 0 and 1 only",
        "two.npz": "holds a, b: name the mask's array 'mask'",
        "ids.npz": "holds 'ids' that are no different whole numbers",
        "grey.png": "holds the value 128, expected 0 and 255 only: 255 marks what may change",
        "one.png": "holds the value 1, expected 0 and 255",
        "red.png": "has colours",
        "clear.png": "has transparent pixels",
    }.items():
        with pytest.raises(InputError) as caught:
            read_mask(tmp_path / name)
        text = str(caught.value)
        assert text.startswith(f"--mask '{tmp_path / name}' "), text
        assert words in text
        assert "\n" not in text
        assert text.endswith(".")
