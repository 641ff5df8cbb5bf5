"""Class names of well-known datasets, for networks that tell them by their number of classes alone."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from robench.data.class_names import CIFAR10, CIFAR100, class_key

IDS = Path(__file__).with_name("imagenet_ids.txt")
"""The 1,000 WordNet ids of ILSVRC 2012 in the order of the labels (Russakovsky et al., IJCV 2015)."""


def standard_names(outputs: int, found: Sequence[str]) -> tuple[str, ...]:
    """Return the class names in the order of the labels of a dataset with as many classes as a network has outputs.

    Args:
        outputs: number of classes of the network.
        found: names of the user's classes.

    Returns:
        the list in which most of the names stand, ImageNet's as ids or as words; empty if none of them does, or, for
        CIFAR-10 and CIFAR-100, if less than half of the dataset's classes is there: other networks have 10 classes,
        too, among them cats and dogs.
    """
    keys = {*map(class_key, found)}
    counted = [(len(keys & {*map(class_key, known)}), known) for known in _standard(outputs)]
    most, names = max(counted, key=lambda each: each[0], default=(0, ()))
    least = 1 if outputs == len(imagenet_ids()) else outputs / 2
    return names if most >= least else ()


def _standard(outputs: int) -> list[tuple[str, ...]]:
    if outputs == len(CIFAR10):
        return [CIFAR10]
    if outputs == len(CIFAR100):
        return [CIFAR100]
    return [imagenet_ids(), imagenet_words()] if outputs == len(imagenet_ids()) else []


@cache
def imagenet_ids() -> tuple[str, ...]:
    """Return ImageNet's classes as WordNet ids, n01440764 to n15075141."""
    return tuple(IDS.read_text(encoding="ascii").split())


@cache
def imagenet_words() -> tuple[str, ...]:
    """Return ImageNet's classes in words, as torchvision names them; words that two classes share are ids instead."""
    from torchvision.models import ResNet18_Weights

    words = ResNet18_Weights.DEFAULT.meta["categories"]
    keys = [class_key(word) for word in words]
    return tuple(
        word if keys.count(key) == 1 else wnid for word, key, wnid in zip(words, keys, imagenet_ids(), strict=True)
    )
