"""The checkpoint from which training resumes, written whole or not at all."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from robench.errors import InputError
from robench.paths import atomic_path
from robench.store.log import LOG, Epoch, write_log

CHECKPOINT = "checkpoint.pt"
PARTS = ("model", "optimizer", "schedule")


def save(folder: Path, key: str, history: Sequence[Epoch], state: dict[str, Any]) -> None:
    """Write the checkpoint and the log after an epoch."""
    with atomic_path(folder / CHECKPOINT) as temporary:
        torch.save({"key": key, "history": [asdict(epoch) for epoch in history], **state}, temporary)
    write_log(folder / LOG, history)


def load(folder: Path, key: str) -> tuple[list[Epoch], dict[str, Any]] | None:
    """Load the last checkpoint; return None if there is none.

    Raises:
        InputError: the checkpoint belongs to another recipe, or cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        history = [Epoch(**epoch) for epoch in state.pop("history")]
        found = state.pop("key")
        state = {part: state[part] for part in PARTS}
    except Exception as error:  # torch raises several kinds for a damaged file; none can be mended here
        raise InputError(f"checkpoint '{path}' cannot be read: delete it and train again.") from error
    if found != key:
        raise InputError(f"checkpoint '{path}' belongs to another recipe: delete it, or choose another --out.")
    return history, state
