"""Accuracy on corrupted images: means a corruption, every cell, and the worst of rotations and translations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from robench.errors import IncompleteError, unknown
from robench.report.formats import html, plain
from robench.report.robustness import cell
from robench.report.selection import Selection
from robench.report.table import Table
from robench.specs.corruption import declared
from robench.store.corrupted import Corrupted

if TYPE_CHECKING:
    import pandas as pd

CLEAN, MCA, MCE = "clean", "mCA", "mCE"
SPATIAL = "rotation_translation"
IMAGENET = "imagenet"
Cells = dict[tuple[str, int], Corrupted]


def means(defenses: Mapping[str, Sequence[Corrupted]]) -> Table:
    """One row a defense: clean accuracy, each corruption's mean over its severities, and the mean of those (mCA)."""
    names = corruptions(line for lines in defenses.values() for line in lines)
    table = Table("Accuracy under corruptions (%), mean over five severities", "defense", [CLEAN, MCA, *names])
    table.notes = [settings(defenses), f"{MCA}: the mean over all {len(names)} corruptions and five severities."]
    errors = {name: error for name, lines in defenses.items() if (error := mean_error(by_cell(lines))) is not None}
    if errors:
        table.columns.insert(2, MCE)
        table.notes.append(f"{MCE}: errors divided by AlexNet's, mean over corruptions (%); smaller is better.")
    for name, lines in defenses.items():
        cells = by_cell(lines)
        row = {CLEAN: cell(cells[CLEAN, 0].accuracy), **{k: cell(v) for k, v in mean_row(cells).items()}}
        table.add(name, row | ({MCE: cell(errors[name])} if name in errors else {}))
    return table


@dataclass(frozen=True)
class CorruptionReport:
    """A network's verdicts on corrupted images; accuracies in percent.

    Attributes:
        model: its name.
        lines: one a corruption and severity, the clean split first.
    """

    model: str
    lines: tuple[Corrupted, ...]

    @property
    def mca(self) -> float:
        """The mean over all corruptions and severities.

        Raises:
            IncompleteError: rotations and translations have none.
        """
        cells = by_cell(self.lines)
        if not severities(cells):
            raise IncompleteError("rotations and translations have no severities, so no mCA: look at accuracy().")
        return mean_row(cells)[MCA]

    def accuracy(self, corruption: str, severity: int = 0) -> float:
        """Of one corruption at one severity; `clean` and `rotation_translation` have severity 0.

        Raises:
            InputError: it was not measured.
        """
        cells = by_cell(self.lines)
        if (corruption, severity) not in cells:
            raise unknown("corruption and severity", f"{corruption} {severity}", [f"{c} {s}" for c, s in cells])
        return cells[corruption, severity].accuracy

    def table(self) -> Table:
        """As `robench eval` shows it."""
        severe = severities(by_cell(self.lines))
        return (means if severe else moved)({self.model: self.lines})

    def to_frame(self) -> "pd.DataFrame":
        """One row a corruption and severity (pandas)."""
        import pandas as pd

        return pd.DataFrame(as_json(self.lines))

    def __str__(self) -> str:
        return plain(self.table())

    def _repr_html_(self) -> str:
        """For notebooks."""
        return html(self.table())


def overview(selection: Selection) -> Table:
    """The means of the defenses of a selection; says how to get them where there are none."""
    defenses = common(selection.corrupted)
    if defenses:
        return means(defenses)
    note = "No verdicts under corruptions: run `robench eval --model NAME --battery corruptions` first."
    return Table("Accuracy under corruptions (%)", "defense", [CLEAN, MCA], [note])


def every_cell(defenses: Mapping[str, Sequence[Corrupted]]) -> Table:
    """One row a defense and severity, one column a corruption, with Wilson's 95% interval."""
    names = corruptions(line for lines in defenses.values() for line in lines)
    table = Table("Accuracy under corruptions (%), 95% Wilson interval", "defense, severity", names)
    for name, lines in defenses.items():
        cells = by_cell(lines)
        for severity in severities(cells):
            table.add(
                f"{name}, {severity}",
                {c: cell(found.accuracy, found.interval) for c in names if (found := cells.get((c, severity)))},
            )
    table.notes = [settings(defenses)]
    return table


def moved(defenses: Mapping[str, Sequence[Corrupted]]) -> Table:
    """One row a defense: clean accuracy, and what is left under the worst rotation and translation."""
    table = Table("Accuracy under rotations and translations (%), 95% Wilson interval", "defense", [CLEAN, SPATIAL])
    measured: dict[str, list[Corrupted]] = {}
    for name, lines in defenses.items():
        cells = by_cell(lines)
        if (worst := cells.get((SPATIAL, 0))) is not None:
            measured[name] = [worst]
            table.add(name, {CLEAN: cell(cells[CLEAN, 0].accuracy), SPATIAL: cell(worst.accuracy, worst.interval)})
    table.notes = [settings(measured)]
    return table


def common(defenses: Mapping[str, Sequence[Corrupted]]) -> dict[str, list[Corrupted]]:
    """Verdicts on the clean split and the common corruptions: the published ones where a defense has both kinds."""
    found = {}
    for name, lines in defenses.items():
        if origins := {line.origin for line in lines if line.severity}:
            origin = "published" if "published" in origins else "generated"
            found[name] = [line for line in lines if line.corruption != SPATIAL and line.origin == origin]
    return found


def by_cell(lines: Iterable[Corrupted]) -> Cells:
    """Lines by corruption and severity."""
    return {(line.corruption, line.severity): line for line in lines}


def corruptions(lines: Iterable[Corrupted]) -> list[str]:
    """The names of those that have severities, in the order of the lines."""
    return list(dict.fromkeys(line.corruption for line in lines if line.severity))


def severities(cells: Cells) -> list[int]:
    """From 1 on."""
    return sorted({severity for _, severity in cells} - {0})


def mean_row(cells: Cells) -> dict[str, float]:
    """The mCA and each corruption's mean accuracy, in percent."""
    found = {
        name: fmean(line.accuracy for (corruption, _), line in cells.items() if corruption == name)
        for name in corruptions(cells.values())
    }
    return {MCA: fmean(found.values()), **found}


def mean_error(cells: Cells) -> float | None:
    """The mean corruption error (Hendrycks & Dietterich 2019, Sec. 4), in percent; None where AlexNet's is not known.

    It is known for ImageNet-C as published, and for all fifteen corruptions together.
    """
    if any((line.dataset, line.origin) != (IMAGENET, "published") for line in cells.values()):
        return None
    means, reference = mean_row(cells), {each.name: each.alexnet for each in declared().values() if each.alexnet}
    if means.keys() - {MCA} != reference.keys():
        return None
    return fmean(100.0 * (100.0 - means[name]) / error for name, error in reference.items())


def settings(defenses: Mapping[str, Sequence[Corrupted]]) -> str:
    """What was measured: images, who corrupted them, how many, seed, and the rule they were made by."""
    lines = [line for found in defenses.values() for line in found]
    said = dict.fromkeys(f"{line.dataset}, {line.origin}, {line.n} examples, seed {line.seed}." for line in lines)
    rules = dict.fromkeys(line.rule for line in lines if line.rule)
    return " ".join([*said, *rules])


def as_json(lines: Iterable[Corrupted]) -> list[dict[str, Any]]:
    """One dictionary a cell, clean first."""
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
