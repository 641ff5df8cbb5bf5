"""Gradient of JPEG and of any other filter outside torch: straight through, as if the image had come back unchanged."""

from robench.classifiers.backward import rounding
from robench.classifiers.backward.carried import Gradients

BACKWARD = Gradients(
    about="images that are encoded and decoded (torchvision.io), or leave torch for PIL or NumPy and come back",
    rules=rounding.BACKWARD.rules,
    codecs=True,
)
