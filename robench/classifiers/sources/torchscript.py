"""Networks that are TorchScript programs, scripted or traced: `FILE.pt`.

TorchScript is a language of its own: it computes with tensors, and cannot run Python.
"""

import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robench.classifiers.groups import tried_size
from robench.classifiers.program import Parsed
from robench.classifiers.sources.loaded import Loaded
from robench.classifiers.sources.programs import load_program
from robench.classifiers.sources.unpickling import Ignored
from robench.errors import InputError
from robench.specs import NetworkSpec

TRAINING = {"aten::batch_norm": 5, "aten::dropout": 2}
"""Position of the flag for training among the inputs of operations."""
RUNNING_MEAN = 3
"""Position of the running mean among the inputs of batch norm."""


def is_torchscript(path: Path) -> bool:
    """Tell whether a file of torch is a TorchScript program: an archive with code and constants."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names)


def resolve(spec: NetworkSpec) -> Loaded:
    """Read the program.

    Raises:
        InputError: the file is damaged, was traced in training mode, or an option contradicts it.
    """
    return load_program(spec, Path(spec.name), "torchscript", parse)


def parse(content: bytes) -> Parsed:
    """Read a TorchScript program.

    Raises:
        InputError: the program was traced in training mode.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated
        network: nn.Module = torch.jit.load(io.BytesIO(content), map_location="cpu")
    network.eval()
    if _trains(network):
        raise InputError("was traced in training mode: call model.eval() before torch.jit.trace")
    shape = _traced_shape(content)
    return Parsed(network, None if shape is None else tried_size(network, shape))


def _trains(network: Any) -> bool:
    """Tell whether dropout, or batch norm although it knows running means, computes as in training, as a constant."""
    graph = network.inlined_graph  # its nodes live as long as the graph
    for name, flag in TRAINING.items():
        for node in graph.findAllNodes(name):
            inputs = list(node.inputs())
            averaged = name != "aten::batch_norm" or str(inputs[RUNNING_MEAN].type()) != "NoneType"
            if inputs[flag].toIValue() is True and averaged:
                return True
    return False


class _Shapes(pickle.Unpickler):
    """Read the shapes of pickled tensors; nothing else is built, and no code runs."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what makes a tensor's shape, or drops a type."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, *rest: shape
        return (lambda value, type_: value) if name == "restore_type_tag" else Ignored

    def persistent_load(self, pid: object) -> None:
        """Leave values out."""


def _traced_shape(content: bytes) -> tuple[int, ...] | None:
    """Return the shape (N, C, H, W) of the images with which a program was traced; None if that is not known."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = next((each for each in archive.namelist() if each.endswith("/traced_inputs.pkl")), None)
        if name is None:
            return None
        inputs = _Shapes(io.BytesIO(archive.read(name))).load().get("forward", ())
    (shape,) = inputs if len(inputs) == 1 else (None,)
    return shape if isinstance(shape, tuple) and len(shape) > 1 and shape[0] > 0 else None
