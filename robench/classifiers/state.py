"""NetworkState of a network, put back after a pass that changes it and after the evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from robench.classifiers.service import Service
from robench.errors import InputError


class NetworkState:
    """Copy of a network's parameters, buffers and attributes, and where they belong.

    A pass that changes a tensor is seen by the tensor's version, which torch counts; looking costs microseconds. A
    change behind autograd's back (`tensor.data`, NumPy) is not counted and is found by `require_visible_changes`.

    Attributes:
        copies: the tensors' values, on the CPU.
    """

    def __init__(self, network: nn.Module, copies: list[Tensor] | None = None) -> None:
        self.owners = [
            (module, kind, name, tensor)
            for module in network.modules()
            for kind, found in (
                ("parameter", module.named_parameters(recurse=False, remove_duplicate=False)),
                ("buffer", module.named_buffers(recurse=False, remove_duplicate=False)),
            )
            for name, tensor in found
        ]
        tensors = [tensor for *_, tensor in self.owners]
        self.copies = copies or [tensor.detach().to("cpu", copy=True) for tensor in tensors]
        self.versions = [_version(tensor) for tensor in tensors]

    def __call__(self) -> None:
        """Put back what passes have changed."""
        for at, (module, kind, name, tensor) in enumerate(self.owners):
            held = module._parameters if kind == "parameter" else module._buffers
            if held.get(name) is not tensor if isinstance(held, dict) else getattr(module, name) is not tensor:
                setattr(module, name, tensor)
            if _version(tensor) != self.versions[at]:
                with torch.no_grad():
                    tensor.detach().copy_(self.copies[at])
                self.versions[at] = _version(tensor)

    def require_visible_changes(self) -> None:
        """Check that the tensors still have their values.

        Raises:
            InputError: a pass changed one of them in a way that torch does not count.
        """
        self()
        for (module, kind, name, tensor), copy in zip(self.owners, self.copies, strict=True):
            if not _same(tensor, copy):
                raise InputError(
                    f"a forward pass changes the {kind} '{name}' of {type(module).__name__} through .data or NumPy: "
                    "write to it under torch.no_grad(), or not at all."
                )


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _same(tensor: Tensor, copy: Tensor) -> bool:
    here = tensor.detach().cpu()
    return torch.equal(here, copy) or bool(((here == copy) | (here.isnan() & copy.isnan())).all())


@contextmanager
def unchanged(network: nn.Module) -> Iterator[list[Tensor]]:
    """Restore a network after the body, also after an error, whatever the body or the network itself changed.

    Restored are weights and buffers (the same tensors on the same device), `.grad`, `requires_grad`, and the
    attributes and the training mode of every module. Costs a copy of the weights on the CPU. Inside the body no
    parameter has a `.grad`.

    Yields:
        The copies, in the order of `NetworkState.owners`.
    """
    # A service counts its queries in an attribute.
    attributes = [(module, dict(vars(module))) for module in network.modules() if not isinstance(module, Service)]
    parameters = [(each, each.data, each.grad, each.requires_grad) for each in network.parameters()]
    before = NetworkState(network)
    try:
        for parameter, *_ in parameters:
            parameter.grad = None  # else the gradient would move with its parameter
        yield before.copies
    finally:
        for module, held in attributes:
            _restore(module, held)
        for parameter, data, grad, flag in parameters:
            parameter.data = data
            parameter.requires_grad_(flag)
            parameter.grad = grad
        with torch.no_grad():
            for (module, kind, name, tensor), copy in zip(before.owners, before.copies, strict=True):
                if kind == "buffer":
                    setattr(module, name, tensor)
                if not _same(tensor, copy):  # the network changed its tensor
                    tensor.copy_(copy)


def _restore(module: nn.Module, held: dict[str, Any]) -> None:
    """Give a module its attributes back, and remove those that it has gained."""
    now = vars(module)
    for name in [name for name in now if name not in held]:
        del now[name]
    now.update(held)
