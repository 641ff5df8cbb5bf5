"""Mistakes in the use of the command line, as one sentence."""

from typing import Any

from typer.exceptions import TyperException

NUMBERS = {
    "Input should be a valid integer, unable to parse string as an integer": "give a whole number",
    "Input should be a valid number, unable to parse string as a number": "give a number",
}
"""The parser's words for what is no number, and shorter ones."""
CHOSEN_BY = {"--name": "networks are chosen by --model", "--attacks": "attacks are chosen by --attack"}
"""Hints about options that one command has and others are asked for."""


def help_of(error: TyperException) -> str | None:
    """Return the help text that stands for an error, if a group of commands was named without a command."""
    return error.format_message() if type(error).__name__ == "NoArgsIsHelpError" else None


def sentence(error: TyperException) -> str:
    """Return what is wrong and where the options are explained."""
    context: Any = getattr(error, "ctx", None)
    command = "robench" if context is None else _command(context)
    if help_of(error) is not None:
        return f"`{command}` needs a command: name one of those above."
    said = " ".join(error.format_message().replace("Value error, ", "").split())
    for words, shorter in NUMBERS.items():
        said = said.replace(words, shorter)
    hint = CHOSEN_BY.get(getattr(error, "option_name", ""), "") if said.startswith("No such option") else ""
    said = said.replace(". Did you mean ", ", did you mean ").replace(". Choose from: ", ", choose from ")
    said = said.rstrip(".?") + (f", {hint}" if hint else "")
    return f"{said}: see `{command} --help`."


def _command(context: Any) -> str:
    """Return the words of a command, such as `robench card init`."""
    words = []
    while context.parent is not None:
        words.append(context.info_name)
        context = context.parent
    return " ".join(["robench", *reversed(words)])
