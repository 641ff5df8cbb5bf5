"""An unpickler that builds tensors and plain containers, and nothing else: no code of a file is ever run.

Published checkpoints often hold an `argparse.Namespace`, a `Path` or NumPy arrays beside plain tensors. Every class
or function that is not listed here is replaced by `Ignored`, which accepts any arguments and does nothing.
"""

import collections
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch


class Ignored:
    """Stand-in for an object that is not built; accepts any arguments, calls and items."""

    def __new__(cls, *args: object, **kwargs: object) -> "Ignored":  # noqa: ARG004  (any arguments are fine)
        """Build an empty object, whatever the arguments."""
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> "Ignored":
        """Return another ignored object."""
        return Ignored()

    def __setstate__(self, state: object) -> None:
        """Drop the state."""

    def __setitem__(self, key: object, value: object) -> None:
        """Drop an item."""

    def append(self, value: object) -> None:
        """Drop a value."""

    def extend(self, values: object) -> None:
        """Drop values."""


class _PlainDict(dict[Any, Any]):
    """A `defaultdict` or `Counter` without its factory."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(each for each in args if isinstance(each, dict)))


def _encode(text: str, encoding: str) -> bytes:
    """Return the bytes of an array that was pickled as text; no other encoding is looked up."""
    return text.encode("latin1") if encoding == "latin1" else b""


_BUILT: dict[str, Any] = {
    "collections.OrderedDict": collections.OrderedDict,
    "collections.defaultdict": _PlainDict,
    "collections.Counter": _PlainDict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.complex": complex,
    "torch.Size": torch.Size,
    "torch.device": torch.device,
    "torch.nn.parameter.Parameter": torch.nn.Parameter,
    "torch.Tensor": torch.Tensor,
    "_codecs.encode": _encode,
    "numpy.dtype": np.dtype,
    "numpy.ndarray": np.ndarray,
    **{f"numpy.{core}.multiarray.scalar": np._core.multiarray.scalar for core in ("core", "_core")},  # type: ignore[attr-defined]
    **{f"numpy.{core}.multiarray._reconstruct": np._core.multiarray._reconstruct for core in ("core", "_core")},  # type: ignore[attr-defined]
    **{
        f"torch._utils.{name}": getattr(torch._utils, name)
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_parameter_with_state")
    },
    **{f"torch.{name}": getattr(torch, name) for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype)},
}
"""Names that a pickle may use, with the objects that are built for them."""


class TensorUnpickler(pickle.Unpickler):
    """Build only objects listed in `_BUILT`; torch handles storages, and everything else is ignored."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the listed class or function of this name, else `Ignored`."""
        return _BUILT.get(f"{module}.{name}", Ignored)


def _load(stream: Any, **options: Any) -> Any:
    return TensorUnpickler(stream, **options).load()


PICKLE_MODULE = SimpleNamespace(Unpickler=TensorUnpickler, load=_load, __name__="robench tensors")
"""Module for the argument `pickle_module` of `torch.load`."""
