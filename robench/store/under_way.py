"""The attack under way: what it takes to go on with it, in one safetensors file beside the finished chunks.

results/raw/<dataset>/<model>/<attack>-<hash>.chunks/under-way.safetensors
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from robench.errors import InputError
from robench.paths import atomic_path
from robench.store.raw import Chunks, checksum
from robench.store.rows import Column

NAME = "under-way.safetensors"
FACTS, SEAL = "robench", "seal"
"""Keys of the file's metadata: JSON about the arrays, and the SHA-256 of this JSON and of all arrays."""
DAMAGE = (SafetensorError, OSError, ValueError, KeyError, TypeError)
"""Errors of damaged, truncated or foreign files."""


class UnderWay:
    """The file of one record's attack under way: named arrays, and facts about them that JSON can hold."""

    def __init__(self, chunks: Chunks) -> None:
        self.path, self.hash = chunks.folder / NAME, chunks.hash

    def write(self, arrays: Mapping[str, Column], facts: dict[str, Any]) -> None:
        """Put arrays and facts in the place of what is there, whole or not at all.

        Raises:
            InputError: the disk is full, or the folder cannot be written.
        """
        text = json.dumps({**facts, "hash": self.hash}, sort_keys=True)
        try:
            with atomic_path(self.path) as temporary:
                save_file(dict(arrays), temporary, metadata={FACTS: text, SEAL: _seal(text, arrays)})
        except SafetensorError as error:  # what it raises if the disk is full
            raise InputError(f"checkpoint '{self.path}' cannot be written ({error})") from error

    def read(self) -> tuple[dict[str, Column], dict[str, Any]] | None:
        """Return the arrays and the facts; None if there is no file.

        Raises:
            InputError: the file is damaged, or belongs to another record.
        """
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, "np") as file:
                metadata = file.metadata()
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            intact = metadata[SEAL] == _seal(metadata[FACTS], arrays)
            facts: dict[str, Any] = json.loads(metadata[FACTS])
            found = facts.pop("hash")
        except DAMAGE as error:
            raise self._damaged() from error
        if not intact:
            raise self._damaged()
        if found != self.hash:
            raise InputError(f"checkpoint '{self.path}' belongs to another record")
        return arrays, facts

    def remove(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)

    def _damaged(self) -> InputError:
        return InputError(f"checkpoint '{self.path}' is damaged or cut short")


def _seal(text: str, arrays: Mapping[str, Column]) -> str:
    total = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        total.update(f"\n{name} {arrays[name].shape} {checksum(arrays[name])}".encode())
    return total.hexdigest()
