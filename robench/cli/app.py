"""The command line's frame: one application, exit codes, one sentence for every error."""

import os
import sys
import traceback
from importlib.metadata import version
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from robench.cli.usage import help_of, sentence
from robench.errors import RobenchError

INTERRUPTED = 130
INTERNAL = 4

app = typer.Typer(
    name="robench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    cls=TyperGroup,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"robench {version('robench')}")
        raise typer.Exit


@app.callback()
def main(
    version_: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Evaluate the robustness of trained defenses; every counted example is judged again."""


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = app(arguments, standalone_mode=False)
    except SystemExit:  # raised by the argument parser if the output pipe is closed
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        return 0
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except TyperException as error:
        if (text := help_of(error)) is not None:
            typer.echo(text)
        return _say(sentence(error), 2)
    except RobenchError as error:
        return _say(str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001  (last resort: the error is shown in full)
        traceback.print_exc()
        return _say(f"internal fault ({type(error).__name__}); please report it with the lines above.", INTERNAL)
    if code == INTERRUPTED:
        return _say("interrupted: what was finished is kept; the same command continues from there.", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _say(message: str, code: int) -> int:
    print(f"robench: {message}", file=sys.stderr)  # noqa: T201
    return code
