"""Annotations of a run and the summary of a step in GitHub Actions.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from robench.check.compare import CellResult
from robench.check.table import regressions, sentence
from robench.errors import InputError
from robench.report import Table, markdown

ACTIONS, SUMMARY = "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"
TITLE = "robench check"


def present(environment: Mapping[str, str]) -> bool:
    """Tell whether the command runs in a workflow."""
    return environment.get(ACTIONS) == "true"


def annotations(cell_results: Sequence[CellResult]) -> Iterator[str]:
    """Yield one error per defense that failed: its regression with the smallest p value, and the number of others.

    GitHub shows at most ten annotations per step, so there is not one per cell.
    """
    failed: dict[str, list[CellResult]] = {}
    for result in regressions(cell_results):
        failed.setdefault(result.cell.model, []).append(result)
    for model, mine in failed.items():
        more = f"; {len(mine) - 1} more of its cells regressed" if len(mine) > 1 else ""
        yield error(f"{sentence(mine[0])}{more}.", f"{TITLE}: {model}")


def error(message: str, title: str = TITLE) -> str:
    """Return a workflow command that annotates the run with an error."""
    return f"::error title={_escaped(title, ':,')}::{_escaped(message)}"


def add_summary(environment: Mapping[str, str], table: Table) -> None:
    """Append a table to the step's summary, if the step has one.

    Raises:
        InputError: the summary file cannot be written.
    """
    add_text(environment, markdown(table))


def add_text(environment: Mapping[str, str], text: str) -> None:
    """Append text to the step's summary, if the step has one.

    Raises:
        InputError: the summary file cannot be written.
    """
    if not environment.get(SUMMARY):
        return
    try:
        with Path(environment[SUMMARY]).open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
    except OSError as fault:
        raise InputError(
            f"{SUMMARY}, '{environment[SUMMARY]}', cannot be written ({fault.strerror}): mend or unset it."
        ) from fault


def _escaped(text: str, also: str = "") -> str:
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
