"""Whole networks that others make: a function in a Python file, timm, torchvision."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

from torch import nn

from robench.classifiers.sources.checkpoint import Weights
from robench.errors import InputError, unknown
from robench.specs import Architecture, Input, digest, file_sha256

Maker = Callable[..., nn.Module]


@dataclass(frozen=True)
class BuiltNetwork:
    """A network, and what code made it: a digest, or a library with its version."""

    network: nn.Module
    code: str


def make(declared: Architecture, folder: Path, weights: Weights | None) -> BuiltNetwork:
    """The network that a card declares to be made by others.

    Args:
        declared: `function`, with file, function and sha256; `timm` or `torchvision`, with name.
        folder: the card's, where the file lies.
        weights: that will be loaded, for the number of classes; None for the library's pretrained ones.

    Raises:
        InputError: it cannot be made.
    """
    return _function(declared, folder) if declared.name == FUNCTION else _from_library(declared, weights)


def usual_input(declared: Architecture, made: nn.Module | None = None) -> Input | None:
    """By which a library's network expects its images to be normalised; None where nobody says."""
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


@dataclass(frozen=True)
class FunctionResult:
    """What a function of a Python file made.

    Attributes:
        network: the network.
        folder: where the file lies.
        sources: the file, and those below its folder that were imported for it, sorted.
    """

    network: nn.Module
    folder: Path
    sources: tuple[Path, ...]

    @property
    def sha256(self) -> str:
        """Of the code: names and contents of the sources."""
        return digest({path.relative_to(self.folder).as_posix(): file_sha256(path) for path in self.sources})


def run_function(file: Path, function: str) -> FunctionResult:
    """Run a function of a Python file; what it imports from its folder is its own, whatever another file imported.

    Raises:
        InputError: the file or the function is not there, fails, or makes no network.
    """
    name = f"{file}:{function}"
    if not file.is_file():
        raise InputError(f"--model {name}: there is no file '{file}'.")
    file = file.resolve()
    with _import_from(file.parent) as imported:
        try:
            network = _made(file, function, name)
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # whatever goes wrong in it is the file's own matter
            what = "ends the program" if isinstance(error, SystemExit) else "fails"
            raise InputError(f"--model {name}: '{file}' {what} ({type(error).__name__}: {error}): mend it.") from error
        return FunctionResult(network, file.parent, tuple(sorted({file, *imported()})))


@contextmanager
def _import_from(folder: Path) -> Iterator[Callable[[], list[Path]]]:
    """Let files in a folder be imported; afterwards they are forgotten, so that no other file gets them."""

    def inside() -> dict[str, Path]:
        files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
        found = {name: Path(file).resolve() for name, file in files.items() if file and name not in before}
        return {name: path for name, path in found.items() if path.is_relative_to(folder) and not _installed(path)}

    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield lambda: list(inside().values())
    finally:
        sys.path.remove(str(folder))
        for name in inside():
            del sys.modules[name]


def _installed(path: Path) -> bool:
    return bool(INSTALLED & {*path.parts})


def _made(file: Path, function: str, name: str) -> nn.Module:
    spec = importlib.util.spec_from_file_location(f"_robench_own_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"--model {name}: '{file}' is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    maker = getattr(module, function, None)
    if maker is None:
        raise InputError(f"--model {name}: '{file}' has no '{function}': name a function that makes the network.")
    network = maker if isinstance(maker, nn.Module) or not callable(maker) else _call(maker, name)
    if not isinstance(network, nn.Module):
        raise InputError(f"--model {name}: '{function}' gives a {type(network).__name__}, expected a torch.nn.Module.")
    return network


def _call(maker: Callable[..., object], name: str) -> object:
    needed = [each.name for each in signature(maker).parameters.values() if each.default is each.empty]
    named = [each for each in needed if each not in ("args", "kwargs")]
    if named:
        raise InputError(f"--model {name} takes arguments ({', '.join(named)}): name a function that takes none.")
    return maker()


def _function(declared: Architecture, folder: Path) -> BuiltNetwork:
    said = {key: declared.args.get(key) for key in ("file", "function")}
    for key, value in said.items():
        if not isinstance(value, str):
            raise InputError(f"architecture 'function' needs the text '{key}' in its args.")
    named = Path(str(said["file"]))
    file = folder / named
    # Naming a card runs code out of its own folder only.
    if named.is_absolute() or ".." in named.parts or not file.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"architecture 'function', key 'file': '{named}' is not below '{folder}': put it there, beside its card."
        )
    ran = run_function(file, str(said["function"]))
    expected = declared.args.get("sha256")
    if expected is None:
        raise InputError(
            f"the card in '{folder}' does not say for which code it was written: "
            f'if it is what lies there, put sha256 = "{ran.sha256}" into its args.'
        )
    if ran.sha256 != expected:
        files = ", ".join(path.name for path in ran.sources)
        raise InputError(
            f"the code in '{ran.folder}' ({files}) is not what its card was written for: "
            f'restore it, or if this code is meant put sha256 = "{ran.sha256}" into the card\'s args.'
        )
    return BuiltNetwork(ran.network, ran.sha256)


def _from_library(declared: Architecture, weights: Weights | None) -> BuiltNetwork:
    name = declared.args.get("name")
    if not isinstance(name, str) or len(declared.args) > 1:
        raise InputError(f"architecture '{declared.name}' needs the text 'name' in its args, and nothing else.")
    maker: Maker = MAKERS[declared.name]
    try:
        network = maker(name, weights is None)
        if weights is not None and (rows := _rows(network, weights)):
            network = maker(name, False, num_classes=rows)
    except InputError:
        raise
    except Exception as error:  # an unknown name, a failed download: each library has errors of its own
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{declared.name} cannot make '{name}' ({said}): name another, or if it cannot be fetched give --weights."
        ) from error
    return BuiltNetwork(network, f"{declared.name} {version(declared.name)}")


def _rows(network: nn.Module, weights: Weights) -> int:
    """How many classes the weights have, if other than the network's; 0 else."""
    last = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    key = f"{last[-1]}.weight" if last else ""
    if key not in weights or len(weights[key]) == network.get_parameter(key).shape[0]:
        return 0
    return len(weights[key])


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


INSTALLED = {"site-packages", "dist-packages"}
"""Where packages lie, perhaps below the folder."""
FUNCTION = "function"
MAKERS: dict[str, Maker] = {"timm": _timm, "torchvision": _torchvision}
OTHERS = (FUNCTION, *MAKERS)
"""Names of architectures that others make."""
