"""Import RobustBench as it is published, with substitutes for modules that it imports but does not install."""

import copyreg
import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from robench.errors import InputError
from robench.specs.robustbench import INSTALL, PACKAGE


def import_robustbench(name: str = PACKAGE) -> Any:
    """Import RobustBench, or one of its modules.

    Raises:
        InputError: RobustBench, or a package that it needs, is not installed, or does not import.
    """
    try:
        with substitutes(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries about each other
            return importlib.import_module(name)
    except ImportError as error:
        lacking = (error.name or PACKAGE).partition(".")[0]
        needs = "RobustBench is not installed" if lacking == PACKAGE else f"RobustBench needs {lacking}"
        raise InputError(f"{needs}: {INSTALL}.") from error
    except Exception as error:  # versions of its many dependencies fail in their own ways
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".: ")
        raise InputError(f"RobustBench cannot be imported ({said}): {INSTALL}.") from error


def make_portable(network: nn.Module) -> nn.Module:
    """Let other processes unpickle a network although RobustBench does not import there; return the network."""
    for kind in {type(module) for module in network.modules()}:
        if kind.__module__.partition(".")[0] == PACKAGE:
            copyreg.pickle(kind, _reduced)
    return network


def _reduced(module: nn.Module) -> tuple[Any, ...]:
    """Return how pickle rebuilds a module: `_blank` imports its class, then its state follows as usual."""
    kind = type(module)
    return _blank, (kind.__module__, kind.__qualname__), *module.__reduce_ex__(4)[2:]


def _blank(module: str, name: str) -> Any:
    """Make an object of a class of RobustBench without calling its constructor."""
    kind: Any = import_robustbench(module)
    for part in name.split("."):
        kind = getattr(kind, part)
    return kind.__new__(kind)


@contextmanager
def substitutes() -> Iterator[None]:
    """Offer substitutes under the names of missing modules; afterwards remove them.

    Version 1.1.1 imports `pkg_resources`, which setuptools 82 removed, and `autoattack`, which is installed as
    `pyautoattack`. A module that is there is never replaced.
    """
    placed = {name: module for name, module in _offered().items() if name not in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name in placed:
            sys.modules.pop(name, None)


def _offered() -> dict[str, ModuleType]:
    """Return the substitutes of the modules that are missing, by name."""
    offered = {}
    if _is_missing("pkg_resources"):
        offered["pkg_resources"] = _pkg_resources()
    if _is_missing("autoattack"):
        offered["autoattack"] = importlib.import_module("pyautoattack")
        offered["autoattack.state"] = importlib.import_module("pyautoattack.state")
    return offered


def _is_missing(name: str) -> bool:
    return name not in sys.modules and find_spec(name) is None


def _pkg_resources() -> ModuleType:
    """Make a module with the one function of `pkg_resources` that RobustBench calls."""
    made = ModuleType("pkg_resources", "Substitute for pkg_resources: the path of a file beside a module.")

    def resource_filename(module: str, name: str) -> str:
        """Return the path of a file, by its name relative to the folder of an imported module."""
        return str(Path(str(sys.modules[module].__file__)).parent / name)

    made.__dict__["resource_filename"] = resource_filename
    return made
