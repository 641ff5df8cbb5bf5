"""Names of defenses on the command line: those of cards, and those that stored records hold."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from robench.errors import InputError, unknown
from robench.report.selection import defense
from robench.report.sweeps import stored_models
from robench.specs import CARD, EMBEDDED, Card, find_card, is_registered, list_models
from robench.store import Store, read_header


def defense_name(name: str, stored: Iterable[str] = ()) -> str:
    """Return the full name of a defense: that of a registered defense, of a card, or of stored records.

    Args:
        name: the name as `robench eval` prints it, also without dataset or digest if one defense fits; or the path of
            a card.
        stored: the names of the defenses that have records.

    Raises:
        InputError: no such defense, with the nearest names; or several fit.
    """
    known = sorted({*stored})
    if name in known:
        return name
    if is_registered(name if "/" in name else f"{EMBEDDED}/{name}") or _is_path(name):
        return find_card(name).name
    fitting = [each for each in known if name in _short_forms(each)]
    if len(fitting) > 1:
        raise InputError(f"'{name}' means {len(fitting)} models, {', '.join(fitting)}: write one of these names.")
    if fitting:
        return fitting[0]
    registered = sorted(list_models(), key=lambda each: not each.startswith(f"{EMBEDDED}/"))
    others = [defense(each) for each in known if each not in registered]
    raise unknown("model", name, list(dict.fromkeys([*others, *registered])))


def full_names(names: Sequence[str] | None, results: Path) -> list[str] | None:
    """Return the full names of defenses that may have raw records or verdicts under corruptions; None for all.

    Raises:
        InputError: no such defense, or several fit; or a damaged record.
    """
    if not names:
        return None
    stored = {read_header(path).model for path in Store(results).paths()} | stored_models(results)
    return [defense_name(name, stored) for name in names]


def card_of(full: str, typed: str) -> Card | None:
    """Return the card of a defense by its full name or by what the user typed; None if it has no card."""
    if is_registered(full):
        return find_card(full)
    return find_card(typed) if _is_path(typed) else None


def _short_forms(full: str) -> set[str]:
    """Return a stored name without its digest, without its dataset, and without both."""
    bare = defense(full)
    return {bare, full.rpartition("/")[2], bare.rpartition("/")[2]}


def _is_path(name: str) -> bool:
    """Tell whether a name is the path of a card or of its folder."""
    return name.endswith(".toml") or (Path(name) / CARD).is_file()
