"""The network whose gradient attacks follow in place of the network's own, checked against the network itself."""

from contextlib import ExitStack

import torch
from torch import Tensor

from robench.access.microbatches import MicroBatcher
from robench.classifiers.frozen import FrozenNetwork, frozen_network
from robench.classifiers.outputs import largest
from robench.classifiers.precision import arithmetic
from robench.classifiers.program import in_training
from robench.classifiers.sources.backward import Backward
from robench.errors import InputError
from robench.numerics.ball import Ball
from robench.numerics.randomness import ExampleRandom
from robench.specs import ThreatModel

SAME = 1e-4
"""Largest difference between the logits of both networks, in units of the largest logit."""
TRIED = 256
"""Largest number of clean examples on which both networks are compared."""
FEW = 4
"""Number of examples on which a gradient is asked for."""
STREAM = "backward"
"""Stream of the random numbers."""


def follow(network: FrozenNetwork, given: Backward, stack: ExitStack) -> FrozenNetwork:
    """Return a frozen network whose search follows the gradient of another network.

    Args:
        network: the network as it is.
        given: the other network.
        stack: restores the other network when the stack is closed.

    Raises:
        InputError: the other network is spread over several devices.
    """
    if in_training(given.network):
        given.network.eval()
    return network.through(stack.enter_context(frozen_network(given.network, network.device)))


def check_backward(
    network: FrozenNetwork, given: Backward, batcher: MicroBatcher, threat: ThreatModel, x: Tensor, ids: Tensor
) -> int:
    """Check that the network whose gradient attacks follow has the values of the judged network, and a gradient.

    Both are compared on clean examples and on random points of the ball around them: on images of bytes alone, rounding
    to bytes would look like no change.

    Args:
        network: the network with its `backward`.
        given: the other network, for messages.
        batcher: calls the networks.
        threat: the threat model.
        x, ids: clean examples, at most `TRIED`.

    Returns:
        Number of forward passes.

    Raises:
        InputError: the values differ, or there is no gradient.
    """
    assert network.backward is not None
    x = x.to(network.device)
    random = ExampleRandom(0, STREAM, tuple(ids.tolist()), device=x.device)
    ball = Ball(x, threat.norm, threat.eps)
    moved = ball.project(x + threat.eps * (2 * random.uniform(tuple(x.shape[1:]), 0, "points") - 1))
    points = torch.cat([x, moved])
    own = batcher(network.predict, points, differentiates=False)
    other = batcher(network.backward.predict, points, differentiates=False)
    if own.shape != other.shape:
        raise InputError(
            f"--backward {given.name} gives logits of shape {tuple(other.shape)}, the network {tuple(own.shape)}: "
            "return a network with the same values."
        )
    off = (own - other).abs().amax(1) / largest(own)
    if (differ := ~(off <= SAME)).any():
        raise InputError(
            f"--backward {given.name} changes the network's answers on {int(differ.sum())} of {len(points)} points "
            f"(logits differ by up to {(own - other).abs().max():.2g}, the largest is {own.abs().max():.2g}): change "
            "the gradient alone, for example by robench.straight_through(part, smooth)."
        )
    few = moved[:FEW].clone().requires_grad_()
    with arithmetic("fp32", network.device), torch.enable_grad():
        logits, _ = network.answer(few, "logits")
        slope = torch.autograd.grad(logits.sum(), few, allow_unused=True)[0] if logits.requires_grad else None
    if slope is None:
        raise InputError(f"--backward {given.name} gives no gradient for the network's input: {_mend(given)}.")
    return 2 * len(points) + len(few)


def _mend(given: Backward) -> str:
    if not given.shipped:
        return "let its result depend on the input through differentiable functions, without no_grad or detach"
    return (
        "the part without gradient is of another kind, or is hidden in compiled code; name another "
        "(rounding, jpeg, thermometer, argmax), or write file.py:function"
    )
