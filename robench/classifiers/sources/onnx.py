"""Networks in ONNX files, converted by onnx2torch: `onnx:FILE`."""

import importlib
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from robench.classifiers.groups import Grouped, tried_size
from robench.classifiers.normalised import normalised
from robench.classifiers.sources.loaded import Loaded
from robench.classifiers.sources.programs import one_sentence, require_alone
from robench.errors import InputError
from robench.specs import Architecture, Head, Input, NetworkSpec, file_sha256
from robench.specs.network import ONNX


def resolve(spec: NetworkSpec) -> Loaded:
    """Convert the network into modules of torch, in evaluation mode.

    Raises:
        InputError: the extra is not installed; the file is missing, damaged or of another kind, or holds an operation
            that onnx2torch does not know; an option contradicts the file.
    """
    path = Path(spec.name.removeprefix(ONNX))
    require_alone(spec, path, ("weights", "head", "variant", "key"))
    onnx, onnx2torch = (_library(spec, name) for name in ("onnx", "onnx2torch"))
    with one_sentence(spec), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries about themselves
        model = onnx.load(str(path))
        shape = _shape(model.graph)
        network = _converted(onnx2torch, model)
        size = tried_size(network, shape) if shape is not None else None
    given = spec.input or Input()
    return Loaded(
        network=normalised(network if size is None else Grouped(network, size), given).eval(),
        architecture=Architecture(name="onnx", args={"file": str(path)}),
        head=Head(),
        input=given,
        input_source="as said" if spec.input is not None else "of the file",
        feature_layer=spec.feature_layer,
        code=f"{file_sha256(path)} onnx2torch {version('onnx2torch')}",
        remark="converted from ONNX",
    )


def _library(spec: NetworkSpec, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"--model {spec.name} needs {name}: pip install 'robench[onnx]'.") from error


def _converted(onnx2torch: Any, model: Any) -> nn.Module:
    try:
        network: nn.Module = onnx2torch.convert(model)
    except NotImplementedError as error:
        known = "export it with another opset_version, 13 say, or name a function that makes the network"
        raise InputError(f"cannot be converted ({str(error).splitlines()[0].rstrip('.')}): {known}") from error
    return network.eval().requires_grad_(False)


def _shape(graph: Any) -> tuple[int, ...] | None:
    """Return the shape (N, C, H, W) of the images; None if the file leaves a size open.

    Raises:
        InputError: the network has not one input.
    """
    weights = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in weights]
    if len(inputs) != 1:
        raise InputError(f"takes {len(inputs)} inputs, expected one, the images: export a network of one input")
    shape = tuple(each.dim_value for each in inputs[0].type.tensor_type.shape.dim)
    return shape if shape and all(shape) else None
