"""Compute chunks in this process or on the workers of Ray. The import loads neither torch nor Ray."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from robench.errors import InputError
from robench.specs.settings import ENGINES

if TYPE_CHECKING:
    from robench.engine.executors.base import Executor


def require_engine(engine: str, ray_address: str | None = None, search: str = "fused") -> None:
    """Check that an engine is known and installed.

    Raises:
        InputError: the engine is unknown or not installed, or cannot do what is asked for.
    """
    if engine not in ENGINES:
        raise InputError(f"unknown engine '{engine}': use {' or '.join(ENGINES)}.")
    if ray_address is not None and engine != "ray":
        raise InputError(f"the Ray address '{ray_address}' is for the engine ray: add --engine ray, or take it out.")
    if engine == "ray" and search == "compiled":
        raise InputError("every worker would compile the network for every chunk: use --search fused with Ray.")
    if engine == "ray" and find_spec("ray") is None:
        raise InputError("the engine ray needs Ray, which is not installed: pip install 'robench[ray]'.")


def make_executor(engine: str, device: str = "auto", ray_address: str | None = None) -> "Executor":
    """Make the executor of an engine; Ray is started, or joined, only when there is a chunk to compute.

    Raises:
        InputError: see `require_engine`; or there is no such device.
    """
    require_engine(engine, ray_address)
    if engine == "ray":
        from robench.engine.executors.ray import Ray

        return Ray(device, ray_address)
    from robench.engine.executors.local import Local

    return Local(device)
