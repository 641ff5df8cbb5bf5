"""The network under attack, frozen, with what an evaluation must know of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robench.classifiers.classifier import Classifier
from robench.classifiers.features import NO_HEAD, UNKNOWN, Ask, FeatureLayer, Head, find, normalized
from robench.classifiers.fused import accelerate
from robench.classifiers.heads import HypersphereHead
from robench.classifiers.precision import arithmetic
from robench.devices import out_of_memory, sent
from robench.errors import InputError
from robench.numerics.ball import finite
from robench.numerics.losses import InputKind
from robench.specs.settings import Precision, Search

NO_GRADIENT = (
    "the network gives no gradient for its input: remove no_grad, inference_mode or detach from it, "
    "or run a score-based attack."
)
TWICE = 1e-4
"""Two passes over the same input may differ by this much, relative to the largest logit."""


@dataclass(frozen=True)
class FrozenNetwork:
    """A network in evaluation mode on its device, parameters frozen.

    Attributes:
        module: maps images in [0, 1] to logits (N, K).
        device: where it lives.
        scale, margin: the constants of an HE head, or None for any other network.
        layer: where its penultimate features are, if it was looked into.
        search: how the search runs it; plain, too, where nothing is faster.
        accelerated_module: what the search runs instead of `module`, equal up to rounding
            (`robench.classifiers.fused`); None where nothing is faster.
    """

    module: nn.Module
    device: torch.device
    scale: float | None = None
    margin: float | None = None
    layer: FeatureLayer | None = None
    search: Search = "plain"
    accelerated_module: nn.Module | None = None

    @classmethod
    def of(cls, module: nn.Module, device: torch.device) -> "FrozenNetwork":
        """Wrap a network; the constants come from its head if it is one of ours."""
        head = module.head if isinstance(module, Classifier) else None
        if isinstance(head, HypersphereHead):
            return cls(module, device, head.scale, head.margin)
        return cls(module, device)

    def with_features(self, name: str | None, ask: Ask, x: Tensor) -> "FrozenNetwork":
        """The same with its features: those of a named layer, else its own where it is one of ours, else what is found.

        Args:
            name: of the layer that gives the features, or None.
            ask: from images to logits in one pass over this network.
            x: an image to look at, (1, C, H, W).

        Raises:
            InputError: there is no layer of that name, or it gives no features.
        """
        if name is None and isinstance(self.module, Classifier):
            return self
        return replace(self, layer=find(self.module, name, ask, x), search="plain", accelerated_module=None)

    def accelerated(self, search: Search, precision: Precision) -> "FrozenNetwork":
        """The same with the network that the search runs, where one is faster."""
        found = accelerate(self.module, search, precision, self.device)
        return replace(self, search="plain" if found is None else search, accelerated_module=found)

    @property
    def search_module(self) -> nn.Module:
        """The network as the search runs it; verdicts are given on `module`."""
        return self.module if self.accelerated_module is None else self.accelerated_module

    @property
    def head(self) -> Head | None:
        """What makes the logits of its features, if that is known."""
        if self.layer is not None:
            return self.layer.head
        return self.module.head if isinstance(self.module, Classifier) else None

    @property
    def normalizes_features(self) -> bool:
        """Whether its own logits are those of normalised features."""
        head = self.head
        return isinstance(head, HypersphereHead) and head.fn

    def why_hidden(self, input_kind: InputKind) -> str:
        """Why an objective would not see what it wants of it, or nothing."""
        if input_kind != "logits" and self.layer is None and not isinstance(self.module, Classifier):
            return UNKNOWN
        return NO_HEAD if input_kind == "normalized" and self.head is None else ""

    def predict(self, x: Tensor) -> Tensor:
        """Logits (M, K) of images on any device: one pass of the network as it is, in float32, without a gradient.

        Raises:
            InputError: the network cannot take such images, or returns something else than logits.
        """
        try:
            with arithmetic("fp32", self.device), torch.no_grad():
                return check_logits(self.module(sent(x, self.device)), len(x))
        except (RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, InputError) or out_of_memory(error):
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"the network cannot take {x.dtype} images of shape {tuple(x.shape[1:])} ({reason.rstrip('.')}): "
                "give it images of its own shape, and float32 weights (model.float())."
            ) from error

    def answer(self, x: Tensor, input_kind: InputKind) -> tuple[Tensor, Tensor]:
        """The logits (N, K) that decide, and what an objective sees.

        Raises:
            InputError: features are asked for and not known, or the network returns no logits.
        """
        if input_kind == "logits":
            logits = check_logits(self.search_module(x), len(x))
            return logits, logits
        if self.layer is not None:
            answer, z = self.layer.read(self.module, x)
            logits = check_logits(answer, len(x))
        elif isinstance(self.module, Classifier):
            run = self.search_module if isinstance(self.search_module, Classifier) else self.module
            z = run.features(x)
            logits = run.head(z)
        else:
            raise InputError(f"{UNKNOWN}.")
        if input_kind == "features":
            return logits, z
        if self.head is None:
            raise InputError(f"{NO_HEAD}.")
        return logits, normalized(self.head, z)


@contextmanager
def frozen_network(network: nn.Module, device: torch.device) -> Iterator[FrozenNetwork]:
    """Lend a network to an evaluation; it comes back as it was, also after an error (`unchanged`).

    Raises:
        InputError: the network is in training mode, where dropout and batch norm change its answers, or
            it is spread over several devices.
    """
    if any(module.training for module in network.modules()):
        raise InputError("the network is in training mode: call model.eval() before evaluating it.")
    tensors = [*network.parameters(), *network.buffers()]
    homes = {tensor.device for tensor in tensors}
    if len(homes) > 1:
        raise InputError(f"the network is spread over {len(homes)} devices: move it to one with model.to(...).")
    with unchanged(network):
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        yield FrozenNetwork.of(network.to(device), device)


def check_logits(logits: object, n: int) -> Tensor:
    """Logits as float32 (N, K), K at least 2.

    Raises:
        InputError: the network returned something else.
    """
    if not isinstance(logits, Tensor):
        raise InputError(f"the network returns {type(logits).__name__}, expected a tensor of logits (N, K).")
    if logits.dim() != 2 or logits.shape[0] != n or logits.shape[1] < 2:
        raise InputError(f"the network returns shape {tuple(logits.shape)} for {n} images, expected logits ({n}, K).")
    return logits.float()


def check_clean(logits: Tensor, y: Tensor, ids: Tensor) -> None:
    """Logits (N, K) of clean examples must be finite, and their labels among the network's classes.

    Raises:
        InputError: they are not.
    """
    bad = ids[~finite(logits).to(ids.device)].tolist()
    if bad:
        raise InputError(
            f"the network returns NaN or infinite logits for {len(bad)} clean examples (ids {bad[:3]}): "
            "mend the network first."
        )
    if len(y) and y.max() >= logits.shape[1]:
        raise InputError(
            f"label {int(y.max())} is beyond the network's {logits.shape[1]} classes: "
            "use the network's own class numbers."
        )


def check_repeatable(first: Tensor, second: Tensor) -> None:
    """Two answers to the same input must agree.

    Raises:
        InputError: they do not: a verdict on a network that rolls dice cannot be re-judged.
    """
    off = (first - second).abs().max().item()
    if off > TWICE * max(first.abs().max().item(), 1.0):
        raise InputError(
            f"the network answers differently twice on the same input (logits differ by {off:.2g}): "
            "switch its randomness off, or evaluate a fixed draw of it."
        )


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Whatever the body does to a network, or the network to itself, it comes out as it went in, also after an error.

    That is its weights and buffers, the very tensors on the device where they were, `.grad`, which parameters ask for
    one, and which modules train. Costs a copy of the weights on the CPU. Meanwhile no parameter has a `.grad`.
    """
    training = [(module, module.training) for module in network.modules()]
    parameters = [(each, each.data, each.grad, each.requires_grad) for each in network.parameters()]
    buffers = [
        (owner, name, buffer)
        for owner in network.modules()
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
