"""Parts that can be exchanged, one module each in a package's folder: listed by name, imported when asked for."""

import pkgutil
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, TypeVar

from robench.errors import unknown

PartT = TypeVar("PartT")


@dataclass(frozen=True)
class Registry(Generic[PartT]):
    """The parts of one package: the part `NAME` is a constant in the module `NAME.py`.

    Attributes:
        kind: what one part is called in messages, "algorithm" say.
        package: the package's full name.
        constant: the name of the constant, the same in every module.
        shared: modules of the package that hold no part, but what several parts share.
    """

    kind: str
    package: str
    constant: str
    shared: tuple[str, ...] = ("base",)

    def names(self) -> list[str]:
        """Return the names of all parts, sorted; no part is imported."""
        folders = import_module(self.package).__path__
        return sorted(module.name for module in pkgutil.iter_modules(folders) if module.name not in self.shared)

    def find(self, name: str) -> PartT:
        """Import a part by name.

        Raises:
            InputError: no such part, with the nearest names.
        """
        known = self.names()
        if name not in known:
            raise unknown(self.kind, name, known)
        part: PartT = getattr(import_module(f"{self.package}.{name}"), self.constant)
        return part
