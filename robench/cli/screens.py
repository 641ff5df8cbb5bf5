"""Output for people: consoles, plain and live progress, tables that fit the screen."""

import sys
import time
from collections.abc import Callable, Iterable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from robench.report import Table, plain, terminal
from robench.store.outcome import ORIGIN, Result

PIPE_WIDTH = 10_000
"""Width of output to a pipe, wide enough that nothing is cut."""


def output() -> Console:
    """Open standard output: rich on a terminal, plain and uncut in a pipe."""
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def errors() -> Console:
    """Open standard error, for progress and notices."""
    return Console(stderr=True, highlight=False, emoji=False, width=None if sys.stderr.isatty() else PIPE_WIDTH)


def show(table: Table, console: Console, *, wrap: bool = False) -> None:
    """Print a table and its notes: cut into blocks that fit a terminal, plain and whole in a pipe.

    Args:
        table: the table to print.
        console: the console to print on.
        wrap: wrap long cells, for prose, instead of cutting the table into blocks.
    """
    if not console.is_terminal:
        console.print(plain(table), markup=False, end="")
        return
    ways = [[table]] if wrap else [table.blocks(console.width), table.transposed().blocks(console.width)]
    for block in min(ways, key=len):
        console.print(terminal(block, wrap=wrap))
    for note in table.notes:
        console.print(note, style="dim", markup=False)


def show_all(tables: Iterable[Table]) -> None:
    """Print tables to standard output, with an empty line between two."""
    console = output()
    for place, table in enumerate(tables):
        if place:
            console.print()
        show(table, console)


class Screen:
    """Show the progress of an evaluation: a live bar on a terminal, one line per attack in a pipe."""

    def __init__(self, console: Console, model: str, begin: Callable[[], None] | None = None) -> None:
        self.console, self.model = console, model
        self.begin = begin
        """Called once, when the first attack begins or its result is found."""
        self.saved_at: tuple[str, float] | None = None
        """Name of the attack under way and the time of its last checkpoint, in seconds of the monotonic clock."""
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        if console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("robust {task.fields[robust]}"),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )

    def __enter__(self) -> "Screen":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def notice(self, text: str) -> None:
        """Print what the user should know about the network."""
        self.console.print(f"{self.model}: note: {text}", markup=False)

    def waiting(self, name: str) -> None:
        """Print that another process is making this record."""
        self.console.print(f"{self.model} {name}: another run is computing it, waiting for its result")

    def started(self, name: str, examples: int, steps: int) -> None:
        """Show that an attack begins."""
        self._begin()
        self.saved_at = None
        if self.bar:
            self.task = self.bar.add_task(f"{self.model} {name}", total=1.0, robust="...")

    def advanced(self, done: float, robust_accuracy: float) -> None:
        """Show the progress after a step."""
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done, robust=f"{robust_accuracy:.1f}%")

    def resumed(self, name: str, done: float, examples: int) -> None:
        """Print that an interrupted attack goes on."""
        self.console.print(f"{self.model} {name}: goes on where it was interrupted, at {done:.0%} of {examples} images")
        self.saved(name)

    def saved(self, name: str) -> None:
        """Remember when the attack under way was saved."""
        self.saved_at = name, time.monotonic()

    def interrupted(self) -> str:
        """Return the sentence that says what an interruption has left."""
        kept = "what was finished is kept"
        if self.saved_at is not None:
            name, then = self.saved_at
            kept += f", and {name} as it was {time.monotonic() - then:.0f} s ago"
        return f"interrupted: {kept}; the same command continues from there."

    def finished(self, result: Result) -> None:
        """Print the result of an attack on all examples."""
        self._begin()
        self.saved_at = None
        if self.bar and self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None
        record = result.record
        cost = f"{result.seconds:.1f} s" if result.source == "computed" else ORIGIN[result.source]
        self.console.print(f"{self.model} {record.header.attack.name}: {record.robust_accuracy:.2f}% robust ({cost})")

    def _begin(self) -> None:
        if self.begin is not None:
            self.begin()
            self.begin = None
