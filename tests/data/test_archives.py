"""NumPy archives as datasets: layouts, types, byte orders and names, or one sentence that names what does not fit."""

import zipfile

import numpy as np
import pytest
import torch

from robench.data import find_dataset
from robench.data.described import described
from robench.data.split import Split
from robench.errors import InputError
from tests.support.images import FLOATS, LABELS, RAW, RNG, N


@pytest.mark.parametrize(
    "x", [RAW, RAW.transpose(0, 3, 1, 2), FLOATS.numpy(), FLOATS.permute(0, 2, 3, 1).double().numpy()],
    ids=["bytes last", "bytes first", "floats first", "doubles last"],
)  # fmt: skip
def test_archives_in_any_layout(tmp_path, x):
    np.savez_compressed(tmp_path / "data.npz", x=x, y=LABELS, ids=np.arange(N) + 7)
    split = find_dataset(f"npz:{tmp_path / 'data.npz'}").load()
    assert torch.allclose(split.x[:], FLOATS, atol=1e-7)
    assert (split.name, split.ids[0].item()) == ("data", 7)


def arrays(**changes):
    found = {"x": RAW, "y": LABELS} | changes
    return {name: array for name, array in found.items() if array is not None}


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (arrays(y=None), "has no 'y', only x"),
        (arrays(x=RAW[0]), r"shape \(9, 7, 3\)"),
        (arrays(x=RAW[:, None]), "volumes with a depth"),
        (arrays(x=np.zeros((N, 28, 28, 28), np.uint8)), "neither or both"),
        (arrays(x=RAW.astype(np.uint16)), "divide by 255"),
        (arrays(x=RAW > 3), "convert them to floats"),
        (arrays(x=RAW[..., :2]), "neither or both"),
        (arrays(x=RAW[:, :3]), "neither or both"),
        (arrays(x=RAW.astype(np.float32)), "divide by 255"),
        (arrays(x=(RAW // 16).astype(np.float32)), "divide by the largest value of their scale"),
        (arrays(x=RAW.astype(np.int64)), "expected floats"),
        (arrays(x=np.full((N, 3, 4, 4), np.nan)), "NaN or infinite"),
        (arrays(y=LABELS[:-1]), "one label per image"),
        (arrays(y=LABELS + 0.5), r"label 0\.5 is no whole number"),
        (arrays(y=LABELS - 1), "negative.*without a label"),
        (arrays(y=np.where(LABELS, LABELS, np.nan)), "4 labels are NaN: leave examples without a label out"),
        (arrays(y=LABELS > 0), "expected integers"),
        (arrays(y=np.stack([LABELS, LABELS], 1)), r"row 0 is not one-hot"),
        (arrays(y=None, y_test=LABELS), "has no 'y', only x, y_test"),
        (arrays(x_test=RAW, y_test=LABELS), "x/y and x_test/y_test: which to evaluate is open"),
        ({"x_train": RAW, "y_train": LABELS}, "name the test part's arrays x and y"),
        (arrays(ids=np.zeros(N, int)), "different numbers"),
        (arrays(x=RAW[:0], y=LABELS[:0]), "no examples"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, held, words):
    np.savez(tmp_path / "data.npz", **held)
    with pytest.raises(InputError, match=words):
        find_dataset(f"npz:{tmp_path / 'data.npz'}").load()


GREY = RAW[..., 0]
SQUARE = RNG.integers(0, 256, (N, 8, 8, 13), dtype=np.uint8)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (RAW.astype(">f4") / 255, RAW),
        (np.asarray(FLOATS, dtype=">f8"), RAW),
        (RAW[:, ::-1, ::-1][:, ::-1, ::-1], RAW),
        (FLOATS.numpy()[::-1][::-1], RAW),
        (np.asfortranarray(RAW), RAW),
        (GREY, GREY[..., None]),
        (GREY / 255, GREY[..., None]),
        (GREY[:, None], GREY[..., None]),
        (SQUARE, SQUARE),
        (SQUARE.transpose(0, 3, 1, 2) / 255, SQUARE),
    ],
    ids=["big-endian floats", "big-endian doubles", "negative strides", "reversed twice", "Fortran order",
         "(N,H,W) bytes", "(N,H,W) floats", "one channel", "bands last", "bands first"],
)  # fmt: skip
def test_byte_orders_strides_and_axes_whose_meaning_is_certain(tmp_path, x, expected):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:  # numpy.savez would write views in order
        for name, array in (("x", x), ("y", LABELS.astype(">i2"))):
            with archive.open(f"{name}.npy", "w") as stream:
                np.save(stream, array)
    split = find_dataset(f"npz:{path}").load()
    assert np.allclose(split.x[:].permute(0, 2, 3, 1) * 255, expected, atol=1e-4)
    assert split.y.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    "make", [lambda x: x.astype(">f4"), lambda x: x[::-1], lambda x: torch.from_numpy(x)[:, :, :7]]
)
def test_views_of_arrays_in_python(make):
    x = make(FLOATS.numpy())
    assert np.allclose(Split.checked("s", x, LABELS.astype(">i4")[::-1]).x[:], np.asarray(x, np.float32))


@pytest.mark.parametrize(
    ("images", "labels"), [("x_test", "y_test"), ("test_images", "test_labels"), ("images", "labels")]
)
def test_names_of_keras_and_medmnist_and_labels_in_a_column(tmp_path, images, labels):
    held = arrays(x=None, y=None, **{images: RAW, labels: LABELS[:, None], "x_train": RAW[:3], "y_train": LABELS[:3]})
    np.savez(tmp_path / "data.npz", **held)
    split = find_dataset(f"npz:{tmp_path / 'data.npz'}").load()
    assert torch.equal(split.x[:], FLOATS)
    assert split.y.tolist() == LABELS.tolist()
    assert f"{images} and {labels}" in described(split)
    assert "left out: x_train, y_train" in described(split)


@pytest.mark.parametrize(
    "y", [np.eye(3)[LABELS], np.eye(3, dtype=bool)[LABELS], np.eye(4, dtype=int)[LABELS], LABELS.astype(">f4")]
)
def test_one_hot_rows_and_whole_floats_are_class_numbers(tmp_path, y):
    np.savez(tmp_path / "data.npz", x=RAW, y=y)
    assert find_dataset(f"npz:{tmp_path / 'data.npz'}").load().y.tolist() == LABELS.tolist()


def object_array(path):
    np.savez(path, x=np.array([None, 1], dtype=object), y=LABELS)


def one_array(path):
    with path.open("wb") as stream:
        np.save(stream, RAW)


def torn(path):
    np.savez(path, x=RAW, y=LABELS)
    path.write_bytes(path.read_bytes()[:200])


def text(path):
    path.write_text("<html>")


def empty_zip(path):
    zipfile.ZipFile(path, "w").close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (object_array, "cannot be read"),
        (one_array, "holds one array"),
        (torn, "cannot be read"),
        (text, "cannot be read"),
        (empty_zip, "has no 'x'"),
    ],
)
def test_damaged_archives_are_named(tmp_path, make, words):
    make(tmp_path / "data.npz")
    with pytest.raises(InputError, match=words) as raised:
        find_dataset(f"npz:{tmp_path / 'data.npz'}").load()
    assert "\n" not in str(raised.value)
