"""Table 5 and appendix Tables 3 and 4: accuracy on corrupted images, and what HE changes there."""

from collections.abc import Mapping, Sequence

from robench.report.corruptions import (
    CLEAN,
    MCA,
    by_cell,
    common,
    corruptions,
    every_cell,
    mean_row,
    moved,
    settings,
    severities,
)
from robench.report.paper.published import published
from robench.report.paper.seeds import BASES
from robench.report.paper.source import Source
from robench.report.paper.view import View
from robench.report.table import Table
from robench.store.corrupted import Corrupted

SHORT = {"defocus": "defocus_blur", "glass": "glass_blur", "motion": "motion_blur", "zoom": "zoom_blur",
         "elastic": "elastic_transform", "jpeg": "jpeg_compression", "mca": MCA}  # fmt: skip
"""What Table 5 calls them."""
PAPER = "Paper: CIFAR-10-C with WRN-34-10, trained at 8/255; freeat on ImageNet-C with ResNet-50."
SLIP = "Published slip: Table 5 exchanges defocus and glass for ALP+HE; the appendix has defocus 85.23, glass 80.87."
Verdicts = Mapping[str, Sequence[Corrupted]]


def table5(source: Source, view: View) -> Table:
    """Means over severities, of every defense that has verdicts."""
    verdicts = common(source.all_corrupted)
    paper = {row["defense"]: {SHORT.get(k, k): v for k, v in row.items()} for row in published("table5_corruptions")}
    names = [CLEAN, MCA, *names_of(verdicts)]
    shown = {defense: {name: value for name, value in row.items() if name in names} for defense, row in paper.items()}
    title = "Accuracy under corruptions (%), mean over five severities (Table 5)"
    table = Table(title, "defense", view.columns(names, shown.values()), graded=names)
    for defense, lines in verdicts.items():
        cells = by_cell(lines)
        table.add(defense, view.cells({CLEAN: cells[CLEAN, 0].accuracy, **mean_row(cells)}, shown.get(defense)))
    table.notes = [f"Ours: {settings(verdicts)}", *([PAPER] if view.against else []), SLIP, *_fill(source, verdicts)]
    return table


def cells(source: Source, view: View) -> Table:
    """Every corruption and severity of every defense, with its interval."""
    verdicts = common(source.all_corrupted)
    return every_cell(verdicts)


def cifar_cells(source: Source, view: View) -> Table:
    """Appendix Table 3."""
    return _cells(source, view, "appendix_table3_cifar10c_full", "Accuracy under corruptions (%; appendix, Table 3)")


def imagenet_cells(source: Source, view: View) -> Table:
    """Appendix Table 4."""
    return _cells(source, view, "appendix_table4_imagenetc_full", "Accuracy under corruptions (%; appendix, Table 4)")


def differences(source: Source, view: View) -> Table:
    """HE minus base, of every corruption and severity."""
    verdicts = common(source.all_corrupted)
    found = {name: by_cell(verdicts[name]) for base in BASES for name in (base, f"{base}_he") if name in verdicts}
    bases = [base for base in BASES if base in found and f"{base}_he" in found]
    table = Table("Hypersphere embedding under corruptions: points, HE minus base", "corruption", [])
    degrees = severities(found[bases[0]]) if bases else []
    table.columns = [f"{base}, {severity}" for base in bases for severity in degrees]
    for name in names_of(verdicts):
        values = [
            found[f"{base}_he"][name, s].accuracy - found[base][name, s].accuracy for base in bases for s in degrees
        ]
        table.add(name, dict(zip(table.columns, (f"{value:+.2f}" for value in values), strict=True)))
    table.notes = [f"Ours: {settings(verdicts)}", "Columns: defense and severity; positive means that HE helps."]
    return table


def spatial(source: Source, view: View) -> Table:
    """The worst of rotations and translations."""
    return moved(source.all_corrupted)


def names_of(verdicts: Verdicts) -> list[str]:
    """The corruptions that any defense has, in their order."""
    return corruptions(line for lines in verdicts.values() for line in lines)


def _cells(source: Source, view: View, numbers: str, title: str) -> Table:
    verdicts = common(source.all_corrupted)
    rows = published(numbers)
    names = [name for name in rows[0] if name not in ("defense", "severity")]
    table = Table(title, "defense, severity", view.columns(names, rows), graded=())
    for row in rows:
        defense, severity = row["defense"], int(row["severity"])
        found = by_cell(verdicts.get(defense, ()))
        values = {name: found[name, severity].accuracy for name in names if (name, severity) in found}
        table.add(f"{defense}, {severity}", view.cells(values, {name: row[name] for name in names}))
    shown = {row["defense"]: verdicts[row["defense"]] for row in rows if row["defense"] in verdicts}
    lacking = [defense for defense in dict.fromkeys(row["defense"] for row in rows) if defense not in shown]
    table.notes = [f"Ours: {settings(shown)}", *([PAPER] if view.against else []), *_fill(source, shown, lacking)]
    return table


def _fill(source: Source, verdicts: Verdicts, lacking: Sequence[str] = ()) -> list[str]:
    names = lacking or ([] if verdicts else ["NAME"])
    models = " ".join(f"--model {source.dataset_of_cards}/{name}" for name in names)
    return [f"To fill the empty cells: `robench eval {models} --battery corruptions`."] if names else []
