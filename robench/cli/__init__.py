"""Arguments and screens only: what a command does lives below."""

from robench.cli import (  # noqa: F401  (they register their commands)
    card,
    catalogue,
    check,
    diff,
    evaluate,
    maintain,
    report,
    reproduce,
    train,
)
from robench.cli.app import run

__all__ = ["run"]
