"""Networks: architectures, heads, loading."""

from robench.classifiers.classifier import ARCHITECTURES, Classifier, make_classifier
from robench.classifiers.heads import Constants, HypersphereHead, LinearHead
from robench.classifiers.loading import fit, load_card, load_model, read_weights, save_weights

__all__ = [
    "ARCHITECTURES",
    "Classifier",
    "Constants",
    "HypersphereHead",
    "LinearHead",
    "fit",
    "load_card",
    "load_model",
    "make_classifier",
    "read_weights",
    "save_weights",
]
