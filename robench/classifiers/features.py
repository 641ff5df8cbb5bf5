"""Penultimate features of any network: find their layer, and read them during a forward pass."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robench.classifiers.backward.carrying import WithGradients
from robench.classifiers.heads import HypersphereHead, LinearHead
from robench.classifiers.normalised import Normalised
from robench.classifiers.rejecting import Rejecting, without_wrapper
from robench.classifiers.single_logit import SingleLogit
from robench.errors import InputError, unknown

Head = nn.Linear | nn.Conv2d | LinearHead | HypersphereHead
"""Last layers that robench knows; a convolution counts if its kernel covers the whole map (1x1 on a 1x1 map, say)."""
Ask = Callable[[Tensor], Tensor]
"""Function from images to float32 logits (N, K), in one pass over the network."""
LIKE = 1e-3
"""Allowed difference between a layer's output and the linear map of its weight, relative to the largest output."""
MEND = "name another with --feature-layer (in Python feature_layer=)"
UNKNOWN = (
    "robench does not know the kind of the last layer, so it cannot find the features: "
    "name the layer that gives them with --feature-layer (in Python feature_layer=)"
)
NO_HEAD = "robench knows no layer that maps these features to the logits, so normalised features have no logits"


@dataclass(frozen=True)
class FeatureLayer:
    """Layer whose input or output is a network's penultimate features.

    Attributes:
        name: name of the layer, for messages.
        module: the layer.
        side: whether the features are the layer's input or its output.
        head: the layer that maps the features to the logits; None if robench does not know that map.
    """

    name: str
    module: nn.Module
    side: Literal["input", "output"]
    head: Head | None = None

    def read(self, run: Callable[[Tensor], object], x: Tensor) -> tuple[object, Tensor]:
        """Return the network's answer to images and the images' features (N, D), in one graph.

        Args:
            run: a pass over the network.
            x: the images.

        Raises:
            InputError: the layer did not run exactly once, or did not give features for each image.
        """
        with _watched([self.module], _taken if self.side == "input" else _given) as calls:
            answer = run(x)
        return answer, self.features([seen for _, seen in calls], len(x))

    def features(self, seen: list[object], n: int) -> Tensor:
        """Return the features (N, D) that a pass over n images showed.

        Raises:
            InputError: the layer did not run exactly once, or did not give features for each image.
        """
        if len(seen) != 1:
            hint = " (instead of nn.DataParallel give its .module)" if len(seen) > 1 else ""
            raise InputError(
                f"the feature layer '{self.name}' runs {len(seen)} times in a pass over the network, not once{hint}: "
                f"{MEND}."
            )
        (z,) = seen
        if not isinstance(z, Tensor) or z.dim() < 2 or len(z) != n or not z.is_floating_point():
            what = f"{z.dtype} of shape {tuple(z.shape)}" if isinstance(z, Tensor) else f"a {type(z).__name__}"
            raise InputError(
                f"the feature layer '{self.name}' gives {what} for {n} images, expected floats ({n}, ...): {MEND}."
            )
        return z.flatten(1)


def layer_of(model: nn.Module, name: str) -> nn.Module:
    """Return the submodule of that name, as the user's network names it.

    Raises:
        InputError: there is no such submodule.
    """
    if not isinstance(name, str):
        raise InputError(f"feature_layer is a {type(name).__name__}, expected a name from model.named_modules().")
    inner = without_wrapper(model.network if isinstance(model, WithGradients) else model)
    inner = inner.network if isinstance(inner, Normalised) else inner
    layers: dict[str, nn.Module] = dict(inner.named_modules(remove_duplicate=False))
    if not name or name not in layers:
        raise unknown("feature layer", name, [each for each in layers if each])
    return layers[name]


def find(model: nn.Module, name: str | None, ask: Ask, x: Tensor) -> FeatureLayer | None:
    """Find the features: the output of the named layer; without a name, the input of the last layer.

    The last layer is the last one of the kinds in `Head` whose output is the logits, or whose output alone determines
    the logits (through a softmax, say). If there is none, the answer is None.

    Args:
        model: the network behind `ask`.
        name: name of a layer, or None.
        ask: called one to three times.
        x: an image to try, (1, C, H, W).

    Raises:
        InputError: there is no layer of that name, or it gives no features.
    """
    if isinstance(model, SingleLogit):
        found = find(model.network, name, lambda images: ask(images)[:, 1:], x)
        return None if found is None else replace(found, head=None)  # a layer of one output gives no two logits
    if isinstance(model, Rejecting):
        if model.rejects == "logit":
            return find(model.network, name, ask, x)
        found = find(model.network, name, lambda images: ask(images)[:, :-1], x)
        return None if found is None else replace(found, head=None)  # no layer gives the logit of the rejection
    named = None if name is None else FeatureLayer(name, layer_of(model, name), "output")
    heads = [module for module in model.modules() if isinstance(module, Head)]
    with _watched(heads, _both) as calls, _watched([named.module] if named else [], _given) as shown:
        logits = ask(x)
    once = Counter(id(module) for module, _ in calls)
    last = _last([_Call(module, *seen) for module, seen in calls if seen and once[id(module)] == 1], logits, ask, x)
    if named is None:
        if last is None:
            return None
        layer = FeatureLayer(_name_of(model, last.module), last.module, "input", last.head)
        return _read_again(layer, ask, x)
    z = named.features([seen for _, seen in shown], len(x))
    return replace(named, head=last.head) if last and torch.equal(z, last.taken) else named


def _read_again(layer: FeatureLayer, ask: Ask, x: Tensor) -> FeatureLayer | None:
    """Return the layer if a second pass shows it too; a compiled network may hide it from the second pass on."""
    with _watched([layer.module], _taken) as calls:
        ask(x)
    return layer if len(calls) == 1 else None


def normalized(head: Head, z: Tensor) -> Tensor:
    """Return the logits (N, K) that a head gives for normalised features; a linear head is used without its bias."""
    if isinstance(head, LinearHead | HypersphereHead):
        return head.normalized(z)
    return F.linear(F.normalize(z, dim=1), head.weight.flatten(1))


class _Call(NamedTuple):
    """A possible last layer with its input (1, D) and its output (1, K, ...)."""

    module: Any
    taken: Tensor
    given: Tensor

    @property
    def head(self) -> Head | None:
        """The layer, if its output is the linear map of its weight; else None."""
        module: Head = self.module
        if isinstance(module, LinearHead | HypersphereHead):
            return module
        weight = module.weight.flatten(1)
        if self.taken.shape[1] != weight.shape[1]:
            return None
        off = (F.linear(self.taken, weight, module.bias) - self.given.flatten(1)).abs().max()
        return module if off <= LIKE * self.given.abs().max() else None


def _last(calls: list[_Call], logits: Tensor, ask: Ask, x: Tensor) -> _Call | None:
    """Find the layer that makes the logits among layers that ran once each, given in running order."""
    fit = [call for call in calls if call.given.flatten(1).shape == logits.shape]
    same = [call for call in fit if torch.equal(call.given.flatten(1).float(), logits)]
    if same or not fit:
        return same[-1] if same else None
    # If another image gets the same logits as soon as this layer repeats its output, the logits depend on it alone.
    with fit[-1].module.register_forward_hook(lambda *_: fit[-1].given):
        return fit[-1] if torch.equal(ask(1 - x), logits) else None


@contextmanager
def _watched(
    modules: Iterable[nn.Module], look: Callable[[object, object], Any]
) -> Iterator[list[tuple[nn.Module, Any]]]:
    """Record what modules take and give while the body runs, in running order; remove the hooks afterwards."""
    calls: list[tuple[nn.Module, Any]] = []

    def hook(module: nn.Module) -> Callable[..., None]:
        def seen(_: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], given: object) -> None:
            calls.append((module, look(next(iter((*args, *kwargs.values())), None), given)))

        return seen

    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(module.register_forward_hook(hook(module), with_kwargs=True))
        yield calls


def _copy(value: object) -> object:
    # A later layer may change the tensor in place (a ReLU often does); gradients pass through a copy.
    return value.clone() if isinstance(value, Tensor) else value


def _taken(taken: object, given: object) -> object:
    return _copy(taken)


def _given(taken: object, given: object) -> object:
    return _copy(given)


def _both(taken: object, given: object) -> tuple[Tensor, Tensor] | None:
    """Copy a possible last layer's flattened input and its output; None unless it gives one value per class."""
    if not isinstance(taken, Tensor) or not isinstance(given, Tensor):
        return None
    if taken.dim() < 2 or given.dim() < 2 or given.numel() != given.shape[0] * given.shape[1]:
        return None
    return taken.flatten(1).clone(), given.clone()


def _name_of(model: nn.Module, module: nn.Module) -> str:
    names: dict[nn.Module, str] = {each: name for name, each in model.named_modules()}
    return names[module]
