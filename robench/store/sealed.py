"""Files of JSON lines with seals, so that a changed, deleted or added line is noticed.

Every line has a key `seal`, the SHA-256 of its other keys. The last line is `{"lines": N, "seal": ...}`, the number of
lines before it and the SHA-256 of their text. Files of older versions have no seals and are read as they are; files
that were written one after another into one file, each with its own last line, are read, too.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from robench.errors import InputError
from robench.paths import write_text
from robench.specs import digest

SEAL, LINES = "seal", "lines"
Line = dict[str, Any]


def write_sealed(path: Path, lines: Iterable[Line]) -> None:
    """Write a file of sealed lines, whole or not at all."""
    write_text(path, sealed(lines))


def sealed(lines: Iterable[Line]) -> str:
    """Return the text of a sealed file."""
    texts = [_dumped({**line, SEAL: digest(line)}) for line in lines]
    return "".join(f"{text}\n" for text in (*texts, _dumped(_last(texts))))


def read_sealed(path: Path, mend: str) -> Iterator[tuple[str, Line]]:
    """Yield each line of a file without its seal, and the words that name the line in a message.

    Args:
        path: the file.
        mend: what a user can do about a damaged file.

    Raises:
        InputError: the file cannot be read, a line is not a JSON object, or the lines and their seals disagree.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read: {mend}.") from error
    texts = [line.rstrip("\r") for line in text.split("\n")]
    if texts.pop() or not texts:
        raise InputError(f"'{path}' is empty or ends in the middle of a line: {mend}.")
    lines = [_parsed(line, f"'{path}', line {number}", mend) for number, line in enumerate(texts, start=1)]
    if any(SEAL in line for line in lines):
        _check(path, texts, lines, mend)
    for number, line in enumerate(lines, start=1):
        if not _is_last(line):
            yield f"'{path}', line {number}", {key: value for key, value in line.items() if key != SEAL}


def is_sealed(path: Path) -> bool:
    """Return whether the last line of a file is a seal over the lines before it."""
    return path.read_bytes().rstrip().rpartition(b"\n")[2].startswith(b'{"lines":')


def _check(path: Path, texts: list[str], lines: list[Line], mend: str) -> None:
    """Check every seal of a file.

    Raises:
        InputError: a line was changed, deleted or added.
    """
    begin = 0
    for at, line in enumerate(lines):
        if SEAL not in line:
            raise InputError(f"'{path}', line {at + 1} has no seal, but other lines have one: {mend}.")
        if _is_last(line):
            if line != _last(texts[begin:at]):
                changed = (f", first line {begin + k + 1}" for k, each in enumerate(lines[begin:at]) if _broken(each))
                raise InputError(f"'{path}' was changed after it was sealed{next(changed, '')}: {mend}.")
            begin = at + 1
    if begin < len(lines):
        raise InputError(f"'{path}' ends before its last seal, so lines are missing: {mend}.")


def _last(texts: list[str]) -> Line:
    return {LINES: len(texts), SEAL: hashlib.sha256("\n".join(texts).encode()).hexdigest()}


def _is_last(line: Line) -> bool:
    return line.keys() == {LINES, SEAL}


def _broken(line: Line) -> bool:
    return bool(line[SEAL] != digest({key: value for key, value in line.items() if key != SEAL}))


def _dumped(line: Line) -> str:
    return json.dumps(line, sort_keys=True, separators=(",", ":"))


def _parsed(text: str, where: str, mend: str) -> Line:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not a record: {mend}.") from error
    if not isinstance(line, dict):
        raise InputError(f"{where} is not a record: {mend}.")
    return line
