"""The folder of a card that is written: a new one, or one that is replaced."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from robench.errors import InputError
from robench.paths import require_name
from robench.specs import CARD, dataset_label

CACHES = "__pycache__"


@dataclass(frozen=True)
class Place:
    """Name and place of a card.

    Attributes:
        out: the registry, or any folder.
        name: name of the defense.
        about: one line about the defense.
        replace: whether a card that is there already is replaced.
    """

    out: Path
    name: str
    about: str
    replace: bool = False

    def folder(self, dataset: str) -> Path:
        """Return the folder `OUT/<dataset>/<name>` of the card.

        Raises:
            InputError: the name is no valid folder name, or something that is not to be replaced is there already.
        """
        require_name(self.name, "--name")
        folder = self.out.resolve() / dataset_label(dataset) / self.name
        if not os.path.lexists(folder):
            return folder
        if not self.replace:
            raise InputError(
                f"'{folder}' is there already: replace its card and weights with --force, or choose another --name."
            )
        if not (folder / CARD).is_file():
            raise InputError(f"'{folder}' has no {CARD}, so --force does not replace it: choose another --name.")
        return folder.resolve()


def keep_others(old: Path, new: Path) -> None:
    """Take every file of a folder into its replacement, unless the replacement has a file of that name."""
    for place, folders, files in os.walk(old):
        here = Path(place)
        folders[:] = [each for each in folders if each != CACHES]
        links = [each for each in folders if (here / each).is_symlink()]
        for name in (*files, *links):
            target = new / here.relative_to(old) / name
            if not os.path.lexists(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(here / name, target)


def _link(file: Path, target: Path) -> None:
    """Link a file to a second name, or copy it where the file system has no hard links."""
    try:
        os.link(file, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(file, target, follow_symlinks=False)
