"""Reading of declared things: TOML in, checked models out, one sentence if something is wrong."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from robench.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


class Declared(BaseModel):
    """Base of everything that a file declares: frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        InputError: the file is missing or unreadable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read '{path}' ({error.strerror}): name another file, or restore this one.") from error


def parse_toml(path: Path, content: bytes) -> dict[str, Any]:
    """Parse the content of a TOML file.

    Raises:
        InputError: it is not TOML.
    """
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is not valid TOML: {error}.") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read and parse a TOML file.

    Raises:
        InputError: the file is missing, unreadable or not TOML.
    """
    return parse_toml(path, read_bytes(path))


def read_stanzas(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the stanzas of a TOML file in order, each with its name, which is also its key `name`.

    Raises:
        InputError: as `read_toml`; or a key stands outside every stanza, or a stanza has a key `name`.
    """
    for name, stanza in read_toml(path).items():
        if not isinstance(stanza, dict):
            raise InputError(f"'{path}', key '{name}': it stands outside every stanza; put it below a [name].")
        if "name" in stanza:
            raise InputError(f"'{path}', stanza '{name}', key 'name': the name stands in brackets; take the key out.")
        yield name, {"name": name, **stanza}


def build(kind: type[Model], data: Mapping[str, Any], where: str) -> Model:
    """Build a checked model of `kind` from `data`.

    Raises:
        InputError: a key is wrong; the message names the place, the first such key, and what is expected.
    """
    try:
        return kind.model_validate(dict(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top level)"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}, key '{key}': {message[:1].lower()}{message[1:].rstrip('.')}.") from error


def fraction(text: str) -> float:
    """Return the value of '3/31' or '0.25', the nearest float64.

    Raises:
        ValueError: the text is not a number or a fraction.
    """
    above, *below = text.replace(" ", "").split("/", 1)
    try:
        return float(Fraction(above) / Fraction(Decimal(below[0]) if below else 1))
    except (ValueError, ArithmeticError):
        raise ValueError(f"'{text}' is not a number or a fraction like 8/255") from None


canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""Writes a value as canonical JSON: sorted keys, no blanks."""


def digest(data: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hex; identities are compared by it."""
    return hashlib.sha256(canonical(data).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
