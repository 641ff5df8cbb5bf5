"""Prepare the search for a network: compile it if requested, and choose the size of micro-batches and chunks."""

import torch

from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.classifiers.fused import warm_up
from robench.classifiers.precision import arithmetic
from robench.data.pixels import Images
from robench.specs.settings import Precision

CHUNK = 1024
"""Largest number of examples that advance together: enough for full micro-batches, few enough to lose little."""
SPACE = 2**21
"""Bytes that the images of a chunk may take; an attack keeps a dozen arrays of that size."""


def make_ready(judge: Judge, x: Images, precision: Precision) -> float:
    """Compile the network if requested, and fit the micro-batches to the network if the user did not set their size.

    On a CPU the size depends on the memory of the graph: a property of the network, not of the load on the machine,
    so the same command makes the same micro-batches every time.

    Args:
        judge: judge that has run the network on such images; its batcher is changed, its passes are counted.
        x: images, of which only the first is used, alone and as a pair.
        precision: precision of the search.

    Returns:
        Seconds that torch.compile took.

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


def chunk_for(x: Images, batcher: MicroBatcher) -> int:
    """Return how many examples like those of x advance together; full micro-batches come before low memory."""
    return min(max(SPACE // (4 * x[:1].numel()), 2 * batcher.size), CHUNK)
