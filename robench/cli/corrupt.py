"""The part of `robench eval` that evaluates on corrupted images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from robench.cli.screens import errors
from robench.specs import find_battery
from robench.specs.corruption import extra_corruptions
from robench.store.corrupted import Corrupted, Origin
from robench.store.outcome import Planned

if TYPE_CHECKING:
    from robench.data.split import Split
    from robench.evaluation.corruptions import Source
    from robench.evaluation.request import NetworkUnderTest, Settings


Kind = Literal["generated", "published", "extra", "3d", "spatial"]
"""Kinds of corrupted images."""
KINDS: tuple[Kind, ...] = get_args(Kind)
ORIGINS = get_args(Origin)


def wanted(batteries: Sequence[str]) -> list[Kind]:
    """List the kinds of corrupted images that the batteries ask for."""
    asked = {find_battery(name).corruptions for name in batteries}
    return [kind for kind in KINDS if kind in asked]


def corruption_plan(
    under_test: "NetworkUnderTest",
    split: "Split",
    kind: Kind,
    data_dir: Path | None,
    settings: "Settings",
    results: Path,
) -> Planned:
    """Make a line of `--dry-run`: one pass for each corruption, severity, view and example that is not stored."""
    from robench.evaluation.corruptions import missing

    source = source_of(split, kind, data_dir)
    cells = missing(under_test, split, source, settings, results)
    passes = cells * source.count * len(split)
    return Planned(
        f"corruptions ({source.origin if kind in ORIGINS else kind})",
        f"compute {cells} of {1 + len(source.corruptions) * len(source.severities)}" if cells else "stored",
        seconds=None if cells else 0.0,
        most=passes,
    )


def corrupt(
    under_test: "NetworkUnderTest",
    split: "Split",
    kinds: Sequence[Kind],
    data_dir: Path | None,
    settings: "Settings",
    results: Path,
) -> dict[Kind, list[Corrupted]]:
    """Evaluate a defense on corrupted images; results on published and on generated images stay apart.

    Raises:
        InputError: the published set is missing or damaged.
    """
    from robench.evaluation.corruptions import evaluate

    def say(text: str) -> None:
        errors().print(f"{under_test.model} {text}", markup=False)

    sources = {kind: source_of(split, kind, data_dir) for kind in kinds}
    for source in sources.values():
        if source.lacking:
            errors().print(source.lacking, markup=False, soft_wrap=True)
    return {
        source.origin if kind in ORIGINS else kind: evaluate(under_test, split, source, settings, results, say)
        for kind, source in sources.items()
    }


def source_of(split: "Split", kind: Kind, data_dir: Path | None) -> "Source":
    """Choose the corrupted images of a split: the published ones if they are asked for and present.

    Raises:
        DatasetNotFound: images of 3D corruptions are asked for, which nobody generates, and not there.
        InputError: the published set is damaged.
    """
    from robench.data.published import find_corrupted, open_corrupted
    from robench.evaluation.corruptions import Generated, Published, RotatedTranslated

    if kind == "spatial":
        return RotatedTranslated()
    if kind == "extra":
        return Generated(split, extra_corruptions())
    if kind == "3d":
        return Published(open_corrupted(split.name, data_dir, "3d"), split.ids.tolist())
    found = find_corrupted(split.name, data_dir) if kind == "published" else None
    return Generated(split) if found is None else Published(found, split.ids.tolist())
