"""Networks that a library makes by name: `timm:NAME`, `torchvision:NAME`."""

import importlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from torch import nn

from robench.classifiers.normalised import normalised
from robench.classifiers.sources.checkpoint import Checkpoint, read_checkpoint
from robench.classifiers.sources.fitting import fit_part
from robench.classifiers.sources.loaded import Loaded
from robench.errors import InputError, unknown
from robench.specs import Architecture, Head, Input, NetworkSpec

Maker = Callable[..., nn.Module]


def resolve(spec: NetworkSpec) -> Loaded:
    """Make the network with the given weights, or with the library's pretrained ones.

    Raises:
        InputError: the library is not installed or cannot make the network; the weights do not fit it.
    """
    library, _, name = spec.name.partition(":")
    declared = Architecture(name=library, args={"name": name})
    checkpoint = None if spec.weights is None else read_checkpoint(spec.weights)
    network = make(declared, checkpoint)
    remark = "" if checkpoint is None else fit_part(network, checkpoint, spec.key)
    usual = usual_input(declared, network)
    given, source = (spec.input, "as said") if spec.input is not None else (usual or Input(), f"of {library}")
    return Loaded(
        network=normalised(network, given).eval(),
        architecture=declared,
        head=Head(),
        input=given,
        input_source=source,
        feature_layer=spec.feature_layer,
        code=f"{library} {version(library)}",
        remark=remark,
    )


def usual_input(declared: Architecture, made: nn.Module | None = None) -> Input | None:
    """Return the normalisation that a library's network expects; None where the library does not say."""
    name = str(declared.args.get("name", ""))
    if declared.name == "timm":
        known = getattr(made, "pretrained_cfg", None) or _library("timm").get_pretrained_cfg(name)
        said = known if isinstance(known, dict) else getattr(known, "__dict__", {})
        return Input(mean=list(said["mean"]), std=list(said["std"])) if said.get("mean") and said.get("std") else None
    if declared.name == "torchvision":
        from torchvision import models

        usual = models.get_model_weights(name).DEFAULT.transforms()
        return Input(mean=list(usual.mean), std=list(usual.std))
    return None


def make(declared: Architecture, checkpoint: Checkpoint | None) -> nn.Module:
    """Make a network of a library, by name.

    Args:
        declared: `timm` or `torchvision`, with the network's name.
        checkpoint: weights that will be loaded, to know the number of classes; None for the pretrained weights.

    Raises:
        InputError: the library is not installed, or cannot make the network.
    """
    name = declared.args.get("name")
    if not isinstance(name, str) or len(declared.args) > 1:
        raise InputError(f"architecture '{declared.name}' needs the text 'name' in its args, and nothing else.")
    maker: Maker = MAKERS[declared.name]
    try:
        network = maker(name, checkpoint is None)
        if checkpoint is not None and (rows := _rows(network, checkpoint)):
            network = maker(name, False, num_classes=rows)
    except InputError:
        raise
    except Exception as error:  # an unknown name, a failed download: each library raises other errors
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{declared.name} cannot make '{name}' ({said}): name another, or if it cannot be fetched give --weights."
        ) from error
    return network


def _rows(network: nn.Module, checkpoint: Checkpoint) -> int:
    """Return the number of classes of a checkpoint if the network has another number, else 0."""
    last = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    key = f"{last[-1]}.weight" if last else ""
    rows = {len(part.weights[key]) for part in checkpoint.parts(key)} if key else set()
    return rows.pop() if len(rows) == 1 and rows != {network.get_parameter(key).shape[0]} else 0


def _timm(name: str, pretrained: bool, **more: Any) -> nn.Module:
    made: nn.Module = _library("timm").create_model(name, pretrained=pretrained, **more)
    return made


def _torchvision(name: str, pretrained: bool, **more: Any) -> nn.Module:
    from torchvision import models

    known = models.list_models(models)
    if name.lower() not in known:
        raise unknown("classifier of torchvision", name, known)
    made: nn.Module = models.get_model(name, weights="DEFAULT" if pretrained else None, **more)
    return made


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"--model {name}:NAME needs {name}: pip install 'robench[{name}]'.") from error


MAKERS: dict[str, Maker] = {"timm": _timm, "torchvision": _torchvision}
"""Functions that make a network by name, by library."""
