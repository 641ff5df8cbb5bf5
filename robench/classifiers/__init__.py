"""Networks: architectures, heads, loading."""

from robench.classifiers.architectures import architecture, list_architectures
from robench.classifiers.classifier import Classifier, make_classifier
from robench.classifiers.heads import Constants, HypersphereHead, LinearHead
from robench.classifiers.sources import Loaded, resolve
from robench.classifiers.sources.card import load_card, load_model
from robench.classifiers.sources.checkpoint import read_weights
from robench.classifiers.sources.fitting import fit, save_weights

__all__ = [
    "Classifier",
    "Constants",
    "HypersphereHead",
    "LinearHead",
    "Loaded",
    "architecture",
    "fit",
    "list_architectures",
    "load_card",
    "load_model",
    "make_classifier",
    "read_weights",
    "resolve",
    "save_weights",
]
