"""How defenses are trained."""

from robench.training.checkpoint import Epoch
from robench.training.trainer import train

__all__ = ["Epoch", "train"]
