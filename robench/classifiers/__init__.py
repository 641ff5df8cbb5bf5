"""Networks: architectures, heads, loading."""

from robench.classifiers.architectures import architecture, list_architectures
from robench.classifiers.checkpoint import read_weights
from robench.classifiers.classifier import Classifier, make_classifier
from robench.classifiers.heads import Constants, HypersphereHead, LinearHead
from robench.classifiers.loading import fit, load_card, load_model, save_weights
from robench.classifiers.own import load_own

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
    "load_own",
    "make_classifier",
    "read_weights",
    "save_weights",
]
