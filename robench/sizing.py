"""How many examples go together: into a micro-batch, and from step to step."""

import torch

from robench.classifiers.precision import Precision, arithmetic
from robench.data.pixels import Images
from robench.judge import Judge
from robench.packing import Packer

CHUNK = 1024
"""Examples that advance together: enough for full micro-batches, few enough to lose little."""
SPACE = 2**21
"""Bytes that their images may take: an attack keeps a dozen arrays of that size."""


def suit(judge: Judge, x: Images, precision: Precision) -> None:
    """Cut the judge's micro-batches to its network, if it is free to choose: on a CPU to what graphs weigh.

    That is a property of the network, not of what else the machine does, so the same command packs alike every time.

    Args:
        judge: has seen that the network takes such images; its packer is changed, the passes are booked.
        x: images, of which the first is shown, alone and as a pair.
        precision: of the search.
    """
    victim, packer = judge.victim, judge.packer
    if packer.graph is None:
        return
    pair = x[:1].to(victim.device).repeat(2, 1, 1, 1)
    with arithmetic(precision, victim.device), torch.enable_grad():
        packer.fit(lambda part: victim.answer(part.requires_grad_(), "logits"), pair)
    judge.forwards += 3


def chunk_for(x: Images, packer: Packer) -> int:
    """How many examples like those of x advance together: full micro-batches rather than little memory."""
    each = 4 * x[:1].numel()
    return min(max(SPACE // each, 2 * packer.size), CHUNK)
