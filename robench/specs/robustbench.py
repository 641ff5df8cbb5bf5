"""Networks of RobustBench, as the description of the installed package lists them.

The package carries no other list that can be read without importing torch: its `model_info` files stay in its
repository. Its description has one table for each dataset and threat model, with the published accuracies. Never
imports torch or RobustBench.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from robench.errors import InputError, unknown
from robench.specs.threat import ThreatModel

PACKAGE = "robustbench"
PREFIX = f"{PACKAGE}:"
"""Prefix of `robustbench:NAME` and `robustbench:DATASET/THREAT/NAME`."""
INSTALL = f"pip install 'robench[{PACKAGE}]'"
USUAL = "Res256Crop224"
"""RobustBench's name of the preparation of ImageNet's images that the dataset `imagenet` makes."""
END, DATASET = re.compile(r"##? "), re.compile(r"### (CIFAR-10|CIFAR-100|ImageNet)\s*$")
THREAT = re.compile(r"#### (?:Common )?(Linf|L2|Corruptions)\b(?:, eps=(\S+))?")
MARKS = re.compile(r"<[^>]*>|\*\*")
"""Marks around the text of a cell."""
PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")


@dataclass(frozen=True)
class Entry:
    """A network of RobustBench with its published accuracies.

    Attributes:
        dataset: cifar10, cifar100 or imagenet.
        threat: Linf, L2 or corruptions.
        name: the name in RobustBench's model zoo.
        eps: the radius as RobustBench writes it; empty for corruptions.
        clean: accuracy on clean images in percent.
        robust: robust accuracy in percent; for corruptions, accuracy on corrupted images.
    """

    dataset: str
    threat: str
    name: str
    eps: str
    clean: float
    robust: float

    @property
    def full(self) -> str:
        """The name that belongs to one network only."""
        return f"{self.dataset}/{self.threat}/{self.name}"

    @property
    def threat_model(self) -> ThreatModel | None:
        """Norm and eps; None for corruptions."""
        return ThreatModel.parse(self.threat, self.eps) if self.eps else None


def installed_version() -> str:
    """Return the version of the installed RobustBench.

    Raises:
        InputError: RobustBench is not installed.
    """
    return _description()[0]


def entries() -> dict[str, Entry]:
    """Return all networks of the installed RobustBench, by their full names.

    Raises:
        InputError: RobustBench is not installed, or its description lists no networks.
    """
    version, text = _description()
    found = _parsed(text)
    if not found:
        raise InputError(f"the description of robustbench {version} lists no networks: {INSTALL}.")
    return found


def find_entry(name: str) -> Entry:
    """Find a network by NAME or by DATASET/THREAT/NAME.

    Raises:
        InputError: RobustBench is not installed, there is no such network, or several have this name.
    """
    known = entries()
    if name in known:
        return known[name]
    same = [each for each in known.values() if each.name == name]
    if not same:
        raise unknown("network of RobustBench", name, list(known))
    if len(same) > 1:
        choice = " or ".join(f"{PREFIX}{each.full}" for each in same)
        raise InputError(f"RobustBench has {len(same)} networks '{name}': say which, {choice}.")
    return same[0]


def code_of(entry: Entry, prepared: str | None) -> str:
    """Return the text by which the identity of a network names an entry of the installed RobustBench.

    Args:
        entry: the entry.
        prepared: RobustBench's name of the preparation of images, if the entry has one.
    """
    return " ".join(filter(None, (PACKAGE, installed_version(), entry.full, prepared)))


def entry_in(identity: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return full name and preparation of the entry that the identity of a network names; None if it names none."""
    package, _, said = str(identity.get("code", "")).partition(" ")
    if package != PACKAGE:
        return None
    _, full, *prepared = said.split(" ")
    return full, prepared[0] if prepared else ""


def _description() -> tuple[str, str]:
    try:
        found = metadata(PACKAGE)
    except PackageNotFoundError as error:
        raise InputError(f"RobustBench is not installed: {INSTALL}.") from error
    return found["Version"], found["Description"] or ""


@cache
def _parsed(text: str) -> dict[str, Entry]:
    return {entry.full: entry for entry in _rows(text)}


def _rows(text: str) -> Iterator[Entry]:
    dataset = threat = eps = ""
    for line in text.splitlines():
        if END.match(line):
            dataset = threat = ""
        elif said := DATASET.match(line):
            dataset, threat = said[1].replace("-", "").lower(), ""
        elif said := THREAT.match(line):
            threat, eps = said[1].replace("Corr", "corr"), said[2] or ""
        elif dataset and threat and line.startswith("|"):
            cells = [MARKS.sub("", cell).strip() for cell in line.split("|")[1:]]
            numbers = [PERCENT.fullmatch(cell) for cell in cells[3:5]]
            if len(numbers) == 2 and numbers[0] and numbers[1]:
                yield Entry(dataset, threat, cells[1], eps, float(numbers[0][1]), float(numbers[1][1]))
