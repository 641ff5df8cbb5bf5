"""Weights from disk into networks: safely, strictly, with one sentence when something does not fit."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from robench.classifiers.classifier import Classifier, make_classifier
from robench.errors import InputError
from robench.paths import atomic_path
from robench.specs import Card, file_sha256, find_card

NAMED = 3
"""How many offending keys a message names."""


def load_model(name: str) -> Classifier:
    """A registered defense in evaluation mode, its weights checked against the card.

    Raises:
        InputError: unknown name, no weights, wrong checksum, or keys or shapes that do not fit.
    """
    return load_card(find_card(name))


def load_card(card: Card) -> Classifier:
    """The network of a card with its weights, in evaluation mode."""
    card.require_weights()
    actual = file_sha256(card.weights)
    if actual != card.sha256:
        raise InputError(
            f"'{card.weights}' has sha256 {actual[:12]}, its card says {card.sha256[:12]}: "
            f'restore the file, or if these weights are meant put sha256 = "{actual}" into the card.'
        )
    model = make_classifier(card)
    fit(model, read_weights(card.weights), str(card.weights))
    return model.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        InputError: missing, truncated, or something else under that name (a saved HTML page, say).
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        start = path.read_bytes()[:64].lstrip().lower() if path.is_file() else b""
        what = "is an HTML page, a failed download" if start.startswith(b"<") else f"cannot be read ({error})"
        raise InputError(f"weights '{path}': the file {what}; fetch or train it again.") from error


def fit(model: nn.Module, weights: dict[str, Tensor], where: str) -> None:
    """Load weights strictly.

    Raises:
        InputError: names the first missing, unexpected or misshapen keys.
    """
    own = model.state_dict()
    faults = {
        "missing": [key for key in own if key not in weights],
        "unexpected": [key for key in weights if key not in own],
        "of another shape": [key for key in own if key in weights and own[key].shape != weights[key].shape],
    }
    said = [
        f"{len(keys)} {fault} ({', '.join(keys[:NAMED])}{', ...' if len(keys) > NAMED else ''})"
        for fault, keys in faults.items()
        if keys
    ]
    if said:
        raise InputError(f"weights '{where}' do not fit the card's architecture: {'; '.join(said)}.")
    model.load_state_dict(weights)


def save_weights(model: nn.Module, path: Path) -> str:
    """Write a network's weights atomically and return the file's sha256."""
    with atomic_path(path) as temporary:
        save_file({key: value.cpu().contiguous() for key, value in model.state_dict().items()}, temporary)
    return file_sha256(path)
