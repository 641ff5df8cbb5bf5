"""Tables of accuracy on corrupted images: means per corruption, all cells, and rotations and translations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robench.errors import IncompleteError, unknown
from robench.report.robustness import cell
from robench.report.selection import Selection
from robench.report.sweeps import Sweep, common, in_3d
from robench.report.table import Table, html, plain
from robench.store.corrupted import CLEAN, SPATIAL, Corrupted

if TYPE_CHECKING:
    import pandas as pd

MCA, MCE = "mCA", "mCE"
MEAN = f"{MCA}: the mean over all fifteen corruptions and five severities; empty where one is missing."
MEAN_3D = (
    f"{MCA}: the mean over all twelve corruptions of ImageNet-3DCC and five severities; empty where one is missing."
)


def means(defenses: Mapping[str, Sweep]) -> Table:
    """Make a table with one row per defense: clean accuracy, the mean of each corruption, and their mean (mCA)."""
    deep = any(sweep.kind == "3d" for sweep in defenses.values())
    title = f"Accuracy under {'3D ' * deep}corruptions (%), mean over five severities"
    table = Table(title, "defense", [CLEAN, MCA, *names_of(defenses)])
    table.notes = [settings(defenses), MEAN_3D if deep else MEAN]
    if any(sweep.mean_error is not None for sweep in defenses.values()):
        table.columns.insert(2, MCE)
        table.notes.append(f"{MCE}: errors divided by AlexNet's, mean over corruptions (%); smaller is better.")
    for name, sweep in defenses.items():
        table.add(name, {column: cell(value) for column, value in mean_row(sweep).items()})
    return table


def mean_row(sweep: Sweep) -> dict[str, float]:
    """Return clean accuracy, mCA, mCE and the mean of each corruption in percent, without unknown values."""
    row = {CLEAN: sweep.clean, MCA: sweep.mca, MCE: sweep.mean_error, **sweep.means}
    return {name: value for name, value in row.items() if value is not None}


@dataclass(frozen=True)
class CorruptionReport:
    """A network's verdicts on corrupted images; accuracies in percent.

    Attributes:
        model: the name of the network.
        sweep: the verdicts.
    """

    model: str
    sweep: Sweep

    @property
    def mca(self) -> float:
        """The mean accuracy over all corruptions and severities.

        Raises:
            IncompleteError: the sweep is of rotations and translations, or incomplete.
        """
        if self.sweep.kind == "spatial":
            raise IncompleteError("rotations and translations have no severities, so no mCA: look at accuracy().")
        if self.sweep.mca is None:
            raise IncompleteError("not all fifteen corruptions were measured at five severities, so there is no mCA.")
        return self.sweep.mca

    def accuracy(self, corruption: str, severity: int = 0) -> float:
        """Return the accuracy on one corruption at one severity; `clean` and `rotation_translation` have severity 0.

        Raises:
            InputError: this corruption was not measured at this severity.
        """
        cells = self.sweep.cells
        if (corruption, severity) not in cells:
            raise unknown("corruption and severity", f"{corruption} {severity}", [f"{c} {s}" for c, s in cells])
        return cells[corruption, severity].accuracy

    def table(self) -> Table:
        """Return the table that `robench eval` shows."""
        return sweep_table({self.model: self.sweep})

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas data frame with one row per corruption and severity."""
        import pandas as pd

        return pd.DataFrame(as_json(self.sweep.lines))

    def __str__(self) -> str:
        return plain(self.table())

    def _repr_html_(self) -> str:
        """Return the table as HTML for notebooks."""
        return html(self.table())


def overview(selection: Selection) -> Table:
    """Mean accuracy under corruptions, one row per defense."""
    if defenses := common(selection.corrupted) or in_3d(selection.corrupted):
        return means(defenses)
    note = "No verdicts under corruptions: run `robench eval --model NAME --battery corruptions` first."
    return Table("Accuracy under corruptions (%)", "defense", [CLEAN, MCA], [note])


def every_cell(defenses: Mapping[str, Sweep]) -> Table:
    """Make a table with one row per defense and severity, one column per corruption, and Wilson's 95% intervals."""
    names = names_of(defenses)
    table = Table("Accuracy under corruptions (%), 95% Wilson interval", "defense, severity", names)
    for name, sweep in defenses.items():
        for severity in sweep.severities:
            found = {each: sweep.cells[each, severity] for each in names if (each, severity) in sweep.cells}
            row = {each: cell(line.accuracy, line.interval) for each, line in found.items()}
            table.add(f"{name}, {severity}", row)
    table.notes = [settings(defenses)]
    return table


def spatial_table(defenses: Mapping[str, Sweep]) -> Table:
    """Make a table with one row per defense: clean accuracy, and accuracy under the worst rotation and translation."""
    table = Table("Accuracy under rotations and translations (%), 95% Wilson interval", "defense", [CLEAN, SPATIAL])
    for name, sweep in defenses.items():
        worst = sweep.cells[SPATIAL, 0]
        clean = {} if sweep.clean is None else {CLEAN: cell(sweep.clean)}
        table.add(name, clean | {SPATIAL: cell(worst.accuracy, worst.interval)})
    table.notes = [settings(defenses)]
    return table


def sweep_table(defenses: Mapping[str, Sweep]) -> Table:
    """Make the table that fits the kind of the sweeps."""
    return (spatial_table if all(sweep.kind == "spatial" for sweep in defenses.values()) else means)(defenses)


def names_of(defenses: Mapping[str, Sweep]) -> list[str]:
    """Return the names of the corruptions that any defense has, in order."""
    return list(dict.fromkeys(name for sweep in defenses.values() for name in sweep.names))


def settings(defenses: Mapping[str, Sweep]) -> str:
    """Return a note on the images of some sweeps: dataset, origin, number, seed, and the rule that made the images.

    If the settings of defenses differ, the note names the defenses of each setting.
    """
    said: dict[str, list[str]] = {}
    for name, sweep in defenses.items():
        head = sweep.head
        what = f"{head.dataset}, {head.origin}, {head.n} examples, seed {head.seed}."
        said.setdefault(f"{what} {head.rule}".strip(), []).append(name)
    if len(said) == 1:
        return next(iter(said))
    return " ".join(f"{', '.join(names)}: {what}" for what, names in said.items())


def as_json(lines: Iterable[Corrupted] | Sequence[Corrupted]) -> list[dict[str, Any]]:
    """Return one dictionary per cell, clean first."""
    return [
        {
            "dataset": line.dataset,
            "model": line.model,
            "corruption": line.corruption,
            "severity": line.severity,
            "origin": line.origin,
            "n": line.n,
            "accuracy": round(line.accuracy, 4),
            "ci_low": round(line.interval[0], 4),
            "ci_high": round(line.interval[1], 4),
        }
        for line in lines
    ]
