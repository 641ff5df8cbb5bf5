"""The part of `robench eval` that looks at corrupted images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robench.cli.screens import errors
from robench.corruptions import SEVERITIES
from robench.specs import Card, find_battery
from robench.store.corrupted import Corrupted, Origin

if TYPE_CHECKING:
    from robench.corrupted import Source
    from robench.data.split import Split
    from robench.request import Settings


def wanted(batteries: Sequence[str]) -> set[Origin]:
    """Whose corrupted images the batteries ask for."""
    asked = {find_battery(name).corruptions for name in batteries}
    return {origin for origin in ("published", "generated") if origin in asked}


def corruption_plan(split: "Split", origin: Origin, data_dir: Path | None) -> dict[str, str]:
    """A line of `--dry-run`: one pass for each corruption, severity and example, twice the clean ones at most."""
    source = source_of(split, origin, data_dir)
    passes = (len(source.corruptions) * len(SEVERITIES) + 2) * len(split)
    return {
        "attack": f"corruptions ({source.origin})",
        "source": "compute what is missing",
        "forwards": f"at most {passes:,}",
        "backwards": "0",
    }


def corrupt(
    card: Card, split: "Split", origins: set[Origin], data_dir: Path | None, settings: "Settings", results: Path
) -> dict[Origin, list[Corrupted]]:
    """Evaluate a defense on corrupted images; what was published and what is generated stay apart.

    Raises:
        InputError: the published set is not there or damaged.
    """
    from robench.corrupted import evaluate
    from robench.request import Subject

    def say(text: str) -> None:
        errors().print(f"{card.name} {text}", markup=False)

    sources = [source_of(split, origin, data_dir) for origin in sorted(origins)]
    subject = Subject.of_card(card)
    return {source.origin: evaluate(subject, split, source, settings, results, say) for source in sources}


def source_of(split: "Split", origin: Origin, data_dir: Path | None) -> "Source":
    """Whose corrupted images of a split are taken: the published ones if they are asked for and there."""
    from robench.corrupted import Generated, Published
    from robench.data import find_corrupted

    found = find_corrupted(split.name, data_dir) if origin == "published" else None
    return Generated(split) if found is None else Published(found)
