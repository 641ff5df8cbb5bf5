"""The place that a user's network was loaded from, kept beside its records so that their points can be judged again.

results/raw/<dataset>/<model>/network-<digest of the network's identity>.json

The file is signed with a key in the user's cache. One that another user wrote is not followed: it could name code to
run or a network to download.
"""

import hmac
import json
import secrets
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from robench.errors import InputError
from robench.paths import atomic_path, user_cache, write_text
from robench.specs import CARD, Head, Input, NetworkSpec, file_sha256
from robench.specs.base import build, canonical
from robench.store.header import SHORT

SCHEMA = 1
KEY = "origins.key"
"""File in the user's cache that holds the key of signatures."""


@dataclass(frozen=True)
class Origin:
    """The place that a network was loaded from.

    Attributes:
        network: the network as the user described it, with absolute paths.
        files: SHA-256 of each file that the network was made from, by absolute path.
        signed: whether this user wrote the file that holds the origin.
    """

    network: NetworkSpec
    files: dict[str, str]
    signed: bool = True

    @classmethod
    def of(cls, network: NetworkSpec, files: tuple[Path, ...]) -> "Origin":
        """Note a network and the files that it was made from."""
        found = {path.absolute() for path in files if path.is_file()}
        return cls(network.absolute(), {str(path): file_sha256(path) for path in sorted(found)})

    def require_unchanged(self) -> None:
        """Check that every file is what it was, before any of them is loaded or run.

        Raises:
            InputError: a file is gone or has changed.
        """
        if not self.signed:
            raise InputError(
                f"another user wrote where its network was: name the network where it is here, {self.how}."
            )
        for named in self.named:
            if str(named) not in self.files:
                raise InputError(f"nothing says what '{named}' held: name the network, {self.how}.")
        for name, sha256 in self.files.items():
            path = Path(name)
            if not path.is_file():
                raise InputError(f"'{name}' is gone: name the network where it is now, {self.how}.")
            if file_sha256(path) != sha256:
                raise InputError(f"'{name}' has changed since the evaluation: restore it, or {self.how}.")

    @property
    def named(self) -> list[Path]:
        """The files that the user named: code, weights or a card."""
        file = self.network.file
        if file is not None and self.network.kind == "card":
            file = file if file.suffix == ".toml" else file / CARD
        return [path for path in (file, self.network.weights) if path is not None]

    @property
    def how(self) -> str:
        """The options that name the network."""
        kind = {"function": "FILE.py:FUNCTION", "onnx": "onnx:FILE"}.get(self.network.kind, "FILE")
        library = self.network.kind in ("library", "robustbench")
        weights = "" if self.network.weights is None else " --weights FILE"
        return f"--model {self.network.name if library else kind}{weights}"


def origin_path(folder: Path, model_identity: str) -> Path:
    """Return the path of an origin, from the folder of a network's records and the digest of its identity."""
    return folder / f"network-{model_identity[:SHORT]}.json"


def write_origin(path: Path, origin: Origin) -> None:
    """Write an origin, whole or not at all."""
    said = {each.name: _plain(getattr(origin.network, each.name)) for each in fields(NetworkSpec)}
    said = {name: value for name, value in said.items() if value not in (None, False)}
    data = {"schema": SCHEMA, "network": said, "files": origin.files}
    write_text(path, json.dumps({**data, "signature": _signature(data)}, indent=1) + "\n")


def read_origin(path: Path) -> Origin | None:
    """Read an origin; None if there is none.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return None
    newer = False
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if newer := data["schema"] > SCHEMA:
            raise ValueError("a newer schema")
        said: dict[str, Any] = dict(data["network"])
        for name, kind in (("input", Input), ("head", Head)):
            if name in said:
                said[name] = build(kind, said[name], f"'{path}'")
        if "weights" in said:
            said["weights"] = Path(said["weights"])
        files = {str(file): str(sha256) for file, sha256 in data["files"].items()}
        signature = _signature({key: data[key] for key in ("schema", "network", "files")})
        return Origin(NetworkSpec(**said), files, hmac.compare_digest(signature, str(data.get("signature", ""))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if newer:
            raise InputError(f"'{path}' has a newer schema than {SCHEMA}: update robench.") from error
        raise InputError(f"'{path}' is damaged: delete it and name the network with --model.") from error


def _signature(data: dict[str, Any]) -> str:
    """Sign data with the user's key, which is made at the first use and which nobody else can read."""
    path = user_cache() / KEY
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # two processes must not make two keys
        if not path.is_file():
            with atomic_path(path, mode=0o600) as temporary:
                temporary.write_bytes(secrets.token_bytes(32))
    return hmac.new(path.read_bytes(), canonical(data).encode(), "sha256").hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Input | Head):
        return value.model_dump(exclude_unset=True)
    return str(value) if isinstance(value, Path) else value
