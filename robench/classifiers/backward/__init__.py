"""Gradients for parts of networks that have none (BPDA): one module for each shipped kind, each with `BACKWARD`.

Athalye, Carlini, Wagner: Obfuscated gradients give a false sense of security, ICML 2018, section 4.1.
"""

from robench.classifiers.backward.carried import Gradients
from robench.registry import Registry

GRADIENTS: Registry[Gradients] = Registry(
    "gradient", __name__, "BACKWARD", shared=("carried", "carrying", "codecs", "dual", "straight_through", "steps")
)
"""All shipped gradients."""
