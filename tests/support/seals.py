"""Published files without their seals, as older versions wrote them."""

import json
from pathlib import Path

from robench.store.sealed import read_sealed


def unsealed_lines(path: Path) -> list[str]:
    """The lines of a sealed file as older versions wrote them."""
    return [json.dumps(data, sort_keys=True, separators=(",", ":")) for _, data in read_sealed(path, "restore it")]


def unseal(path: Path) -> None:
    """Take the seals out of a file."""
    path.write_text("".join(f"{line}\n" for line in unsealed_lines(path)))
