"""The network under attack, frozen, with the facts that an evaluation needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from robench.classifiers.classifier import Classifier
from robench.classifiers.features import NO_HEAD, UNKNOWN, Ask, FeatureLayer, Head, find, normalized
from robench.classifiers.fused import accelerate
from robench.classifiers.heads import HypersphereHead
from robench.classifiers.outputs import check_logits, check_rows, logits_in
from robench.classifiers.precision import arithmetic
from robench.classifiers.program import in_training
from robench.classifiers.rejecting import Rejecting
from robench.classifiers.service import AskError, Service
from robench.classifiers.state import NetworkState, unchanged
from robench.devices import out_of_memory, sent
from robench.errors import InputError
from robench.numerics.losses import InputKind
from robench.numerics.rejection import class_logits
from robench.specs.settings import Precision, Search

NO_GRADIENT = (
    "the network gives no gradient for its input: remove no_grad, inference_mode or detach from it, give it one with "
    "--backward (rounding, jpeg, thermometer, argmax or file.py:function; in Python backward=), or run a score-based "
    "attack."
)


@dataclass(frozen=True)
class FrozenNetwork:
    """A network in evaluation mode on its device, parameters frozen.

    Attributes:
        module: maps images in [0, 1] to logits (N, K).
        device: device of the network.
        scale, margin: the constants of an HE head, or None for any other network.
        layer: the layer that shows the penultimate features, if it was looked for.
        search: how the search runs the network; `plain` also if nothing is faster.
        accelerated_module: the network that the search runs instead of `module`, equal up to rounding
            (`robench.classifiers.fused`); None if nothing is faster.
        state: puts back what a pass over `module` changes in it, if it was recorded.
        rejects: whether the last logit of `module` is that of a rejection.
        backward: a network with the same values whose gradient the search follows (`--backward`), or None.
    """

    module: nn.Module
    device: torch.device
    scale: float | None = None
    margin: float | None = None
    layer: FeatureLayer | None = None
    search: Search = "plain"
    accelerated_module: nn.Module | None = None
    state: NetworkState | None = None
    rejects: bool = False
    backward: "FrozenNetwork | None" = None

    @classmethod
    def of(cls, module: nn.Module, device: torch.device) -> "FrozenNetwork":
        """Wrap a network; scale and margin come from the HE head of a `Classifier`."""
        rejects = isinstance(module, Rejecting | Service) and module.rejects is not None
        inside = module.network if isinstance(module, Rejecting) else module
        head = inside.head if isinstance(inside, Classifier) else None
        if isinstance(head, HypersphereHead):
            return cls(module, device, head.scale, head.margin, rejects=rejects)
        return cls(module, device, rejects=rejects)

    def classes(self, logits: Tensor) -> int:
        """Return the number of classes, given some logits of the network."""
        return logits.shape[1] - self.rejects

    def class_logits(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return logits of classes only (N, K), in which the label (N,) stands for a rejection too."""
        return class_logits(logits, y) if self.rejects else logits

    def with_features(self, name: str | None, ask: Ask, x: Tensor) -> "FrozenNetwork":
        """Return a copy that knows its features: those of the named layer, of a `Classifier`, or of the layer found.

        Args:
            name: name of the layer that gives the features, or None.
            ask: maps images to logits in one pass over this network.
            x: an image to try, (1, C, H, W).

        Raises:
            InputError: there is no layer of that name, or it gives no features.
        """
        if self.backward is not None:
            seen = self.backward.with_features(name, self.backward.predict, x)
            return replace(self, layer=seen.layer, backward=seen)
        if name is None and isinstance(self.module, Classifier):
            return self
        return replace(self, layer=find(self.module, name, ask, x), search="plain", accelerated_module=None)

    def accelerated(self, search: Search, precision: Precision) -> "FrozenNetwork":
        """Return a copy with a faster network for the search, if there is one."""
        found = None if is_compiled(self.module) else accelerate(self.module, search, precision, self.device)
        return replace(self, search="plain" if found is None else search, accelerated_module=found)

    def through(self, backward: "FrozenNetwork") -> "FrozenNetwork":
        """Return a copy whose search follows the gradient of another network with the same values."""
        return replace(self, search="plain", accelerated_module=None, backward=backward)

    @property
    def search_module(self) -> nn.Module:
        """The network that the search runs; verdicts are given on `module`."""
        if self.backward is not None:
            return self.backward.module
        return self.module if self.accelerated_module is None else self.accelerated_module

    def bare(self) -> "FrozenNetwork":
        """Return the network as it is sent to other processes: on the CPU, without what belongs to this process."""
        backward = None if self.backward is None else self.backward.bare()
        return replace(self, device=torch.device("cpu"), accelerated_module=None, state=None, backward=backward)

    def moved(self, device: torch.device) -> None:
        """Move the network's weights to a device, and those of `backward`; `device` still names where they belong."""
        self.module.to(device)
        if self.backward is not None:
            self.backward.moved(device)

    def on(self, device: torch.device) -> "FrozenNetwork":
        """Return a bare network on a device, its state recorded."""
        module = self.module.to(device)
        backward = None if self.backward is None else self.backward.on(device)
        return replace(self, module=module, device=device, state=NetworkState(module), backward=backward)

    @property
    def head(self) -> Head | None:
        """The layer that maps the features to the logits, if it is known."""
        if self.layer is not None:
            return self.layer.head
        return self.module.head if isinstance(self.module, Classifier) else None

    @property
    def normalizes_features(self) -> bool:
        """Tell whether the network's logits are those of normalised features."""
        head = self.head
        return isinstance(head, HypersphereHead) and head.fn

    def why_hidden(self, input_kind: InputKind) -> str:
        """Return why an objective cannot see its kind of input, or an empty text if it can."""
        if self.backward is not None:
            return self.backward.why_hidden(input_kind)
        if input_kind != "logits" and self.layer is None and not isinstance(self.module, Classifier):
            return UNKNOWN
        return NO_HEAD if input_kind == "normalized" and self.head is None else ""

    def output(self, x: Tensor, *, search: bool = False) -> object:
        """Return what the network returns for images on its device, in one pass that may be differentiated.

        The network gets a copy of the images and can write into it. What the pass before changed in the network is put
        back first; it may be needed until then, for the gradient.

        Args:
            x: the images.
            search: whether `search_module` runs, not `module`.
        """
        if search and self.backward is not None:
            return self.backward.output(x)
        if self.state is not None:
            self.state()
        answer: object = (self.search_module if search else self.module)(x.clone())
        return answer

    def place_of_logits(self, x: Tensor) -> str:
        """Describe where in an answer the logits are, in one pass; return an empty text if they are the answer."""
        with torch.no_grad():
            return logits_in(self.output(sent(x, self.device)))[1]

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (M, K) of images on any device: one float32 pass of `module`, without a gradient.

        Raises:
            InputError: the network cannot take such images, or does not return logits.
        """
        try:
            with arithmetic("fp32", self.device), torch.no_grad():
                return check_logits(self.output(sent(x, self.device)), len(x))
        except Exception as error:  # a network may raise any error for images that it cannot take
            if isinstance(error, InputError | AskError | OSError) or out_of_memory(error):
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"the network cannot take {x.dtype} images of shape {tuple(x.shape[1:])} ({reason.rstrip('.')}): "
                f"give it images of its own shape{_mend(x)}, and float32 weights (model.float())."
            ) from error

    def in_float64(self) -> Callable[[Tensor], Tensor]:
        """Return a function from images to logits (M, K) that runs `module` in float64; it may raise any error."""
        tensors = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        exact = {name: each.double() if each.is_floating_point() else each for name, each in tensors.items()}

        def answer(x: Tensor) -> Tensor:
            if self.state is not None:
                self.state()
            with torch.no_grad():
                return check_rows(functional_call(self.module, exact, (x.double(),)), len(x)).double()

        return answer

    def answer(self, x: Tensor, input_kind: InputKind) -> tuple[Tensor, Tensor]:
        """Return the logits (N, K) that decide about success, and the input of an objective.

        Raises:
            InputError: features are asked for and not known, or the network does not return logits.
        """
        if self.backward is not None:
            return self.backward.answer(x, input_kind)
        if input_kind == "logits":
            logits = check_logits(self.output(x, search=True), len(x))
            return logits, logits
        if self.layer is not None:
            answer, z = self.layer.read(self.output, x)
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

    def class_scores(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logits of a pass over `search_module`, as by `class_logits` for labels y (N,)."""
        return self.class_logits(check_logits(self.output(x, search=True), len(x)), y)

    def class_answer(self, x: Tensor, y: Tensor, input_kind: InputKind) -> tuple[Tensor, Tensor]:
        """Return the same as `answer`, but logits as by `class_logits` for labels y (N,)."""
        logits, seen = self.answer(x, input_kind)
        if not self.rejects:
            return logits, seen
        found = self.class_logits(logits, y)
        if seen is logits:
            return found, found
        return found, self.class_logits(seen, y) if input_kind == "normalized" else seen


def _mend(x: Tensor) -> str:
    """Return how images get the shape that a network takes."""
    if x.dim() == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3):
        return ", channels before height and width"
    return " (--resize N, --crop N for folders and Parquet files)"


def is_compiled(network: nn.Module) -> bool:
    """Return whether a part of a network was compiled with torch.compile."""
    return any(
        hasattr(each, "_orig_mod") or getattr(each, "_compiled_call_impl", None) is not None
        for each in network.modules()
    )


@contextmanager
def frozen_network(network: nn.Module, device: torch.device) -> Iterator[FrozenNetwork]:
    """Freeze a network for an evaluation and restore it afterwards, also after an error (`unchanged`).

    Parts that the user compiled run uncompiled: an attack asks for many batch sizes, and torch.compile would compile
    for each of them.

    Raises:
        InputError: the network is in training mode, where dropout and batch norm change its answers, or
            the network is spread over several devices.
    """
    if in_training(network):
        raise InputError("the network is in training mode: call model.eval() before evaluating it.")
    tensors = [*network.parameters(), *network.buffers()]
    homes = {tensor.device for tensor in tensors}
    if len(homes) > 1:
        raise InputError(f"the network is spread over {len(homes)} devices: move it to one with model.to(...).")
    eager = torch.compiler.set_stance("force_eager") if is_compiled(network) else nullcontext()
    with eager, unchanged(network) as copies:
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        frozen = FrozenNetwork.of(network.to(device), device)
        yield replace(frozen, state=NetworkState(network, copies))
