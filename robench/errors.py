"""Errors that robench raises on purpose, each with an exit code and one sentence for the user."""

from difflib import get_close_matches
from typing import ClassVar

SHOWN = 20
"""Number of known names that a message lists."""


class RobenchError(Exception):
    """Base of every error robench raises on purpose; the message is one sentence a user can act on."""

    exit_code: ClassVar[int] = 4


class InputError(RobenchError, ValueError):
    """Wrong usage or bad input; the message names the offending thing and the remedy."""

    exit_code = 2


class GradientError(InputError):
    """NaN or infinite gradients of a network: attacks that follow them cannot run, others can."""


class IncompleteError(RobenchError):
    """Results that are missing or cannot be compared, although nothing is wrong."""

    exit_code = 3


class FaultError(RobenchError):
    """A fault of robench or of an algorithm, not of the user."""

    exit_code = 4


class StoppedError(RobenchError):
    """An interruption by the user; the message says what was kept."""

    exit_code = 130


def reason(error: BaseException) -> str:
    """Return the first sentence of a library's error for use inside a message, or the name of its class."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).partition(". ")[0].rstrip(".: ")


def unknown(kind: str, name: str, known: list[str]) -> InputError:
    """Make the error for an unknown name; the message lists the nearest known names, or the first of all."""
    folder, _, end = name.lower().rpartition("/")
    ends: dict[str, str] = {}
    for each in sorted(known, key=lambda each: each.rpartition("/")[0].lower() != folder) if folder else known:
        ends.setdefault(each.rpartition("/")[2].lower(), each)
    near = [ends[close] for close in get_close_matches(end, ends, n=3)]
    more = f", ... ({len(known)} in all)" if len(known) > SHOWN else ""
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known[:SHOWN]) or 'none'}{more}."
    return InputError(f"unknown {kind} '{name}': {hint}")
