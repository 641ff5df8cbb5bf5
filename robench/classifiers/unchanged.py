"""A network comes back from an evaluation as it was lent."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Whatever the body does to a network, or the network to itself, it comes out as it went in, also after an error.

    That is its weights and buffers, the very tensors on the device where they were, `.grad`, which parameters ask for
    one, and which modules train. Costs a copy of the weights on the CPU. Meanwhile no parameter has a `.grad`.
    """
    training = [(module, module.training) for module in model.modules()]
    parameters = [(each, each.data, each.grad, each.requires_grad) for each in model.parameters()]
    buffers = [
        (owner, name, buffer)
        for owner in model.modules()
        for name, buffer in owner.named_buffers(recurse=False, remove_duplicate=False)
    ]
    tensors = [*(data for _, data, *_ in parameters), *(buffer for *_, buffer in buffers)]
    copies = [tensor.detach().to("cpu", copy=True) for tensor in tensors]
    try:
        for parameter, *_ in parameters:
            parameter.grad = None  # else it would move with its parameter
        yield
    finally:
        for module, flag in training:
            module.training = flag
        for parameter, data, grad, flag in parameters:
            parameter.data = data
            parameter.requires_grad_(flag)
            parameter.grad = grad
        for owner, name, buffer in buffers:
            setattr(owner, name, buffer)
        with torch.no_grad():
            for tensor, copy in zip(tensors, copies, strict=True):
                if not torch.equal(tensor.cpu(), copy):  # the network wrote into itself
                    tensor.copy_(copy)
