"""Parquet files of one split: a file, its shards, or those of a folder."""

import re
from pathlib import Path

from robench.data.corrupted import named
from robench.errors import InputError

SHARD = re.compile(r"(?P<split>.*)-(?P<at>\d{5})-of-(?P<all>\d{5})(?P<rest>.*)\.parquet")
"""Names of shards as Hugging Face writes them, `train-00000-of-00005.parquet`."""
TEST = ("test", "val", "valid", "validation")
"""Names of splits that are evaluated, in the order of preference."""


def shards(place: Path) -> list[Path]:
    """Return all files of the split that a file or folder stands for, in order.

    Args:
        place: a file, one of several shards, or a folder of files; of a folder, the test or validation split.

    Raises:
        InputError: a shard is missing, or a folder has no files or no split to evaluate.
    """
    if place.is_dir():
        place = _first_of(place)
    match = SHARD.fullmatch(place.name)
    if match is None or int(match["all"]) < 2:
        return [place]
    names = [f"{match['split']}-{at:05d}-of-{match['all']}{match['rest']}.parquet" for at in range(int(match["all"]))]
    found = {_key(each.name): each for each in place.parent.glob("*.parquet") if SHARD.fullmatch(each.name)}
    missing = [name for name in names if _key(name) not in found]
    if missing:
        raise InputError(f"'{place.parent}' lacks {named(missing)}, shards of '{place.name}': fetch them.")
    return [found[_key(name)] for name in names]


def _first_of(folder: Path) -> Path:
    """Return the first file of the split that is evaluated."""
    files = sorted(each for each in folder.glob("*.parquet") if not each.name.startswith("."))
    if not files:
        inner = folder / "data"
        if inner.is_dir():
            return _first_of(inner)
        raise InputError(f"'{folder}' holds no .parquet files: name the folder that does.")
    splits = {re.split(r"[-.]", each.name)[0]: each for each in reversed(files)}
    chosen = next((name for name in TEST if name in splits), None)
    if chosen is None and len(splits) == 1 and "train" not in splits:
        chosen = next(iter(splits))
    if chosen is not None:
        mine = [each for each in files if re.split(r"[-.]", each.name)[0] == chosen]
        series = {_series(each.name) for each in mine}
        if len(mine) > 1 and (None in series or len(series) > 1):
            raise InputError(
                f"'{folder}' has several files of '{chosen}', {named([each.name for each in mine])}, that are not the "
                "shards of one set: name a file."
            )
        return splits[chosen]
    raise InputError(f"'{folder}' has the splits {named(sorted(splits))}, none called test or validation: name a file.")


def _series(name: str) -> str | None:
    """Return the text that all shards of one set share; None if the file is no shard."""
    match = SHARD.fullmatch(name)
    return f"{match['split']}-of-{match['all']}" if match else None


def _key(name: str) -> str:
    """Return a shard's name without the digest that some have before the suffix."""
    match = SHARD.fullmatch(name)
    return f"{match['split']}-{match['at']}-of-{match['all']}" if match else name
