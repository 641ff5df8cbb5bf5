"""Training of defenses."""

from robench.store.log import Epoch
from robench.training.trainer import train

__all__ = ["Epoch", "train"]
