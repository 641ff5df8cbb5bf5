"""What is evaluated, in one line."""

from robench.data.pixels import Images, Pixels
from robench.data.split import Split

LOOKED_AT = 1 << 26
"""Number of pixel values from which the range is taken, from the beginning."""
DIMMEST = 31 / 255
"""Largest value up to which a scale of fewer than 8 bits is likelier than dark images."""


def described(split: Split) -> str:
    """Describe a split in one line: source, images, classes, range of values, what was left out and why."""
    about = split.about
    name = f"{split.name} ({about.source})" if about.source else split.name
    images = _number(len(split), "image", "images")
    if about.total not in (None, len(split)):
        images = f"{len(split):,} of {about.total:,} images"
    size = " x ".join(map(str, split.x.shape[1:]))
    low, high, looked_at = _range(split.x)
    where = "" if looked_at == len(split) else f" in the first {looked_at:,}"
    parts = [
        f"{name}: {images}, {size}",
        _number(len(split.y.unique()), "class", "classes"),
        f"values {low:.3g} to {high:.3g}{where}",
        *filter(None, [_doubt(high)]),
        *about.notes,
    ]
    return "; ".join(parts) + "."


DIM = "the largest value is {} ({} of 255): if it stands for white, divide by it"
"""Doubt about the scale of images."""


def dim(split: Split) -> str:
    """Return a sentence, without its full stop, on images whose values end far below 1; empty if they do not."""
    found = _doubt(_range(split.x)[1])
    return f"'{split.name}': {found}" if found else ""


def _number(n: int, one: str, more: str) -> str:
    return f"{n:,} {one if n == 1 else more}"


def _doubt(high: float) -> str:
    """Return a doubt about the scale of images with this largest value, or an empty text."""
    if high <= 0:
        return "all pixels are 0, so the images hold nothing"
    return DIM.format(f"{high:.3g}", round(255 * high)) if high <= DIMMEST else ""


def _range(x: Images) -> tuple[float, float, int]:
    """Return the least and the largest value, and the number of images that were looked at."""
    first = x[: max(1, LOOKED_AT // x.shape[1:].numel())] if not isinstance(x, Pixels) else None
    if first is not None:
        return first.min().item(), first.max().item(), len(first)
    assert isinstance(x, Pixels)
    n = min(len(x), max(1, LOOKED_AT // x.shape[1:].numel()))
    blocks = [(block.min().item(), block.max().item()) for block in x.take(slice(n)).blocks()]
    return min(low for low, _ in blocks), max(high for _, high in blocks), n
