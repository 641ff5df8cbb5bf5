"""The corruptions against the published definitions, evaluated anew in `tests/support/published_corruptions.py`."""

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from robench.corruptions import SEVERITIES, corrupt, corruptions, extra_corruptions, generate, weather
from robench.errors import InputError
from robench.specs import corruption as corruption_specs
from robench.specs import list_attacks
from robench.specs.corruption import declared
from tests.support import published_corruptions as published
from tests.support.marks import slow

RANDOM = {  # and how many draws are enough for their means and deviations
    "gaussian_noise": 240, "shot_noise": 240, "impulse_noise": 480, "speckle_noise": 240, "glass_blur": 240,
    "motion_blur": 720, "snow": 1200, "frost": 4800, "fog": 2400, "elastic_transform": 480, "spatter": 240,
}  # fmt: skip
SOME = {"gaussian_noise", "shot_noise", "impulse_noise", "motion_blur", "elastic_transform"}
"""Random corruptions that are drawn by default: those that need few draws."""
NAMES = [*corruptions(), *extra_corruptions()]
EXACT = [name for name in NAMES if name not in RANDOM]
FALLS = {
    # Where the published constants make the next severity change an image less, on photographs of this size.
    "glass_blur": {(1, 2), (2, 3), (4, 5)},  # the blur after the shifts grows, and hides them
    "elastic_transform": {(1, 2), (2, 3), (3, 4), (4, 5)},  # the affine jitter shrinks from 0.08 to 0.03 sides
    "frost": {(3, 4)},  # as much frost on a little more image
    "saturate": {(2, 3)},  # 1 and 2 take colour away, 3 to 5 add it
}
SAME = {
    # Pairs that change an image equally; with enough draws, either may come out ahead.
    "motion_blur": (3, 4),  # radius 6 and 8, both of sigma 2: the taps by which they differ weigh nothing
    "spatter": (3, 4),  # much water, little mud: 5.18 +- 0.02 and 5.23 +- 0.05 (1e-3) over 19,200 draws
}


@cache
def photographs(side: int = 32, columns: int = 4) -> np.ndarray:
    """Real images, uint8, (2 * 3 * columns, side, side, 3): scikit-learn's two photographs in tiles."""
    from sklearn.datasets import load_sample_images  # takes two seconds

    tiles = []
    for photograph in load_sample_images().images:
        small = np.asarray(Image.fromarray(photograph).resize((columns * side, 3 * side), Image.Resampling.LANCZOS))
        tiles += [
            small[i : i + side, j : j + side] for i in range(0, 3 * side, side) for j in range(0, len(small[0]), side)
        ]
    return np.stack(tiles)


def tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def levels(x: Tensor) -> np.ndarray:
    return (x * 255).round().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("side", [32, 80])
def test_a_deterministic_corruption_is_the_published_one_to_a_level(name, severity, side):
    images = photographs(side)[:: 1 if side == 32 else 8]
    constants = declared()[name].small if side == 32 else declared()[name].large
    expected = np.stack([getattr(published, name)(image, constants[severity - 1]) for image in images])
    found = levels(corrupt(tensor(images), name, severity, range(len(images))))
    assert np.abs(found - expected).max() <= 1
    assert np.abs(found - expected).mean() < 0.15  # where the value is a whole level, rounding errors decide theirs


@pytest.mark.parametrize("severity", [5, *map(slow, (1, 2, 3, 4))])
@pytest.mark.parametrize("name", [*sorted(SOME), *map(slow, sorted(RANDOM.keys() - SOME))])
def test_a_random_corruption_changes_as_much_as_the_published_one(name, severity):
    count, rng, definition = RANDOM[name], np.random.default_rng(severity), getattr(published, name)
    images = photographs()[np.arange(count) % len(photographs())]
    c = declared()[name].small[severity - 1]
    expected = (
        definition(images, c, rng) if name in published.BATCHED else np.stack([definition(i, c, rng) for i in images])
    )
    found = levels(corrupt(tensor(images), name, severity, range(count)))
    theirs, ours = expected - images, found - images
    assert abs(ours.mean() - theirs.mean()) <= 0.03 * np.sqrt((theirs**2).mean())
    assert ours.std() == pytest.approx(theirs.std(), rel=0.03)


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_severity_changes_more_but_where_the_constants_say_otherwise(name):
    images = tensor(np.tile(photographs(), (40 if name in SAME else 10 if name in RANDOM else 1, 1, 1, 1)))
    errors = [float(((corrupt(images, name, s, range(len(images))) - images) ** 2).mean()) for s in SEVERITIES]
    same = SAME.get(name)
    if same:
        assert errors[same[0] - 1] == pytest.approx(errors[same[1] - 1], rel=0.1)
    pairs = [(s, s + 1) for s in SEVERITIES[:-1]]
    assert {pair for pair in pairs if pair != same and errors[pair[0] - 1] >= errors[pair[1] - 1]} == FALLS.get(
        name, set()
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_images_do_not_depend_on_the_batch_but_on_the_seed(name, monkeypatch):
    x, ids = tensor(photographs()), torch.arange(100, 100 + len(photographs()))
    whole = corrupt(x, name, 4, ids)
    order = torch.tensor([7, 3, 20])
    assert torch.equal(corrupt(x[order], name, 4, ids[order]), whole[order])
    assert torch.equal(corrupt(x[5:6], name, 4, [105]), whole[5:6])
    monkeypatch.setattr(generate, "PIXELS", 5 * 32 * 32)
    monkeypatch.setattr(generate, "LEAST", 1)
    assert torch.equal(corrupt(x, name, 4, ids), whole)
    assert torch.equal(corrupt(x, name, 4, ids, seed=1), whole) == (name not in RANDOM)
    assert torch.equal(corrupt(x, name, 4, ids + 1), whole) == (name not in RANDOM)


@pytest.mark.parametrize("name", NAMES)
def test_small_and_grey_images_are_corrupted_at_32_rgb_and_brought_back(name):
    x = F.adaptive_avg_pool2d(tensor(photographs()[:6]).mean(1, keepdim=True), 8)
    found = corrupt(x, name, 3, range(6))
    large = F.interpolate(x, size=(32, 32), mode="bilinear").repeat(1, 3, 1, 1)
    expected = corrupt(large, name, 3, range(6)).numpy().reshape(6, 3, 8, 4, 8, 4).mean((1, 3, 5))
    assert found.shape == x.shape
    np.testing.assert_allclose(found.squeeze(1).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3, 20, 40), (1, 40, 33), (3, 70, 66), (1, 350, 64)])
def test_any_size_and_any_constant_image(name, shape):
    x = torch.cat([torch.zeros(1, *shape), torch.ones(1, *shape)])
    for severity in (1, 5):
        if name == "glass_blur" and max(shape) > 100:
            continue  # a pixel after another: seconds
        y = corrupt(x, name, severity, [4, 9])
        assert y.shape == x.shape
        assert y.dtype == torch.float32
        assert 0 <= y.min() <= y.max() <= 1


@pytest.mark.parametrize(("side", "factor"), [(63, 0.15), (64, 0.05)])
def test_the_shorter_side_decides_whose_constants_are_taken(side, factor):
    x = tensor(photographs(128))[:, :, :side, :90]
    y = corrupt(x, "contrast", 5, range(len(x)))
    assert float(y.std((2, 3)).mean() / x.std((2, 3)).mean()) == pytest.approx(factor, rel=0.1)


def test_results_are_8_bit_levels():
    y = corrupt(tensor(photographs()), "brightness", 2, range(24)) * 255
    torch.testing.assert_close(y, y.round(), atol=1e-4, rtol=0)


def test_the_declared_corruptions_are_the_fifteen_and_the_four():
    assert len(corruptions()) == 15
    assert corruptions()[:3] == ["gaussian_noise", "shot_noise", "impulse_noise"]
    assert extra_corruptions() == ["speckle_noise", "gaussian_blur", "spatter", "saturate"]
    assert generate.functions(small=True).keys() == generate.functions(small=False).keys() == declared().keys()
    assert not set(NAMES) & set(list_attacks())


IMAGES = torch.full((2, 3, 32, 32), 0.5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((IMAGES, "fogg", 1, [0, 1]), "unknown corruption 'fogg': did you mean fog"),
        ((IMAGES, "fog", 0, [0, 1]), "severity 0 must be 1, 2, 3, 4 or 5"),
        ((IMAGES, "fog", 2.5, [0, 1]), "severity 2.5 must be"),
        ((IMAGES, "fog", 2.0, [0, 1]), "severity 2.0 must be"),
        ((IMAGES, "fog", 1, [0.5, 1]), "ids must be whole numbers"),
        ((IMAGES, "fog", 1, [0]), "2 images but 1 ids"),
        ((IMAGES, "fog", 1, [0, -1]), "id -1 is negative"),
        ((IMAGES, "fog", 1, [0, 2**70]), "is too large"),
        ((IMAGES, "fog", True, [0, 1]), "severity True must be"),
        ((IMAGES, None, 1, [0, 1]), "unknown corruption 'None'"),
        ((IMAGES, "fog", 1, [0, 1], -1), "seed -1 must be"),
        ((IMAGES, "fog", 1, [0, 1], "a"), "seed 'a' must be"),
        ((IMAGES.double(), "fog", 1, [0, 1]), "torch.float64, expected a float32 tensor"),
        ((IMAGES.numpy(), "fog", 1, [0, 1]), "images are ndarray"),
        ((IMAGES[0], "fog", 1, [0, 1]), r"shape \(3, 32, 32\), expected"),
        ((IMAGES[:, :2], "fog", 1, [0, 1]), r"shape \(2, 2, 32, 32\), expected"),
        ((IMAGES[:0], "fog", 1, []), "at least one"),
        ((IMAGES * 255, "fog", 1, [0, 1]), "outside"),
        ((IMAGES * float("nan"), "fog", 1, [0, 1]), "or NaN"),
    ],
)
def test_bad_input_is_named_in_one_sentence(arguments, said):
    with pytest.raises(InputError, match=said) as raised:
        corrupt(*arguments)
    assert "\n" not in str(raised.value)


def test_missing_frost_photographs_are_named(monkeypatch):
    monkeypatch.setattr(weather, "FROST_PACKAGE", "no_such_package")
    with pytest.raises(InputError, match="pip install imagecorruptions-imaug"):
        corrupt(torch.rand(1, 3, 33, 47), "frost", 1, [0])


def test_a_malformed_stanza_is_named(tmp_path, monkeypatch):
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "corruptions.toml").write_text(
        '[fog]\nabout = "a"\nsmall = [1, 2, 3, 4]\nlarge = [1, 2, 3, 4, 5]\n'
    )
    monkeypatch.setattr(corruption_specs, "data_root", lambda: tmp_path)
    with pytest.raises(InputError, match=r"corruption 'fog', key 'small'"):
        corruption_specs.declared.__wrapped__()
