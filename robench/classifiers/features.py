"""Penultimate features of any network: where they are, and a pass over the network that shows them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robench.classifiers.heads import HypersphereHead, LinearHead
from robench.classifiers.normalised import Normalised
from robench.errors import InputError, unknown

Head = nn.Linear | nn.Conv2d | LinearHead | HypersphereHead
"""Last layers that robench knows; a convolution where it is one of a 1x1 map, or of the whole map."""
Ask = Callable[[Tensor], Tensor]
"""From images to float32 logits (N, K), in one pass over the network."""
LIKE = 1e-3
"""A layer is the linear map of its weight if it gives that map's values up to this, relative to the largest."""
MEND = "name another with --feature-layer (in Python feature_layer=)"
UNKNOWN = (
    "the last layer is none that robench knows, so its features are not either: "
    "name the layer that gives them with --feature-layer (in Python feature_layer=)"
)
NO_HEAD = "no layer that robench knows makes the logits of these features, so normalised ones have none"


@dataclass(frozen=True)
class FeatureLayer:
    """Where a network's penultimate features are.

    Attributes:
        name: of the layer, for messages.
        module: the layer.
        side: whether they are what it takes or what it gives.
        head: what makes the logits of them; None where it is no map that robench knows.
    """

    name: str
    module: nn.Module
    side: Literal["input", "output"]
    head: Head | None = None

    def read(self, model: nn.Module, x: Tensor) -> tuple[object, Tensor]:
        """The network's answer to images, and their features (N, D), part of the same graph.

        Raises:
            InputError: the layer was not run exactly once, or gave no features of each image.
        """
        with _watched([self.module], _taken if self.side == "input" else _given) as calls:
            answer = model(x)
        return answer, self.features([seen for _, seen in calls], len(x))

    def features(self, seen: list[object], n: int) -> Tensor:
        """The features (N, D) among what a pass over n images showed.

        Raises:
            InputError: there are none.
        """
        if len(seen) != 1:
            hint = " (of nn.DataParallel give the .module)" if len(seen) > 1 else ""
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
    """The submodule of that name, as the network's owner knows it.

    Raises:
        InputError: there is none.
    """
    if not isinstance(name, str):
        raise InputError(f"feature_layer is a {type(name).__name__}, expected a name out of model.named_modules().")
    inner = model.network if isinstance(model, Normalised) else model
    layers: dict[str, nn.Module] = dict(inner.named_modules(remove_duplicate=False))
    if not name or name not in layers:
        raise unknown("feature layer", name, [each for each in layers if each])
    return layers[name]


def find(model: nn.Module, name: str | None, ask: Ask, x: Tensor) -> FeatureLayer | None:
    """Where the features are: what the layer of that name gives; without a name, what the last layer takes.

    The last layer is the last of the kinds in `Head` whose outputs are the logits, or from whose outputs alone the
    logits follow (through a softmax, say). There may be none.

    Args:
        model: the network that `ask` asks.
        name: of a layer, or None.
        ask: used one to three times.
        x: an image to look at, (1, C, H, W).

    Raises:
        InputError: there is no layer of that name, or it gives no features.
    """
    named = None if name is None else FeatureLayer(name, layer_of(model, name), "output")
    heads = [module for module in model.modules() if isinstance(module, Head)]
    with _watched(heads, _both) as calls, _watched([named.module] if named else [], _given) as shown:
        logits = ask(x)
    once = Counter(id(module) for module, _ in calls)
    last = _last([_Call(module, *seen) for module, seen in calls if seen and once[id(module)] == 1], logits, ask, x)
    if named is None:
        if last is None:
            return None
        found = FeatureLayer(_name_of(model, last.module), last.module, "input", last.head)
        return _read_again(found, ask, x)
    z = named.features([seen for _, seen in shown], len(x))
    return replace(named, head=last.head) if last and torch.equal(z, last.taken) else named


def _read_again(layer: FeatureLayer, ask: Ask, x: Tensor) -> FeatureLayer | None:
    """The layer, if it is seen in every pass; what was compiled may hide it from the second on."""
    with _watched([layer.module], _taken) as calls:
        ask(x)
    return layer if len(calls) == 1 else None


def normalized(head: Head, z: Tensor) -> Tensor:
    """The logits (N, K) that a head would give features with normalisation: without a bias where it is linear."""
    if isinstance(head, LinearHead | HypersphereHead):
        return head.normalized(z)
    return F.linear(F.normalize(z, dim=1), head.weight.flatten(1))


class _Call(NamedTuple):
    """A possible last layer, what it took (1, D) and what it gave (1, K, ...)."""

    module: Any
    taken: Tensor
    given: Tensor

    @property
    def head(self) -> Head | None:
        """The layer, if it did nothing but what its weight says."""
        module: Head = self.module
        if isinstance(module, LinearHead | HypersphereHead):
            return module
        weight = module.weight.flatten(1)
        if self.taken.shape[1] != weight.shape[1]:
            return None
        off = (F.linear(self.taken, weight, module.bias) - self.given.flatten(1)).abs().max()
        return module if off <= LIKE * self.given.abs().max() else None


def _last(calls: list[_Call], logits: Tensor, ask: Ask, x: Tensor) -> _Call | None:
    """Of layers in the order in which they ran, once each, the one that makes the logits."""
    fit = [call for call in calls if call.given.flatten(1).shape == logits.shape]
    same = [call for call in fit if torch.equal(call.given.flatten(1).float(), logits)]
    if same or not fit:
        return same[-1] if same else None
    # If another image gets these logits as soon as this layer gives what it gave, all else does not matter.
    with fit[-1].module.register_forward_hook(lambda *_: fit[-1].given):
        return fit[-1] if torch.equal(ask(1 - x), logits) else None


@contextmanager
def _watched(
    modules: Iterable[nn.Module], look: Callable[[object, object], Any]
) -> Iterator[list[tuple[nn.Module, Any]]]:
    """What modules show while the body runs, in the order in which they ran; the hooks go with it."""
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
    # What comes after may change it in place (a ReLU often does); gradients pass through a copy.
    return value.clone() if isinstance(value, Tensor) else value


def _taken(taken: object, given: object) -> object:
    return _copy(taken)


def _given(taken: object, given: object) -> object:
    return _copy(given)


def _both(taken: object, given: object) -> tuple[Tensor, Tensor] | None:
    """What a possible last layer took, flattened, and gave: one value a class, which keeps large maps out."""
    if not isinstance(taken, Tensor) or not isinstance(given, Tensor):
        return None
    if taken.dim() < 2 or given.dim() < 2 or given.numel() != given.shape[0] * given.shape[1]:
        return None
    return taken.flatten(1).clone(), given.clone()


def _name_of(model: nn.Module, module: nn.Module) -> str:
    names: dict[nn.Module, str] = {each: name for name, each in model.named_modules()}
    return names[module]
