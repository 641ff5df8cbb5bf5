"""Networks that a function in a user's Python file makes: `file.py:make_model`."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

from torch import nn

from robench.classifiers.normalised import normalised
from robench.classifiers.sources.checkpoint import read_checkpoint
from robench.classifiers.sources.fitting import fit_part
from robench.classifiers.sources.loaded import FunctionResult, Loaded
from robench.errors import InputError
from robench.specs import Architecture, Head, Input, NetworkSpec
from robench.specs.network import MARK

FUNCTION = "function"
"""Name of this architecture in cards."""
INSTALLED = {"site-packages", "dist-packages"}
"""Folders of installed packages, which may lie below the user's folder."""


def resolve(spec: NetworkSpec) -> Loaded:
    """Run the function once, and load the weights if there are any.

    Raises:
        InputError: the function is not there, fails, or makes no network; the weights do not fit it.
    """
    stem, _, function = spec.name.rpartition(MARK)
    checkpoint = None if spec.weights is None else read_checkpoint(spec.weights)
    result = run_function(Path(f"{stem}.py"), function)
    remark = "no --weights, the network is as the function makes it"
    if checkpoint is not None:
        remark = fit_part(result.network, checkpoint, spec.key)
    given = spec.input or Input()
    return Loaded(
        network=normalised(result.network, given).eval(),
        architecture=Architecture(name=FUNCTION, args={"file": f"{stem}.py", "function": function}),
        head=Head(),
        input=given,
        input_source="as said" if spec.input is not None else "of the function",
        feature_layer=spec.feature_layer,
        code=result.sha256,
        remark=remark,
        function=result,
    )


def make(declared: Architecture, folder: Path) -> FunctionResult:
    """Make the network of a card whose architecture is a function in a file below the card's folder.

    Args:
        declared: `function`, with file, function and sha256 of the code.
        folder: the card's folder.

    Raises:
        InputError: the function cannot be run, or its code is not what the card was written for.
    """
    said = {key: declared.args.get(key) for key in ("file", "function")}
    for key, value in said.items():
        if not isinstance(value, str):
            raise InputError(f"architecture 'function' needs the text '{key}' in its args.")
    named = Path(str(said["file"]))
    file = folder / named
    # A card may run code from its folder only.
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
    return ran


def run_function(file: Path, function: str) -> FunctionResult:
    """Run a function of a Python file; modules that it imports from its folder are not shared with other files.

    Raises:
        InputError: the file or the function is not there, fails, or makes no network.
    """
    name = f"--model {file}:{function}"

    def make(maker: Any) -> object:
        return maker if isinstance(maker, nn.Module) or not callable(maker) else _call(maker, name)

    # The name is part of the identity of networks (their class names its module): it must not change.
    return run_in_file(file, function, name, "_robench_own_", make, "that makes the network")


def run_in_file(
    file: Path, function: str, name: str, prefix: str, call: Callable[[Any], object], wanted: str
) -> FunctionResult:
    """Run a Python file, call something that it defines, and return the network that this gives.

    Args:
        file: the file.
        function: the name of what is called.
        name: the option with its value, for messages.
        prefix: beginning of the name of the module that the file becomes.
        call: calls what the file defines under the name.
        wanted: what the function is for, for messages.

    Raises:
        InputError: the file or the function is not there, fails, or gives no network.
    """
    if not file.is_file():
        raise InputError(f"{name}: there is no file '{file}'.")
    file = file.resolve()
    with _import_from(file.parent) as imported:
        try:
            maker = _defined(file, function, name, prefix, wanted)
            network = call(maker)
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # any error in the file is for the user to mend
            what = "ends the program" if isinstance(error, SystemExit) else "fails"
            raise InputError(f"{name}: '{file}' {what} ({type(error).__name__}: {error}): mend it.") from error
        if not isinstance(network, nn.Module):
            raise InputError(f"{name}: '{function}' gives a {type(network).__name__}, expected a torch.nn.Module.")
        return FunctionResult(network, file.parent, tuple(sorted({file, *imported()})))


@contextmanager
def _import_from(folder: Path) -> Iterator[Callable[[], list[Path]]]:
    """Allow imports from a folder while the body runs; afterwards Python forgets these modules."""

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


def _defined(file: Path, function: str, name: str, prefix: str, wanted: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"{prefix}{file.stem}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"{name}: '{file}' is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    found = getattr(module, function, None)
    if found is None:
        raise InputError(f"{name}: '{file}' has no '{function}': name a function {wanted}.")
    return found


def _call(maker: Callable[..., object], name: str) -> object:
    needed = [each.name for each in signature(maker).parameters.values() if each.default is each.empty]
    named = [each for each in needed if each not in ("args", "kwargs")]
    if named:
        raise InputError(f"{name} takes arguments ({', '.join(named)}): name a function that takes none.")
    return maker()
