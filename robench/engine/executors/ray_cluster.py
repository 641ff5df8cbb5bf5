"""Connect to Ray: start it on this machine, or join a cluster."""

import logging
import os
import socket

import ray

from robench.devices import usable_cores
from robench.errors import InputError

PATIENCE = 10.0
"""Seconds to wait for an address that does not answer; Ray itself waits for minutes."""
NAMED = ("auto", "local")
"""Words that stand in place of an address."""


def connect(address: str | None, cores: int | None) -> bool:
    """Connect to Ray; return whether this call made the connection.

    Args:
        address: address of a cluster; None takes RAY_ADDRESS if it is set, else starts Ray on this machine.
        cores: cores of a Ray that is started here; by default all cores that this process may use.

    Raises:
        InputError: nothing answers at the address, or an address is given though Ray is connected already.
    """
    if ray.is_initialized():
        if address is not None:
            raise InputError(f"this process is connected to Ray already: leave the Ray address '{address}' out.")
        return False
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
        ray.init(address, num_cpus=cores or usable_cores(), include_dashboard=False, **quiet)
        return True
    _require_answer(address)
    try:
        ray.init(address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"Ray cannot be joined at '{address}' ({said}): is it started there, and is its token "
            "known here (RAY_AUTH_MODE=token and RAY_AUTH_TOKEN)?"
        ) from error
    return True


def _require_answer(address: str) -> None:
    if address in NAMED:
        return
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"the Ray address '{address}' is not of the form host:port, nor auto: mend it.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"nothing answers at the Ray address '{address}' ({error}): is Ray started there?") from error
