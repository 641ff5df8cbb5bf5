"""Networks that a card declares: registered defenses, and cards with other weights."""

from torch import nn

from robench.classifiers.classifier import assemble
from robench.classifiers.normalised import normalised
from robench.classifiers.sources import function, library
from robench.classifiers.sources.checkpoint import Weights, read_weights
from robench.classifiers.sources.families import STEM, USUAL_SIZE, channels, classes, in_our_terms
from robench.classifiers.sources.fitting import fit
from robench.classifiers.sources.function import FUNCTION
from robench.classifiers.sources.library import MAKERS
from robench.classifiers.sources.loaded import Loaded
from robench.data import dataset_of, is_own
from robench.errors import InputError
from robench.specs import Card, NetworkSpec, file_sha256, find_card


def load_model(name: str) -> nn.Module:
    """Load a registered defense in evaluation mode; check its weights against the card.

    Raises:
        InputError: unknown name, no weights, wrong checksum, or keys or shapes that do not fit.
    """
    return load_card(find_card(name))


def load_card(card: Card) -> nn.Module:
    """Load the network of a card with its weights, in evaluation mode."""
    card.require_weights()
    actual = file_sha256(card.weights)
    if actual != card.sha256:
        raise InputError(
            f"'{card.weights}' has sha256 {actual[:12]}, its card says {card.sha256[:12]}: "
            f'restore the file, or if these weights are meant put sha256 = "{actual}" into the card.'
        )
    return restore(card, read_weights(card.weights), str(card.weights)).network


def resolve(spec: NetworkSpec) -> Loaded:
    """Load a card's network with other weights than the card's.

    Raises:
        InputError: no such card, no weights, or weights that do not fit; an option repeats what the card declares.
    """
    if spec.weights is None:
        raise InputError(
            f"--model {spec.name} is a card, which declares everything but other --weights: leave --mean, --std and "
            "--feature-layer out."
        )
    if spec.input is not None or spec.feature_layer is not None:
        raise InputError(f"--model {spec.name}: the card says normalisation and features; leave them out.")
    return restore(find_card(spec.name), read_weights(spec.weights), str(spec.weights))


def restore(card: Card, weights: Weights, where: str) -> Loaded:
    """Build the network that a card declares, with the given weights.

    Raises:
        InputError: the network cannot be made, or the weights do not fit it.
    """
    result = function.make(card.architecture, card.folder) if card.architecture.name == FUNCTION else None
    if result is not None or card.architecture.name in MAKERS:
        made = result.network if result else library.make(card.architecture, weights)
        fit(made, weights, where)
        network = normalised(made, card.input)
    else:
        weights = in_our_terms(weights, card.input, where)
        shape, rows = _sizes(card, weights)
        network = assemble(card.architecture, card.head, card.input, shape, rows, card.where)
        fit(network, weights, where)
    return Loaded(network.eval(), card.architecture, card.head, card.input, card.feature_layer, function=result)


def _sizes(card: Card, weights: Weights) -> tuple[tuple[int, int, int], int]:
    """Return the shape of an image and the number of classes, of the dataset or, for user data, of the weights."""
    if is_own(card.dataset) and STEM in weights:
        return (channels(weights), *USUAL_SIZE), classes(weights)
    return dataset_of(card).sizes
