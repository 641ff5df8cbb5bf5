"""Where examples come from, for the user."""

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """Where examples come from and how they were read; no part of their identity.

    Attributes:
        source: kind and place of the data, e.g. `folder:images/test`; empty if the name says it.
        total: number of examples that the source has; None if all are in the split.
        by_order: number of classes, if labels are places in the alphabet: the network must have as many.
        classes: names of the classes in the order of the labels, if they were not matched with other names.
        known: class names in the order of the labels, if the network's number of classes told them.
        notes: what was left out and why, and other remarks.
    """

    source: str = ""
    total: int | None = None
    by_order: int | None = None
    classes: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


NOTHING = About()
"""Nothing to say beyond the dataset's name."""
