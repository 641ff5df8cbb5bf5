"""Cards of registered defenses, copied and changed."""

import shutil
from pathlib import Path

from robench.paths import data_root


def copy_card(folder: Path, *changes: tuple[str, str], model: str = "pgdat") -> Path:
    """Copy a registered defense to `folder`, with changes to the text of its card; return the card's path."""
    shutil.copytree(data_root() / "models" / "digits" / model, folder)
    path = folder / "card.toml"
    text = path.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)
    return path
