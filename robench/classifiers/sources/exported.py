"""Networks that are programs of torch.export: `FILE.pt2`."""

import io
import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from robench.classifiers.groups import GroupSize
from robench.classifiers.program import Parsed, computes_as_in_training
from robench.classifiers.sources.loaded import Loaded
from robench.classifiers.sources.programs import load_program
from robench.errors import InputError
from robench.specs import NetworkSpec

WHOLE = 2**31
"""Sizes of a batch from here on mean that there is no largest size."""

FORMAT = "archive_format"
"""Entry of an archive that names its format."""
TENSORS = ("weight_", "tensor_")
"""Beginnings of the names of files that hold a tensor's bytes."""


def resolve(spec: NetworkSpec) -> Loaded:
    """Read the program; pickles and compiled code in the file are refused.

    Raises:
        InputError: the file is missing, damaged or of another kind, was exported in training mode, or an option
            contradicts it.
    """
    return load_program(spec, Path(spec.name), "exported", parse)


def parse(content: bytes) -> Parsed:
    """Read a program of torch.export.

    Raises:
        InputError: the file holds code beside the program, or its program is no network in evaluation mode.
    """
    if fault := next(_code(content), ""):
        raise InputError(f"holds {fault}, which could run code: export the network again with torch.export.save")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tensors that are not writable, which nobody writes to
        program = torch.export.load(io.BytesIO(content))
        network = program.module()
    inputs = program.graph_signature.user_inputs
    if len(inputs) != 1:
        raise InputError(f"takes {len(inputs)} inputs, expected one, the images: export a network of one input")
    if any(map(computes_as_in_training, program.graph.nodes)):
        raise InputError("was exported in training mode: call model.eval() before torch.export.export")
    return Parsed(network, _size(program))


def _code(content: bytes) -> Iterator[str]:
    """Name each part of an archive that torch would unpickle or execute while it loads the file."""
    # torch.export.load looks for this entry with zipfile, and reads with torch's reader: both must see a new archive.
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found = [name.rpartition("/")[2] for name in archive.namelist()]
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    names = reader.get_all_records()
    if FORMAT not in found or FORMAT not in names:
        raise InputError("is no archive of torch.export.save, or one from before PyTorch 2.8: export it again")
    for name in names:
        if name.startswith("data/aotinductor/"):
            yield "a compiled library"
        elif name.endswith("_config.json"):
            entries = json.loads(reader.get_record(name))["config"].values()
            if any(each["use_pickle"] or not each["path_name"].startswith(TENSORS) for each in entries):
                yield "a pickled object"
        elif name.endswith(".pt"):
            torch.load(io.BytesIO(reader.get_record(name)), weights_only=True)


def _size(program: ExportedProgram) -> GroupSize | None:
    """Return the numbers of images that the program takes at once, None for any number."""
    name = next(each.arg.name for each in program.graph_signature.input_specs if each.kind == InputKind.USER_INPUT)
    value = next(node.meta["val"] for node in program.graph.nodes if node.name == name)
    if not isinstance(value, torch.Tensor) or value.dim() < 1:
        raise InputError("takes no tensor: export a network of images")
    size = value.shape[0]
    if isinstance(size, int):
        return GroupSize(size, size)
    span = program.range_constraints.get(size.node.expr)
    if span is None:
        return None
    least, most = (max(int(span.lower), 1), int(span.upper) if span.upper < WHOLE else WHOLE)
    return None if (least, most) == (1, WHOLE) else GroupSize(least, most)
