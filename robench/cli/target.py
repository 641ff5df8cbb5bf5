"""`--target`: the class that attacks aim at, as an index, a name or a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from robench.data import Dataset
from robench.errors import InputError, unknown

LEAST_LIKELY = "least-likely"
"""The text that `robench.evaluation.target` reads."""
NPY = ".npy"
TargetText = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="Class that every attack aims at: an index, a class name, a file with one class per evaluated example "
        "(text lines or .npy), or least-likely. Robust are then the examples that are classified correctly and not "
        "turned into the target; examples whose label is the target are left out.",
        metavar="CLASS|FILE|least-likely",
    ),
]


def read_target(text: str, data: Dataset) -> int | list[int] | str:
    """Return the target of `--target`: a class, one class per example, or "least-likely".

    A whole number is always an index; other text is the name of a class if the dataset has names, else a file.

    Raises:
        InputError: no such class and no such file, or a file that does not hold classes.
    """
    if text == LEAST_LIKELY:
        return text
    names = data.class_names()
    path = Path(text)
    if _is_index(text) or text in names or not path.is_file():
        return _class(text, names)
    if path.suffix == NPY:
        return _array(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--target '{text}' cannot be read ({error}): write one class per line.") from error
    return [_class(line.strip(), names, f", line {number} of '{text}'") for number, line in enumerate(lines, start=1)]


def _is_index(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _class(text: str, names: Sequence[str], where: str = "") -> int:
    if _is_index(text):
        return int(text)
    if text in names:
        return list(names).index(text)
    if names:
        raise unknown("class", text + where.replace("'", ""), list(names))
    raise InputError(f"--target '{text}'{where} is no class number, file or '{LEAST_LIKELY}': give one of these.")


def _array(path: Path) -> list[int]:
    try:
        classes = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"--target '{path}' is no NumPy array ({error}): save one class per example.") from error
    if classes.ndim != 1 or classes.dtype.kind not in "iu":
        raise InputError(
            f"--target '{path}' holds {classes.dtype} of shape {classes.shape}, expected integers (N,): "
            "save one class per example."
        )
    return [int(each) for each in classes]
