"""Networks that are programs: they run as they were written, always in evaluation mode."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from robench.classifiers.groups import GroupSize, in_groups

TORCHSCRIPT = "failed in the TorchScript interpreter"
"""Part of the first line of an error inside a TorchScript program."""
PASS_ON = (nn.DataParallel, nn.parallel.DistributedDataParallel)
"""Modules that spread a batch over devices and compute nothing themselves."""


@dataclass(frozen=True)
class Parsed:
    """A program that was read from a file.

    Attributes:
        network: maps images to logits.
        size: numbers of images that the program takes at once; None if it takes any number.
    """

    network: nn.Module
    size: GroupSize | None = None


class Program(nn.Module):
    """Run a program with frozen weights; its modules are never in training mode.

    The program is pickled as the content of its file, for workers in other processes.

    Args:
        content: the file.
        parse: reads a program from such a content.
    """

    def __init__(self, content: bytes, parse: Callable[[bytes], Parsed]) -> None:
        super().__init__()
        self.content, self.parse = content, parse
        self.parsed = parse(content)
        self.network = self.parsed.network
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> object:
        """Map images (N, C, H, W) to logits (N, K).

        Raises:
            ValueError: the program does not take images of this shape.
        """
        try:
            size = self.parsed.size
            return self.network(x) if size is None else in_groups(self.network, x, size)
        except (AssertionError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and TORCHSCRIPT not in str(error):
                raise
            # An exported program asserts the shape of its input; TorchScript names the fault in its last line.
            raise ValueError(str(error).strip().splitlines()[-1]) from error

    def train(self, mode: bool = True) -> "Program":
        """Stay in evaluation mode: a program runs as it was written, and an exported one refuses to be switched."""
        for module in self.modules():
            module.training = False
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Program":
        """Move or convert all tensors, and move the devices that are written into a graph as constants."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = fn(torch.empty(0)).device
        for module in self.modules():
            if isinstance(module, fx.GraphModule):
                _place(module, device)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Program, (self.content, self.parse)


def in_training(module: nn.Module) -> bool:
    """Return whether a part of a network answers as in training, where dropout and batch norm change the answers.

    A module that spreads batches over devices only passes them on, so its own flag says nothing. A program of
    torch.export has no flag that can be changed: it computes in the mode in which it was exported. A frozen program of
    TorchScript has no flag at all.
    """
    if isinstance(module, fx.GraphModule) and "eval" in vars(module):  # torch replaces the method of such programs
        return any(map(computes_as_in_training, module.graph.nodes))
    own = getattr(module, "training", False) and not isinstance(module, PASS_ON)
    return own or any(map(in_training, module.children()))


def computes_as_in_training(node: fx.Node) -> bool:
    """Tell whether an operation computes as in training: dropout, or batch norm although it knows running means."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return False
    said = dict(zip((each.name for each in schema.arguments), node.args, strict=False)) | node.kwargs
    return any(said.get(name) is True for name in ("train", "training")) and said.get("running_mean", True) is not None


def _place(module: fx.GraphModule, device: torch.device) -> None:
    def there(value: Any) -> Any:
        return device if isinstance(value, torch.device) else value

    placed = [(node, map_aggregate(node.args, there), map_aggregate(node.kwargs, there)) for node in module.graph.nodes]
    changed = [each for each in placed if each[1:] != (each[0].args, each[0].kwargs)]
    for node, args, kwargs in changed:
        node.args, node.kwargs = args, kwargs
    if changed:
        module.recompile()
