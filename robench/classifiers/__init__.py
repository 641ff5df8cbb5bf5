"""Networks: architectures, heads, loading."""

from robench.classifiers.architectures import architecture, list_architectures
from robench.classifiers.classifier import Classifier, make_classifier
from robench.classifiers.heads import Constants, HypersphereHead, LinearHead
from robench.classifiers.sources.checkpoint import read_weights
from robench.classifiers.sources.described import load_user_network
from robench.classifiers.sources.loading import fit, load_card, load_model, save_weights

__all__ = [
    "Classifier",
    "Constants",
    "HypersphereHead",
    "LinearHead",
    "architecture",
    "fit",
    "list_architectures",
    "load_card",
    "load_model",
    "load_user_network",
    "make_classifier",
    "read_weights",
    "save_weights",
]
