"""Where an evaluation runs: devices by name and in words, ways to them, memory given back."""

import ctypes
import os
import platform
import sys
from importlib.metadata import version

import torch

from robench.errors import InputError

KINDS = ("cpu", "cuda", "mps", "xpu")


def pick_device(name: str) -> torch.device:
    """The device of that name; 'auto' takes a GPU where there is one.

    Raises:
        InputError: no such device here.
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
    """A tensor on a device; to a GPU it goes from pinned memory, while the GPU does something else."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def usable_cores() -> int:
    """Return the number of cores that this process may use: a batch system gives it few of many.

    macOS and Windows cannot tell; there it is the number of cores of the machine.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def release() -> None:
    """Give memory that was freed back to the system; glibc keeps it where something behind it is still in use."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None:
        trim(0)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "can't allocate memory" in text
        or "out of memory" in text
        or "alloc_failed" in text
    )


def device_name(device: torch.device) -> str:
    """What the device is, for the record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def versions() -> dict[str, str]:
    """Of what can change arithmetic or random numbers."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("robench", "torch", "numpy")},
    }
