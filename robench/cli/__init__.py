"""Arguments and screens only: what a command does lives below."""

from robench.cli import catalogue, evaluate, maintain, report, reproduce, train  # noqa: F401  (they register their commands)
from robench.cli.app import run

__all__ = ["run"]
