"""The ways a run can end badly, each with its exit code and one sentence for the user."""

from difflib import get_close_matches
from typing import ClassVar

SHOWN = 20
"""How many known names a message lists."""


class RobenchError(Exception):
    """Base of every error robench raises on purpose; the message is one sentence a user can act on."""

    exit_code: ClassVar[int] = 4


class InputError(RobenchError, ValueError):
    """Wrong usage or bad input: the message names the offending thing and the mend."""

    exit_code = 2


class IncompleteError(RobenchError):
    """Nothing is wrong, but what was asked for is not there or cannot be compared."""

    exit_code = 3


class FaultError(RobenchError):
    """robench or an algorithm broke its own promise."""

    exit_code = 4


class StoppedError(RobenchError):
    """The user interrupted a command that says itself what was kept."""

    exit_code = 130


def unknown(kind: str, name: str, known: list[str]) -> InputError:
    """The error for a name that is not declared, with the nearest names that are, or the first of all."""
    folder, _, end = name.lower().rpartition("/")
    ends: dict[str, str] = {}
    for each in sorted(known, key=lambda each: each.rpartition("/")[0].lower() != folder) if folder else known:
        ends.setdefault(each.rpartition("/")[2].lower(), each)
    near = [ends[close] for close in get_close_matches(end, ends, n=3)]
    more = f", ... ({len(known)} in all)" if len(known) > SHOWN else ""
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known[:SHOWN]) or 'none'}{more}."
    return InputError(f"unknown {kind} '{name}': {hint}")
