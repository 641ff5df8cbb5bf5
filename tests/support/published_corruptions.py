"""The published corruptions image by image: NumPy, SciPy, scikit-image and Pillow, nothing of robench.

Definitions of Hendrycks & Dietterich (2019) and of the scripts that made CIFAR-10-C. Each takes an image, uint8,
(H, W, 3), or in `BATCHED` many of them, the constants, and a generator where it draws; it returns levels from 0 to 255.
"""

import math
from functools import cache, partial
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.color import hsv2rgb, rgb2hsv
from skimage.filters import gaussian
from skimage.util import random_noise

BATCHED = {"gaussian_noise", "speckle_noise", "shot_noise", "impulse_noise", "fog"}


def cut(x: np.ndarray) -> np.ndarray:
    return np.uint8(np.clip(x, 0, 1) * 255).astype(float)


def defocus_blur(image, c):
    side, rim = (8, 1) if c[0] <= 8 else (int(c[0]), 2)
    rows, columns = np.mgrid[-side : side + 1, -side : side + 1]
    disk = (rows**2 + columns**2 <= c[0] ** 2).astype(float)
    kernel = ndimage.gaussian_filter(disk / disk.sum(), c[1], radius=rim, mode="mirror")
    return cut(np.stack([ndimage.correlate(image[..., i] / 255, kernel, mode="mirror") for i in range(3)], -1))


def zoomed(image, factor):
    crop = [math.ceil(side / factor) for side in image.shape[:2]]
    top, left = ((side - cropped) // 2 for side, cropped in zip(image.shape, crop, strict=False))
    large = ndimage.zoom(image[top : top + crop[0], left : left + crop[1]], (factor, factor, 1), order=1)
    top, left = ((there - side) // 2 for there, side in zip(large.shape[:2], image.shape, strict=False))
    return large[top : top + image.shape[0], left : left + image.shape[1]]


def zoom_blur(image, c):
    x = image / 255
    layers = [zoomed(x, factor) for factor in np.arange(1, *c)]
    return cut((x + sum(layers)) / (len(layers) + 1))


def brightness(image, c):
    hsv = rgb2hsv(image / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + c[0], 0, 1)
    return cut(hsv2rgb(hsv))


def saturate(image, c):
    hsv = rgb2hsv(image / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * c[0] + c[1], 0, 1)
    return cut(hsv2rgb(hsv))


def contrast(image, c):
    x = image / 255
    return cut((x - x.mean((0, 1))) * c[0] + x.mean((0, 1)))


def gaussian_blur(image, c):
    return cut(gaussian(image / 255, sigma=c[0], channel_axis=-1))


def pixelate(image, c):
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize((int(width * c[0]), int(height * c[0])), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BOX), float)


def jpeg_compression(image, c):
    stream = BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=int(c[0]))
    return np.asarray(Image.open(stream), float)


def gaussian_noise(images, c, rng):
    return cut(images / 255 + rng.normal(scale=c[0], size=images.shape))


def speckle_noise(images, c, rng):
    return cut(images / 255 * (1 + rng.normal(scale=c[0], size=images.shape)))


def shot_noise(images, c, rng):
    return cut(rng.poisson(images / 255 * c[0]) / c[0])


def impulse_noise(images, c, rng):
    return cut(random_noise(images / 255, "s&p", rng=rng, amount=c[0]))


def glass_blur(image, c, rng):
    """With the scripts' own assignment, which goes through views."""
    x = (gaussian(image / 255, sigma=c[0], channel_axis=-1) * 255).astype(np.uint8)
    reach = int(c[1])
    for _ in range(int(c[2])):
        for h in range(32 - reach, reach, -1):
            for w, (dx, dy) in zip(range(32 - reach, reach, -1), rng.integers(-reach, reach, (32, 2)), strict=False):
                x[h, w], x[h + dy, w + dx] = x[h + dy, w + dx], x[h, w]
    return cut(gaussian(x / 255, sigma=c[0], channel_axis=-1))


def line_blur(image, radius, sigma, angle):
    """Image in levels; ImageMagick's motion blur, rounded."""
    taps = np.arange(2 * int(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    reach = len(taps)
    wide = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    total = np.zeros(image.shape)
    for j, weight in zip(taps, weights / weights.sum(), strict=True):
        down, right = (math.ceil(j * f(math.radians(angle)) - 0.5) + reach for f in (math.sin, math.cos))
        total += weight * wide[down : down + len(image), right : right + image.shape[1]]
    return np.floor(total + 0.5)


def motion_blur(image, c, rng):
    radius, sigma = c
    return line_blur(image.astype(float), radius, sigma, rng.uniform(-45, 45))


def snow(image, c, rng):
    x = image / 255
    flakes = zoomed(rng.normal(c[0], c[1], (*x.shape[:2], 1)), c[2])
    flakes[flakes < c[3]] = 0
    flakes = line_blur(cut(flakes), c[4], c[5], rng.uniform(-135, -45)) / 255
    grey = (x @ [0.299, 0.587, 0.114])[..., None]
    return cut(c[6] * x + (1 - c[6]) * np.maximum(x, grey * 1.5 + 0.5) + flakes + np.rot90(flakes, 2))


@cache
def frost_photographs() -> list[np.ndarray]:
    """A fifth of their size, bilinear."""
    spec = find_spec("imagecorruptions")
    folder = Path(spec.submodule_search_locations[0]) / "frost"
    found = []
    for name in ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg"):
        pixels = np.asarray(Image.open(folder / name).convert("RGB"), float)
        rows, columns = (5 * (np.arange(round(side / 5)) + 0.5) - 0.5 for side in pixels.shape[:2])
        grid = np.meshgrid(rows, columns, indexing="ij")
        found.append(np.stack([ndimage.map_coordinates(pixels[..., i], grid, order=1) for i in range(3)], -1))
    return found


def frost(image, c, rng):
    photograph = frost_photographs()[rng.integers(5)]
    top, left = (rng.integers(0, side - 32) for side in photograph.shape[:2])
    return np.floor(np.clip(c[0] * image + c[1] * photograph[top : top + 32, left : left + 32], 0, 255))


def fog(images, c, rng):
    """Diamond-square, point by point on a torus, for all images at once."""
    n, side, wibble = len(images), 32, 100.0
    field, step = np.zeros((n, side, side)), 32
    while step >= 2:
        half = step // 2
        for offsets, moves in (
            ([(half, half)], [(-half, -half), (-half, half), (half, -half), (half, half)]),
            ([(0, half), (half, 0)], [(-half, 0), (half, 0), (0, -half), (0, half)]),
        ):
            for top, left in offsets:
                for i in range(top, side, step):
                    for j in range(left, side, step):
                        around = sum(field[:, (i + a) % side, (j + b) % side] for a, b in moves)
                        field[:, i, j] = around / 4 + wibble * rng.uniform(-wibble, wibble, n)
        step, wibble = half, wibble / c[1]
    field -= field.min((1, 2), keepdims=True)
    field /= field.max((1, 2), keepdims=True)
    x = images / 255
    largest = x.max((1, 2, 3), keepdims=True)
    return cut((x + c[0] * field[..., None]) * largest / (largest + c[0]))


def elastic_transform(image, c, rng):
    c, x = np.array(c) * 32, image / 255
    before = np.array([[26.0, 26], [26, 6], [6, 6]])
    after = before + rng.uniform(-c[2], c[2], before.shape)
    back = np.linalg.solve(np.c_[after, np.ones(3)], before).T  # from a new (x, y, 1) to the old (x, y)
    matrix, offset = back[::-1, [1, 0]], back[::-1, 2]
    x = np.stack([ndimage.affine_transform(x[..., i], matrix, offset, order=1, mode="mirror") for i in range(3)], -1)
    move = [gaussian(rng.uniform(-1, 1, (32, 32)), c[1], mode="reflect", truncate=3) * c[0] for _ in range(2)]
    places = np.mgrid[:32, :32] + np.stack(move)
    return cut(np.stack([ndimage.map_coordinates(x[..., i], places, order=1, mode="reflect") for i in range(3)], -1))


def canny(image, low, high):
    """Edges of an image in levels: scipy's Sobel, thinned pixel by pixel, connected by labels."""
    dx, dy = (ndimage.sobel(image, axis, mode="nearest") for axis in (1, 0))
    steep = np.pad(np.abs(dx) + np.abs(dy), 1)
    thin = np.zeros(image.shape, bool)
    for i, j in np.argwhere(steep[1:-1, 1:-1] > low):
        x, y, here = abs(dx[i, j]), abs(dy[i, j]), steep[i + 1, j + 1]
        if y < math.tan(math.pi / 8) * x:
            thin[i, j] = here > steep[i + 1, j] and here >= steep[i + 1, j + 2]
        elif y > math.tan(3 * math.pi / 8) * x:
            thin[i, j] = here > steep[i, j + 1] and here >= steep[i + 2, j + 1]
        else:
            side = -1 if (dx[i, j] < 0) != (dy[i, j] < 0) else 1
            thin[i, j] = here > steep[i, j + 1 - side] and here > steep[i + 2, j + 1 + side]
    labels, _ = ndimage.label(thin, np.ones((3, 3)))
    return thin & np.isin(labels, labels[thin & (steep[1:-1, 1:-1] > high)])


def chamfer(edges):
    """To the nearest edge, at most 20, from the closed form of the 5 x 5 mask's metric."""
    offsets = np.abs(np.argwhere(np.ones_like(edges))[:, None] - np.argwhere(edges))
    far, near = offsets.max(2, initial=0), offsets.min(2, initial=99)
    length = np.where(2 * near <= far, 2.1969 * near + far - 2 * near, 2.1969 * (far - near) + 1.4 * (2 * near - far))
    return np.minimum(20, length.min(1, initial=20)).reshape(edges.shape)


def spatter(image, c, rng):
    x, liquid = image / 255, gaussian(rng.normal(c[0], c[1], image.shape[:2]), sigma=c[2])
    if c[5]:
        cover = gaussian((liquid > c[3]).astype(float), sigma=c[4])[..., None]
        cover[cover < 0.8] = 0
        return cut(x * (1 - cover) + np.array([63, 42, 20]) / 255 * cover)
    drops = np.floor(np.where(liquid < c[3], 0, liquid) * 255) % 256
    box = partial(ndimage.uniform_filter, size=3, mode="mirror")
    distance = np.floor(box(chamfer(canny(drops, 50, 150))) + 1e-5).astype(int)
    counts = np.bincount(distance.ravel(), minlength=256)
    counts[distance.min()] = 0
    even = np.round(np.cumsum(counts) * 255 / max(1, counts.sum()))[distance] if counts.any() else distance
    lit = np.clip(ndimage.correlate(even, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]), mode="mirror"), 0, 255)
    relief = drops * np.round(box(lit.astype(float)))
    return cut(x + (relief / max(1, relief.max()) * c[4])[..., None] * np.array([175, 238, 238]) / 255)
