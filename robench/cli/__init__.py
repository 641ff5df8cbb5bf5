"""Command line: arguments and screens only; the packages below do the work."""

from robench.cli import (  # noqa: F401  (importing them registers their commands)
    card,
    catalogue,
    check,
    diff,
    evaluate,
    maintain,
    report,
    reproduce,
    train,
    verify,
)
from robench.cli.app import run

__all__ = ["run"]
