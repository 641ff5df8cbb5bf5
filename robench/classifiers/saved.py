"""Weights of a network as its card's file has them."""

import hashlib

from safetensors.torch import save
from torch import nn

from robench.classifiers.normalised import Normalised
from robench.classifiers.rejecting import without_wrapper
from robench.classifiers.sources.fitting import tensors


def inner(made: nn.Module) -> nn.Module:
    """Return the network without the normalisation before it and the logit added after it."""
    made = without_wrapper(made)
    return made.network if isinstance(made, Normalised) else made


def saved_sha256(made: nn.Module) -> str:
    """Return the SHA-256 that the weights file of a network's card has, without writing the file."""
    return hashlib.sha256(save(tensors(inner(made)))).hexdigest()
