"""The gate's verdict as JUnit XML: one suite per defense, one case per cell."""

from collections.abc import Sequence
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from robench.check.compare import REGRESSION, CellResult
from robench.check.table import Commands, cell_key, ids_text, sentence
from robench.paths import atomic_path

NAME = "robench check"


def write_junit(path: Path, cell_results: Sequence[CellResult], commands: Commands) -> None:
    """Write all cells; a regression is a failure with all its flipped examples and the command that reproduces it."""
    suites: dict[str, TestSuite] = {}
    for result in cell_results:
        suite = suites.setdefault(result.cell.model, TestSuite(result.cell.model))
        suite.add_testcase(_case(result, commands))
    _write(path, list(suites.values()))


def write_refusal(path: Path, reason: str) -> None:
    """Write an error instead of cells, so that a report does not show the verdict of an earlier run."""
    suite, case = TestSuite(NAME), TestCase("comparable", NAME)
    case.result = [Error(reason, "incomplete")]
    suite.add_testcase(case)
    _write(path, [suite])


def _case(result: CellResult, commands: Commands) -> TestCase:
    cell = result.cell
    case = TestCase(cell.name, cell.model)
    flips = f"lost {ids_text(cell.lost)}\ngained {ids_text(cell.gained)}\n"
    if result.verdict == REGRESSION:
        failure = Failure(sentence(result), REGRESSION)
        failure.text = f"{flips}{commands[cell_key(cell)]}\n"
        case.result = [failure]
    else:
        case.system_out = f"{sentence(result)}\n{flips}"
    return case


def _write(path: Path, suites: list[TestSuite]) -> None:
    document = JUnitXml(NAME)
    for suite in suites:
        document.add_testsuite(suite)
    document.update_statistics()
    with atomic_path(path) as temporary:
        document.write(str(temporary), pretty=True)
