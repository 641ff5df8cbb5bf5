"""How a user's images are read: as the command line says, else as the card of the network says."""

from dataclasses import replace

from robench.data.reading import Reading
from robench.data.sizes import AUTO, ENCODED, library_of
from robench.errors import InputError
from robench.specs import Card, NetworkSpec


def reading_of(card: Card, said: Reading, dataset: str) -> Reading:
    """Return how the images of a dataset are read for a card's network; what the user said goes first.

    Args:
        card: with or without a section `reading`.
        said: by the user.
        dataset: as on the command line; images of one size are never resized.

    Raises:
        InputError: the card's section is unsound.
    """
    declared = card.reading
    if declared is None or dataset.partition(":")[0] not in ENCODED:
        return said
    try:
        own = Reading(declared.resize, declared.crop, tuple(declared.classes))
    except InputError as error:
        raise InputError(f"{card.where}, section 'reading': {error}") from error
    sizes = said if said.sized else own
    return replace(said, resize=sizes.resize, crop=sizes.crop, classes=said.classes or own.classes)


def with_library(said: Reading, network: NetworkSpec, card: Card | None) -> Reading:
    """Return the same reading with the network of a library in place of `auto`.

    Raises:
        InputError: the network is of no library.
    """
    return replace(said, resize=library_of(network, card)) if said.resize == AUTO else said
