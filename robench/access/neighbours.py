"""Check that a network treats every image alone: its answers do not depend on the other images of the batch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robench.classifiers.outputs import TWICE, check_repeatable, largest
from robench.data.pixels import Images
from robench.errors import InputError

ALONE = ((0, 1), (1, 2), (2, 3), (3, 5))
"""Clean examples that are asked again without the others: three single images and two images together."""
KEPT = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""For each of six places of a batch, the two of four trials in which the place keeps its image.

In the other trials, the image is replaced. No two places keep theirs in the same trials, so every other place is
replaced in one of a place's trials."""
TRIALS = 4 + 3
"""Batches of six images that the network is asked for, with high and with low contrast."""
ROUNDINGS = 4 * torch.finfo(torch.float32).eps
"""Allowed difference if the size of the batch and the place in it are the same, relative to the largest logit.

Both answers are then the same arithmetic on the same numbers, in whatever precision, so they are equal."""
SIZES = 0.02
"""Allowed difference if the size of the batch differs, relative to the largest logit: five roundings to bfloat16.

Another size can mean another order of sums, and a network may round each sum to bfloat16."""
SEED = 0
"""Seed of the noise images."""
Ask = Callable[[Tensor], Tensor]
"""A function from images to logits (M, K)."""


def strangers(x: Tensor) -> Tensor:
    """Return four unlike companions of each image: inverted, mirrored and dark, noise, and halves of black and white.

    Args:
        x: images (M, C, H, W).

    Returns:
        Images (4, M, C, H, W).
    """
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(SEED)).to(x)
    return torch.stack([1.0 - x, 0.5 * x.flip(3), noise, stark(x)])


def stark(x: Tensor) -> Tensor:
    """Return images like x (M, C, H, W) whose left half is white and whose right half is black."""
    halves = torch.zeros_like(x)
    halves[..., : x.shape[-1] // 2] = 1.0
    return halves


def six(x: Images) -> Tensor:
    """Return the first six images; fewer are repeated."""
    return x[torch.arange(len(KEPT)) % len(x)]


def among_strangers(ask: Ask, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits of six images in two batches that differ in the other images, each (6, K).

    Args:
        ask: the network; it is asked for four batches of six images.
        x: the images (6, C, H, W).
    """
    batches = strangers(x)
    for place, trials in enumerate(KEPT):
        batches[list(trials), place] = x[place]
    answers = torch.stack([ask(batch) for batch in batches])
    first, second = (torch.stack([answers[trials[at], p] for p, trials in enumerate(KEPT)]) for at in (0, 1))
    return first, second


def dim_among_strangers(ask: Ask, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits of six images of low contrast beside such images, and beside black and white ones, each (6, K).

    A network that divides by the largest value of the batch is not seen if every batch holds black and white.

    Args:
        ask: the network; it is asked for three batches of six images.
        x: the images (6, C, H, W), with their contrast.
    """
    dim, strange, half = 0.5 * x + 0.25, stark(x), len(x) // 2
    first, second = torch.cat([dim[:half], strange[half:]]), torch.cat([strange[:half], dim[half:]])
    return ask(dim), torch.cat([ask(first)[:half], ask(second)[half:]])


def check_companions(first: Tensor, second: Tensor, *, exact: bool) -> None:
    """Check that logits (M, K) of images are the same beside two choices of the other images.

    Args:
        first, second: the logits; batches had the same size, and images the same places.
        exact: whether the network answers exactly the same if the same question is repeated.

    Raises:
        InputError: an image's answers differ.
    """
    off = _distances(first, second)
    if (off > (ROUNDINGS if exact else TWICE) * torch.maximum(largest(first), largest(second))).any():
        raise _dependent(off)


def check_places(ask: Ask, x: Tensor) -> None:
    """Check that copies of one image get one answer, whatever their places in the batch.

    Args:
        ask: the network.
        x: images (M, C, H, W), of which the first is used.

    Raises:
        InputError: the answers differ, which in a network that answers the same twice is a generator that it seeds.
    """
    answers = ask(x[:1].repeat(len(x), 1, 1, 1))
    if (_distances(answers[:1], answers) > SIZES * largest(answers)).any():
        raise InputError(
            "the network's answers depend on the other images of the batch, or on an image's place among them, as "
            "random numbers do that a network seeds in every pass: let it treat every image alone, or take the fixed "
            "seed out and evaluate it with --draws 16 (in Python draws=16)."
        )


def check_sizes(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Check that answers for images do not depend on the size of the batch.

    Rounding depends on the size, and a network that rounds its activations can enlarge it for single images; so an
    answer counts as dependent if most images of one size show it.

    Args:
        pairs: logits (M, K) of images in larger batches, and of the same M images in one batch without the others.

    Raises:
        InputError: most answers for batches of one size differ.
    """
    different: dict[int, list[bool]] = {}
    for among, alone in pairs:
        different.setdefault(len(alone), []).extend(_differ(among, alone).tolist())
    if any(sum(each) * 2 > len(each) for each in different.values()):
        raise _dependent(torch.cat([_distances(among, alone) for among, alone in pairs]))


def check_service(logits: Tensor, ask: Callable[[Images], Tensor], x: Images) -> None:
    """Check a service, every question to which counts: it is asked once more, in other batches.

    One image is asked beside a made-up one, several in two parts. Only if the answers change, the first question is
    repeated, which tells randomness from dependence on the batch.

    Args:
        logits: the first answers (M, K).
        ask: asks the service.
        x: the images of the first question, at least two fit into one call.

    Raises:
        InputError: the service is random, or its answers depend on the other images.
    """
    if len(x) > 1:
        # Images of one class stay together: then statistics of a part are unlike those of the whole.
        order, half = logits.argmax(1).argsort(stable=True), len(x) // 2
        among = torch.empty_like(logits)
        for part in (order[:half], order[half:]):
            among[part] = ask(x[part.cpu()])
    else:
        among = ask(torch.cat([x[:1], 1.0 - x[:1]]))[:1]
    if not (_distances(logits, among) > TWICE * largest(logits)).any():
        return
    check_repeatable(logits, ask(x))
    # A tie of two labels is decided by rounding, but hardly for two images of the first batch.
    if _differ(logits, among).sum() >= min(2, len(x)):
        raise _dependent(_distances(logits, among))


def _differ(one: Tensor, other: Tensor) -> Tensor:
    """Return which rows differ by more than another size of the batch explains."""
    return _distances(one, other) > SIZES * largest(one)


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """Return the largest difference of each row, (M,); NaN, which other checks refuse by name, differs from nothing."""
    same = (one == other) | one.isnan() | other.isnan()
    return (one - other).abs().masked_fill(same, 0.0).amax(1)


def _dependent(off: Tensor) -> InputError:
    worst = off.max().item()
    return InputError(
        f"the network's answers depend on the other images of the batch (logits differ by {worst:.2g}): "
        "let it treat every image alone, without statistics over the batch (batch norm in eval mode)."
    )
