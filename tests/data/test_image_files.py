"""Image files of every kind: pixels are what the file says, or one sentence names the file and the reason."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image

from robench.data import decode, find_dataset
from robench.errors import InputError

RAMP = np.linspace(0, 1, 8 * 6).reshape(8, 6)
BLACK, RED = Image.new("RGB", (6, 8)), Image.new("RGB", (6, 8), "red")
COLOURS = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv(decode.CACHE, str(tmp_path_factory.mktemp("cache")))


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(array, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def in_folder(where, data, suffix):
    for name in ("a", "b"):
        (where / "mine" / name).mkdir(parents=True)
        (where / "mine" / name / f"1{suffix}").write_bytes(data)
    return find_dataset(f"folder:{where / 'mine'}").load()


def in_parquet(where, data, suffix):
    pq.write_table(pa.table({"image": [data, data], "label": [0, 1]}), where / "mine.parquet")
    return find_dataset(f"parquet:{where / 'mine.parquet'}").load()


def pixels(split):
    return split.x[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("place", [in_folder, in_parquet])
@pytest.mark.parametrize("kind", [".png", ".tif"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_grey_is_scaled_by_the_range_of_its_type(tmp_path, place, kind, order):
    deep = np.round(RAMP * 65535).astype(order)
    data = encoded(Image.fromarray(deep.astype("<u2"))) if kind == ".png" else tiff(deep, byteorder=order[0])
    found = pixels(place(tmp_path, data, kind))
    assert np.array_equal(found, np.repeat((deep // 256)[..., None], 3, 2).astype(np.float32) / 255)
    assert abs(found.mean() - 0.498) < 0.003


def test_16_bit_colour_and_grey_keep_the_same_bits(tmp_path):
    deep = np.round(RAMP * 65535).astype(np.uint16)
    colour = tiff(np.repeat(deep[..., None], 3, 2), photometric="rgb")
    assert np.array_equal(pixels(in_folder(tmp_path, colour, ".tif"))[..., 1] * 255, (deep // 256).astype(np.float32))


UNREAD = {
    "int32": (tiff(np.ones((8, 6), np.int32)), "32-bit or signed"),
    "uint32": (tiff(np.ones((8, 6), np.uint32)), "32-bit or signed"),
    "int16": (tiff(np.ones((8, 6), np.int16)), "32-bit or signed"),
    "int8": (tiff(np.ones((8, 6), np.int8)), "numbers with a sign"),
    "float": (tiff(np.ones((8, 6), np.float32)), "floating-point numbers"),
    "white is zero": (tiff(np.ones((8, 6), np.uint16), photometric="miniswhite"), "zero is white"),
    "pages": (encoded(BLACK, "TIFF", save_all=True, append_images=[RED]), "holds 2 images"),
    "animation": (encoded(BLACK, "WEBP", save_all=True, append_images=[RED]), "holds 2 images"),
}


@pytest.mark.parametrize("place", [in_folder, in_parquet])
@pytest.mark.parametrize("kind", UNREAD)
def test_int32_float_and_animated_images_are_refused_by_name(tmp_path, place, kind):
    data, words = UNREAD[kind]
    with pytest.raises(InputError, match=words) as raised:
        place(tmp_path, data, ".tif")
    assert ("1.tif'" if place is in_folder else "row 0'") in str(raised.value)
    assert "save" in str(raised.value)


COLOUR = Image.fromarray(COLOURS)
KINDS = {
    "palette": COLOUR.quantize(8),
    "grey": COLOUR.convert("L"),
    "grey and alpha": COLOUR.convert("LA"),
    "alpha": COLOUR.convert("RGBA"),
    "one bit": COLOUR.convert("1"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_palettes_alpha_and_one_bit_become_rgb_by_the_rules_of_pillow(tmp_path, kind):
    found = pixels(in_folder(tmp_path, encoded(KINDS[kind]), ".png"))
    assert np.array_equal(found * 255, np.asarray(KINDS[kind].convert("RGB"), np.float32))


def test_cmyk_becomes_rgb_by_the_rules_of_pillow(tmp_path):
    image = COLOUR.convert("CMYK")
    found = pixels(in_folder(tmp_path, encoded(image, "TIFF"), ".tif"))
    assert np.array_equal(found * 255, np.asarray(image.convert("RGB"), np.float32))


@pytest.mark.parametrize("place", [in_folder, in_parquet])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(1, COLOURS), (2, COLOURS[:, ::-1]), (3, COLOURS[::-1, ::-1]), (6, np.rot90(COLOURS, -1)), (8, np.rot90(COLOURS))],
)
def test_exif_orientation_is_applied(tmp_path, place, kind, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = pixels(place(tmp_path, encoded(COLOUR, kind, exif=exif), f".{kind.lower()}"))
    assert np.array_equal(found * 255, upright.astype(np.float32))


def test_exif_orientation_of_16_bit_grey_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.round(RAMP * 65535).astype(np.uint16)
    found = pixels(in_folder(tmp_path, encoded(Image.fromarray(deep), exif=exif), ".png"))
    assert np.array_equal(found[..., 0] * 255, np.rot90(deep // 256, -1).astype(np.float32))


def test_the_photograph_of_a_camera_is_read_without_its_preview(tmp_path):
    data = encoded(COLOUR, "MPO", save_all=True, append_images=[RED], quality=100)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == "MPO"
        expected = np.asarray(opened.convert("RGB"), np.float32)
    assert np.array_equal(pixels(in_folder(tmp_path, data, ".jpg")) * 255, expected)
