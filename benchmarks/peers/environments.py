"""Virtual environments for other libraries, beside robench as it is checked out here."""

import importlib.util
import os
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "robench"
PEERS = {
    "torchattacks": ("with_torchattacks", "torchattacks"),
    "foolbox": ("with_foolbox", "foolbox"),
    "art": ("with_art", "adversarial-robustness-toolbox"),
    "pyautoattack": ("with_pyautoattack", "pyautoattack"),
}
"""What is imported, the module beside this one that runs it, and what it is called on PyPI."""


def missing() -> list[str]:
    """The peers that cannot be found here, and robench."""
    return [name for name in ("robench", *PEERS) if importlib.util.find_spec(name) is None]


def environment(place: Path, *packages: str) -> Path:
    """Make an environment where there is none, bring it up to date, and return its interpreter."""
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(place, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python
