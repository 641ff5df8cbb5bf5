"""The part of `robench eval` that looks at corrupted images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from robench.cli.screens import errors
from robench.specs import Card, find_battery
from robench.store.corrupted import Corrupted

if TYPE_CHECKING:
    from robench.corrupted import Source
    from robench.data.split import Split
    from robench.request import Settings


Kind = Literal["generated", "published", "spatial"]
"""Which corrupted images."""
KINDS: tuple[Kind, ...] = get_args(Kind)


def wanted(batteries: Sequence[str]) -> list[Kind]:
    """Which corrupted images the batteries ask for."""
    asked = {find_battery(name).corruptions for name in batteries}
    return [kind for kind in KINDS if kind in asked]


def corruption_plan(split: "Split", kind: Kind, data_dir: Path | None) -> dict[str, str]:
    """A line of `--dry-run`: one pass for each corruption, severity, view and example, twice the clean ones at most."""
    source = source_of(split, kind, data_dir)
    passes = (len(source.corruptions) * len(source.severities) * source.count + 2) * len(split)
    return {
        "attack": f"corruptions ({kind if kind == 'spatial' else source.origin})",
        "source": "compute what is missing",
        "forwards": f"at most {passes:,}",
        "backwards": "0",
    }


def corrupt(
    card: Card, split: "Split", kinds: Sequence[Kind], data_dir: Path | None, settings: "Settings", results: Path
) -> dict[Kind, list[Corrupted]]:
    """Evaluate a defense on corrupted images; what was published and what is generated stay apart.

    Raises:
        InputError: the published set is not there or damaged.
    """
    from robench.corrupted import evaluate
    from robench.request import Subject

    def say(text: str) -> None:
        errors().print(f"{card.name} {text}", markup=False)

    sources = {kind: source_of(split, kind, data_dir) for kind in kinds}
    subject = Subject.of_card(card)
    return {
        "spatial" if kind == "spatial" else source.origin: evaluate(subject, split, source, settings, results, say)
        for kind, source in sources.items()
    }


def source_of(split: "Split", kind: Kind, data_dir: Path | None) -> "Source":
    """Which corrupted images of a split are taken: the published ones if they are asked for and there."""
    from robench.corrupted import Generated, Moved, Published
    from robench.data import find_corrupted

    if kind == "spatial":
        return Moved()
    found = find_corrupted(split.name, data_dir) if kind == "published" else None
    return Generated(split) if found is None else Published(found)
