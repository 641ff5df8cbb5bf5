"""Entry point of `robench` and `python -m robench`."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from robench.cli import run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:  # before the command began, or after it ended
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
