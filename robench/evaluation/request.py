"""Request for an evaluation: a network, attacks, and how to run them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from robench.access.stochastic import JUDGE_DRAWS
from robench.algorithms import bind
from robench.classifiers import load_card
from robench.classifiers.features import layer_of
from robench.classifiers.rejecting import remark_on
from robench.classifiers.service import Service
from robench.classifiers.sources import resolve
from robench.classifiers.sources.backward import Backward, Given, find_backward
from robench.data.mask import Mask
from robench.data.split import Split
from robench.engine.loop import VERSION
from robench.errors import InputError
from robench.evaluation.target import Target, aim
from robench.paths import require_name
from robench.specs import CARD, AttackSpec, Card, NetworkSpec, Normalisation, ThreatModel, digest, is_registered
from robench.specs.attack import THROUGH
from robench.specs.settings import PRECISIONS, SEARCHES, Precision, Rejects, Search


@dataclass(frozen=True)
class NetworkUnderTest:
    """A network to evaluate: its name, its identity (all that can change a verdict), and a function that loads it."""

    model: str
    identity: dict[str, Any]
    load: Callable[[], nn.Module]
    service: Service | None = None
    """The network itself, if it only answers queries."""
    feature_layer: str | None = None
    """The layer that gives the penultimate features, if the user or the card names one."""
    normalisation: Normalisation | None = None
    """The mean and std that are applied, and where they come from; None for a service."""
    published_clean: float | None = None
    """Clean accuracy in percent that is published for the network, if known."""
    remark: str = ""
    """Settings of a user's network that robench chose or the user had to say, for records."""
    source: str = ""
    """The network as the user named it."""
    spec: NetworkSpec | None = None
    """The network as the user described it; None for a registered defense and for a network in memory."""
    files: tuple[Path, ...] = ()
    """The files that the network was made from, if it has a `spec`."""
    rejects: Rejects | None = None
    """Way in which the network rejects an input; None if it cannot."""

    @classmethod
    def of_card(cls, card: Card, dataset: str | None = None) -> "NetworkUnderTest":
        """Take the network of a card; its published clean accuracy holds if `dataset` is the card's own."""
        registered = is_registered(card.name)
        code = [card.folder / str(each) for key, each in card.architecture.args.items() if key == "file"]
        return cls(
            card.name,
            card.identity(),
            lambda: load_card(card),
            feature_layer=card.feature_layer,
            normalisation=Normalisation.of(card.input, "of the card"),
            published_clean=card.clean_accuracy if dataset == card.label else None,
            remark=remark_on(card.rejects),
            rejects=card.rejects,
            spec=None if registered else NetworkSpec(str(card.folder)),
            files=() if registered else (card.folder / CARD, card.weights, *code),
        )

    @classmethod
    def of_user(cls, spec: NetworkSpec, dataset: str) -> "NetworkUnderTest":
        """Take a user's network; its name contains a digest of its weights and settings.

        Raises:
            InputError: the network cannot be made, the weights do not fit, or there is no such feature layer.
        """
        require_name(spec.label, f"the name of '{spec.name}'")
        ready = resolve(spec)
        identity = network_identity(ready.network, ready.feature_layer) | ({"code": ready.code} if ready.code else {})
        tag = digest(identity) if len(identity) > 1 else identity["weights"]
        return cls(
            f"{dataset}/{spec.label}@{tag[:8]}",
            identity,
            lambda: ready.network,
            feature_layer=ready.feature_layer,
            normalisation=ready.normalisation,
            published_clean=ready.published[1] if ready.published and ready.published[0] == dataset else None,
            remark=ready.remark,
            source=spec.name,
            spec=spec,
            rejects=ready.rejects,
            files=tuple(
                path for path in (spec.file, spec.weights, *(ready.function.sources if ready.function else ())) if path
            ),
        )


@dataclass(frozen=True)
class Settings:
    """Settings of a run; only `seed`, `precision` and `draws` can change a verdict."""

    seed: int = 0
    precision: Precision = "fp32"
    device: str = "auto"
    batch_size: int | None = None
    chunk_size: int | None = None
    """Number of examples that advance, and are stored, together; None for a size that suits the executor."""
    save_adversarial: bool = False
    search: Search = "fused"
    """Form of the network that attacks run; every verdict is given on the original network."""
    draws: int | None = None
    """Draws of a random network's answers for each question of an attack; None if the network must not be random."""

    def __post_init__(self) -> None:
        if self.search not in SEARCHES:
            raise InputError(f"unknown search '{self.search}': use {', '.join(SEARCHES)}.")
        if self.precision not in PRECISIONS:
            raise InputError(f"unknown precision '{self.precision}': use {', '.join(PRECISIONS)}.")
        sizes = {"seed": self.seed, "chunk_size": self.chunk_size, "batch_size": self.batch_size, "draws": self.draws}
        for name, value in sizes.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise InputError(f"{name} {value!r} must be a whole number.")
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size} must be at least 1.")
        if self.draws is not None and self.draws < 1:
            raise InputError(f"draws {self.draws} must be at least 1.")
        if self.seed < 0:
            raise InputError(f"seed {self.seed} must not be negative.")
        if self.chunk_size is not None and self.chunk_size < 1:
            raise InputError(f"chunk_size {self.chunk_size} must be at least 1.")


@dataclass(frozen=True)
class EvaluationRequest:
    """One network, the attacks to run on it, and how to run them.

    Attributes:
        under_test: the network.
        split: the examples.
        threat: norm and eps.
        attacks: in the order in which results are shown.
        settings: seed, precision, device, sizes.
        substitutes: networks on which transfer attacks are crafted.
        target: the class that attacks aim at; None if any wrong class is a success.
        left_out: number of examples that `aiming_at` left out, because the target is their label.
        mask: the values that attacks may change; None if they may change all.
        backward: the gradient that gradient attacks follow in place of the network's own; None if there is none.
    """

    under_test: NetworkUnderTest
    split: Split
    threat: ThreatModel
    attacks: tuple[AttackSpec, ...]
    settings: Settings = field(default_factory=Settings)
    substitutes: tuple[NetworkUnderTest, ...] = ()
    target: Target | None = None
    left_out: int = 0
    mask: Mask | None = None
    backward: Backward | None = None

    def through(self, given: Given | None) -> "EvaluationRequest":
        """Return the same request with another gradient; the names of its gradient attacks say so.

        Raises:
            InputError: there is no such gradient, or nothing in the request would follow it.
        """
        if given is None:
            return self
        if self.under_test.service:
            raise InputError("a service gives no gradient that --backward could replace: leave it out.")
        if self.settings.search == "compiled":
            raise InputError("--backward gives the network that attacks run: leave --search compiled out.")
        if not any(spec.access == "gradient" for spec in self.attacks):
            raise InputError("--backward is for gradient attacks: add --battery fast, or leave it out.")
        found = find_backward(given, self.under_test.load())
        return replace(self, backward=found, attacks=tuple(named_through(spec, found.name) for spec in self.attacks))

    def aiming_at(self, target: int | Sequence[int] | str | None) -> "EvaluationRequest":
        """Return the same request with a target, without the examples whose label it is; see `target.aim`.

        Raises:
            InputError: the target does not fit the examples.
        """
        if target is None:
            return self
        split, found = aim(self.split, target)
        mask = self.mask and self.mask.only(split.ids)
        return replace(self, split=split, target=found, left_out=len(self.split) - len(split), mask=mask)

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.split.name

    def sized(self, spec: AttackSpec) -> AttackSpec:
        """Return an attack with the steps that it takes for this number of examples."""
        steps = bind(spec).steps_for(spec.steps, len(self.split))
        return spec if steps == spec.steps else spec.model_copy(update={"steps": steps})

    def backward_of(self, spec: AttackSpec) -> str | None:
        """Return the identity of the gradient that an attack follows in place of the network's own, if any."""
        return self.backward.identity if self.backward is not None and spec.access == "gradient" else None

    def attack_identity(self, spec: AttackSpec) -> dict[str, Any]:
        """Return everything that can change the result of an attack, apart from the network."""
        spec = self.sized(spec)
        algorithm = bind(spec)
        version = algorithm.version_in(self.threat.norm)
        aimed = {} if self.target is None else {"target": self.target.text}
        changed = {} if self.backward_of(spec) is None else {"backward": self.backward_of(spec)}
        masked = {} if self.mask is None else {"mask": self.mask.summary.sha256}
        drawn = {} if self.settings.draws is None else {"draws": [self.settings.draws, JUDGE_DRAWS]}
        return {
            "engine": VERSION,
            "data": self.split.identity(),
            "attack": {**spec.identity(), "params": algorithm.parameters, "version": version, **changed},
            "threat": {"norm": self.threat.norm, "eps": self.threat.eps},
            "seed": self.settings.seed,
            "precision": self.settings.precision,
            **aimed,
            **masked,
            **drawn,
        }


def named_through(spec: AttackSpec, backward: str) -> AttackSpec:
    """Return an attack under a name that says which gradient it follows; other attacks follow none."""
    if spec.access != "gradient":
        return spec
    return spec.model_copy(update={"name": f"{spec.name}{THROUGH}{backward}"})


def _plain(value: object) -> bool:
    """Return whether a value is fully described by its text."""
    if isinstance(value, tuple | list):
        return all(_plain(each) for each in value)
    return isinstance(value, bool | int | float | str | None)


def _check_tensors(model: nn.Module) -> None:
    """Check that every parameter and buffer holds ordinary numbers.

    Raises:
        InputError: a tensor is not initialised, has no data, is sparse, or was made under inference mode.
    """
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(tensor):
            fault, mend = "is not initialised", "run the network once on images"
        elif tensor.is_meta:
            fault, mend = "has no data (device 'meta')", "load weights first"
        elif tensor.layout != torch.strided:
            fault, mend = f"is sparse ({tensor.layout})", "make it dense with .to_dense()"
        elif tensor.is_inference():
            fault, mend = "was made under torch.inference_mode", "make the network outside of it"
        else:
            continue
        raise InputError(f"the network's tensor '{name}' {fault}: {mend}.")


def network_identity(model: nn.Module, feature_layer: str | None = None) -> dict[str, Any]:
    """Return everything in an arbitrary network that can change a verdict.

    That is its structure, parameters, buffers and plain attributes, and the feature layer if one is named.

    Raises:
        InputError: `model` is no network, has no such layer, or a tensor of it holds no ordinary numbers.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"the network is a {type(model).__name__}, expected a torch.nn.Module.")
    _check_tensors(model)
    total = hashlib.sha256(f"{type(model).__module__}.{type(model).__qualname__}\n{model!r}".encode())
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            total.update(f"{name} {module.inlined_graph}".encode())
        plain = {key: value for key, value in vars(module).items() if _plain(value)}
        total.update(f"{name} {sorted(plain.items())}".encode())
    loose = [
        (f"{name}.{key}", value)
        for name, module in model.named_modules()
        for key, value in sorted(vars(module).items())
        if isinstance(value, Tensor)
    ]
    for name, tensor in [*model.named_parameters(), *model.named_buffers(), *loose]:
        values = tensor.detach().cpu().contiguous()
        total.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        total.update(values.double().numpy().tobytes())
    if feature_layer is None:
        return {"weights": total.hexdigest()}
    layer_of(model, feature_layer)
    return {"weights": total.hexdigest(), "feature_layer": feature_layer}
