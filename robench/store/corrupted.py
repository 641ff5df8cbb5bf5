"""Verdicts on corrupted images, one line per corruption and severity.

results/raw/<dataset>/corruptions/<model>.jsonl     written by runs
results/<dataset>/corruptions/<model>.jsonl         published, committed

There is no attack and no ball: an example counts if its corrupted image is classified correctly, even if its clean
image is not. `correct` is a bit string in hex, first example first.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from robench.errors import InputError
from robench.specs import digest
from robench.store.header import Hashed, interval, percent, validated
from robench.store.published import from_hex, to_hex
from robench.store.rows import Column
from robench.store.sealed import read_sealed, write_sealed

FOLDER, RAW = "corruptions", "raw"
CLEAN, SPATIAL = "clean", "rotation_translation"
"""The clean split, and the worst view of a grid of rotations and translations: both have severity 0."""
SCHEMA = 1
MEND = "restore the file, or delete it and run `robench eval --battery corruptions` again"
Origin = Literal["generated", "published"]
"""Corrupted images made by robench, or read from a published set like CIFAR-10-C; the two are never merged."""


class Corrupted(Hashed):
    """A network's verdicts on one corruption at one severity.

    `identity` holds everything that can change the verdicts, and `hash` is the digest of `identity`.
    """

    schema_version: int = Field(SCHEMA, alias="schema")
    dataset: str
    model: str
    corruption: str
    severity: int = Field(ge=0, le=5)
    origin: Origin
    rule: str = ""
    seed: int
    n: int = Field(gt=0)
    device: str
    versions: dict[str, str]
    created: str
    seconds: float = 0.0
    correct: str

    @property
    def verdicts(self) -> Column:
        """Correctness on each corrupted image, bool (N,)."""
        return from_hex(self.correct, self.n, f"'{self.corruption}' of '{self.model}'")

    @property
    def accuracy(self) -> float:
        """Accuracy on the corrupted images in percent."""
        return percent(self.verdicts)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the accuracy, in percent."""
        return interval(self.verdicts)


def path_of(results: Path, dataset: str, model: str) -> Path:
    """Return the path of a network's published lines, or of the lines of runs if `results` is results/raw."""
    return results / dataset / FOLDER / f"{model.rpartition('/')[2]}.jsonl"


def read_corrupted(results: Path, *, published: bool = False) -> Iterator[Corrupted]:
    """Yield every line under a results folder, published lines first, in the order of files and lines."""
    for folder in (results,) if published else (results, results / RAW):
        for path in sorted(folder.glob(f"*/{FOLDER}/[!.]*.jsonl")):
            yield from read_lines(path)


def read_lines(path: Path) -> Iterator[Corrupted]:
    """Yield the lines of one file; if the file does not exist, yield none.

    Raises:
        InputError: a line is damaged, of a newer schema, or contradicts itself.
    """
    if not path.is_file():
        return
    for where, data in read_sealed(path, MEND):
        yield _checked(data, where)


def write_lines(path: Path, lines: Iterable[Corrupted]) -> None:
    """Write a sealed file of lines, whole or not at all."""
    write_sealed(path, (line.model_dump(by_alias=True) for line in lines))


def hashed(identity: dict[str, Any], correct: Column, **fields: Any) -> Corrupted:
    """Build a line from its identity and its verdicts, bool (N,)."""
    bits = to_hex(correct)
    return Corrupted(schema=SCHEMA, hash=digest(identity), identity=identity, n=len(correct), correct=bits, **fields)


def _checked(data: dict[str, Any], where: str) -> Corrupted:
    found = validated(Corrupted, data, where, SCHEMA, MEND)
    said = {key: found.identity.get(key) for key in ("corruption", "severity", "origin", "seed")}
    data = found.identity.get("data", {})
    alike = (data.get("n"), data.get("name")) == (found.n, found.dataset)
    if said != {key: getattr(found, key) for key in said} or not alike:
        raise InputError(f"{where} contradicts its identity: {MEND}.")
    from_hex(found.correct, found.n, where)
    return found
