"""Networks of one's own: a function in a Python file that makes one, and its weights."""

import importlib.util
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from types import ModuleType

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from robench.classifiers.loading import fit
from robench.errors import InputError
from robench.specs import MARK

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts keep the weights."""
PREFIX = "module."
"""What DataParallel puts before every key."""
_BESIDE: dict[str, ModuleType] = {}


class Normalised(nn.Module):
    """A network that expects normalised images, made to take images in [0, 1].

    Args:
        network: maps normalised images to logits.
        mean, std: one value a channel, or one for all.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Images in [0, 1] (N, C, H, W) to logits (N, K)."""
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits


def load_own(name: str, weights: Path | None, mean: Sequence[float] = (), std: Sequence[float] = ()) -> nn.Module:
    """The network that `file.py:function` makes, with its weights, in evaluation mode.

    The file is Python and runs; the weights are read without running anything.

    Args:
        name: the file and the function, which is called without arguments.
        weights: safetensors, or a file of `torch.save` that holds tensors alone; none to take what the function gives.
        mean, std: by which the network expects images to be normalised.

    Raises:
        InputError: the file or the function is not there, what it makes is no network, or the weights do not fit.
    """
    network = _made(name)
    if weights is not None:
        fit(network, read_any(weights), str(weights))
    if mean or std:
        if len(mean) != len(std) or not all(each > 0 for each in std):
            raise InputError(f"--mean has {len(mean)} values and --std {len(std)}: give as many, each std above 0.")
        network = Normalised(network, mean, std)
    return network.eval()


def read_any(path: Path) -> dict[str, Tensor]:
    """The weights in a safetensors file, or in one of `torch.save`, unwrapped; nothing in it is run.

    Raises:
        InputError: it is not there, carries code or is no file of weights.
    """
    if not path.is_file():
        raise InputError(f"--weights '{path}' is not there: name the file.")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"weights '{path}' cannot be read ({error}): fetch the file again.") from error
    start = path.read_bytes()[:64].lstrip().lower()
    if start.startswith(b"<"):
        raise InputError(f"weights '{path}': the file is an HTML page, a failed download; fetch it again.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises several kinds for a damaged file, all of them final here
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise InputError(
                f"weights '{path}' hold more than tensors, which could run code: save model.state_dict() alone."
            ) from error
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"weights '{path}' cannot be read ({said}): fetch the file again.") from error
    return _unwrapped(found, path)


def _unwrapped(found: object, path: Path) -> dict[str, Tensor]:
    while isinstance(found, dict) and not any(isinstance(value, Tensor) for value in found.values()):
        inner = next((found[key] for key in WRAPPERS if key in found), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"weights '{path}' hold no tensors by name: save model.state_dict().")
    return {str(key).removeprefix(PREFIX): value for key, value in found.items()}


def _made(name: str) -> nn.Module:
    stem, _, function = name.rpartition(MARK)
    path = Path(f"{stem}.py")
    if not path.is_file():
        raise InputError(f"--model {name}: there is no file '{path}'.")
    spec = importlib.util.spec_from_file_location(f"_robench_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"--model {name}: '{path}' is no Python file.")
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    sys.path.insert(0, str(path.resolve().parent))  # it may import what lies beside it
    try:
        spec.loader.exec_module(module)
        make = getattr(module, function, None)
        network = make() if callable(make) else None
    except Exception as error:  # whatever goes wrong in it is the file's own matter
        raise InputError(f"--model {name}: '{path}' fails ({type(error).__name__}: {error}): mend it.") from error
    finally:
        sys.path.pop(0)
        _note_beside(path.resolve().parent, sys.modules.keys() - before)
    if make is None:
        raise InputError(f"--model {name}: '{path}' has no '{function}': name a function that makes the network.")
    if not isinstance(network, nn.Module):
        raise InputError(f"--model {name}: '{function}' gives a {type(network).__name__}, expected a torch.nn.Module.")
    return network


def _note_beside(folder: Path, names: Set[str]) -> None:
    """Remember which of some modules lie in a folder that is on no other process's path."""
    for name in names:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if folder in Path(file).parents and "site-packages" not in Path(file).parts and not name.startswith("robench"):
            _BESIDE[name] = sys.modules[name]


def modules_beside() -> list[ModuleType]:
    """The modules that files of networks imported from beside them: no other process finds them by name."""
    return list(_BESIDE.values())
