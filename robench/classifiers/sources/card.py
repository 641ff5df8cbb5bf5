"""Networks that a card declares: registered defenses, and cards with other weights."""

from torch import nn

from robench.classifiers.classifier import assemble
from robench.classifiers.normalised import normalised
from robench.classifiers.rejecting import remark_on, with_outputs
from robench.classifiers.sources import function, library, robustbench
from robench.classifiers.sources.checkpoint import Checkpoint, Weights, read_checkpoint
from robench.classifiers.sources.families import STEMS
from robench.classifiers.sources.fitting import fit, fit_part, said_of
from robench.classifiers.sources.function import FUNCTION
from robench.classifiers.sources.library import MAKERS
from robench.classifiers.sources.loaded import Loaded
from robench.classifiers.sources.recognition import BACKBONE, CONV, HEAD, USUAL_SIZE, native, recognise
from robench.data import dataset_of, is_user_data
from robench.errors import InputError
from robench.specs import Architecture, Card, NetworkSpec, file_sha256, find_card
from robench.specs.robustbench import PACKAGE as ROBUSTBENCH


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
            f"'{card.weights}' has sha256 {actual[:12]}, its card says {card.sha256[:12]}: restore the file, or if "
            f"these weights are meant {card.how_to_accept(actual)}."
        )
    return restore(card, read_checkpoint(card.weights)).network


def resolve(spec: NetworkSpec) -> Loaded:
    """Load a card's network with other weights than the card's.

    Raises:
        InputError: no such card, no weights, or weights that do not fit; an option repeats what the card declares.
    """
    if spec.weights is None:
        raise InputError(
            f"--model {spec.name} is a card, which declares everything but other --weights: leave --mean, --std, "
            "--feature-layer, --single-logit and --rejects out."
        )
    if spec.input is not None or spec.feature_layer is not None or spec.single_logit or spec.rejects is not None:
        raise InputError(f"--model {spec.name}: the card says normalisation, features and outputs; leave them out.")
    return restore(find_card(spec.name), read_checkpoint(spec.weights), spec.key)


def restore(card: Card, checkpoint: Checkpoint, key: str | None = None) -> Loaded:
    """Build the network that a card declares, with the given weights.

    Raises:
        InputError: the network cannot be made, or the weights do not fit it.
    """
    result = function.make(card.architecture, card.folder) if card.architecture.name == FUNCTION else None
    if result is not None or card.architecture.name in (*MAKERS, ROBUSTBENCH):
        made = result.network if result else _of_library(card.architecture, checkpoint)
        remark = fit_part(made, checkpoint, key)
        network = normalised(made, card.input)
    else:
        weights, remark = _in_our_terms(card, checkpoint, key)
        shape, rows = _sizes(card, weights)
        network = assemble(card.architecture, card.head, card.input, shape, rows, card.where)
        fit(network, weights, str(checkpoint.path))
    return Loaded(
        network=with_outputs(network, card.single_logit, card.rejects).eval(),
        architecture=card.architecture,
        head=card.head,
        input=card.input,
        input_source="of the card",
        feature_layer=card.feature_layer,
        remark="; ".join(each for each in (remark, remark_on(card.rejects)) if each),
        function=result,
        single_logit=card.single_logit,
        rejects=card.rejects,
    )


def _of_library(declared: Architecture, checkpoint: Checkpoint) -> nn.Module:
    return robustbench.make(declared) if declared.name == ROBUSTBENCH else library.make(declared, checkpoint)


def _in_our_terms(card: Card, checkpoint: Checkpoint, key: str | None) -> tuple[Weights, str]:
    """Rename a checkpoint's weights for a card, which declares the network and its normalisation.

    Raises:
        InputError: the weights are of no known network or bring another normalisation than the card's, or neither
            weights nor card say how images are normalised.
    """
    if (part := native(checkpoint, key)) is not None:
        return part.weights, said_of(checkpoint, part)
    found = recognise(checkpoint, key)
    if found.input is not None and found.input != card.input:
        raise InputError(
            f"weights '{checkpoint.path}' bring a normalisation, {found.input}, that is not the card's, {card.input}."
        )
    if found.input is None and "input" not in card.model_fields_set:
        raise InputError(
            f"neither {card.where} nor weights '{checkpoint.path}' say how images are normalised: put input = {{ mean "
            "= [0.0], std = [1.0] } into the card if the network takes images as they are (TRADES), or the mean and "
            "std of its code (AT_HE: mean = [0.4914, 0.4822, 0.4465], std = [0.2471, 0.2435, 0.2616])."
        )
    return found.weights, found.remark


def _sizes(card: Card, weights: Weights) -> tuple[tuple[int, int, int], int]:
    """Return the shape of an image and the number of classes, of the dataset or, for user data, of the weights."""
    stem = weights.get(BACKBONE + STEMS.get(card.architecture.name, ""))
    if is_user_data(card.dataset) and stem is not None and stem.dim() == CONV:
        return (stem.shape[1], *USUAL_SIZE), len(weights[f"{HEAD}weight"])
    return dataset_of(card).sizes
