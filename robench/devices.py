"""Devices by name and in words, transfers to them, release of memory, versions of libraries."""

import ctypes
import os
import platform
import sys
from functools import cache
from importlib.metadata import version

import torch

from robench.errors import InputError

KINDS = ("cpu", "cuda", "mps", "xpu")


def pick_device(name: str) -> torch.device:
    """Find a device by name; 'auto' takes a GPU if there is one.

    Raises:
        InputError: the device is not available on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in KINDS:
            raise RuntimeError("not a device that computes")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device '{name}' is not available here: use auto, cpu, or run `robench doctor`.") from error
    return device


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor on a device; a copy to a GPU uses pinned memory and does not wait for the GPU."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def usable_cores() -> int:
    """Return the number of cores that this process may use: a batch system gives it few of many.

    macOS and Windows cannot tell; there it is the number of cores of the machine.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def release() -> None:
    """Return freed memory to the system; glibc keeps it if something at a higher address is still in use."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None:
        trim(0)


def out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out, on a GPU or on the CPU."""
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "can't allocate memory" in text
        or "out of memory" in text
        or "alloc_failed" in text
    )


def device_name(device: torch.device) -> str:
    """Return the name of a device, for records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def versions() -> dict[str, str]:
    """Return the versions of everything that can change arithmetic or random numbers."""
    return {"python": platform.python_version(), **{name: _version(name) for name in ("robench", "torch", "numpy")}}


@cache
def _version(package: str) -> str:
    """Return the version of an installed package; its metadata is parsed once, not for every record."""
    return version(package)
