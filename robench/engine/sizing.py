"""How the search is made ready for a network: compiled if asked for, and so many examples at a time as suit it."""

from typing import Any

import torch

from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.algorithms import Algorithm
from robench.classifiers.fused import warm_up
from robench.classifiers.precision import arithmetic
from robench.data.pixels import Images
from robench.specs.settings import Precision

CHUNK = 1024
"""Examples that advance together: enough for full micro-batches, few enough to lose little."""
SPACE = 2**21
"""Bytes that their images may take: an attack keeps a dozen arrays of that size."""


def make_ready(judge: Judge, x: Images, precision: Precision) -> float:
    """Compile what is to be compiled, and cut the micro-batches to the network if they are free to choose.

    On a CPU that is to what graphs weigh: a property of the network, not of what else the machine does, so the same
    command packs alike every time.

    Args:
        judge: has seen that the network takes such images; its packer is changed, the passes are booked.
        x: images, of which the first is shown, alone and as a pair.
        precision: of the search.

    Returns:
        seconds that torch.compile took.

    Raises:
        InputError: the network cannot be compiled.
    """
    network, batcher, seconds = judge.network, judge.batcher, 0.0
    pair = x[:1].to(network.device).repeat(2, 1, 1, 1)
    with arithmetic(precision, network.device), torch.enable_grad():
        if network.search == "compiled":
            seconds = warm_up(network.search_module, pair)
            judge.forwards += 4
        if batcher.graph:
            batcher.fit(lambda part: network.answer(part.requires_grad_(), "logits"), pair)
            judge.forwards += 3
    return seconds


def chunk_for(x: Images, batcher: MicroBatcher, algorithm: Algorithm[Any]) -> int:
    """How many examples like those of x advance together: full micro-batches rather than little memory."""
    if algorithm.batch_random:
        return CHUNK
    return min(max(SPACE // (4 * x[:1].numel()), 2 * batcher.size), CHUNK)
