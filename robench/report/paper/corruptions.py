"""Table 5 and appendix Tables 3 and 4: accuracy on corrupted images, and the differences that HE makes."""

from collections.abc import Iterable, Mapping, Sequence

from robench.report.corruptions import MCA, every_cell, mean_row, names_of, settings, spatial_table
from robench.report.paper.published import published
from robench.report.paper.seeds import BASES
from robench.report.paper.source import VerdictSource
from robench.report.paper.view import View
from robench.report.sweeps import Sweep, common, comparable
from robench.report.sweeps import spatial as spatial_sweeps
from robench.report.table import Table
from robench.store.corrupted import CLEAN

SHORT = {"defocus": "defocus_blur", "glass": "glass_blur", "motion": "motion_blur", "zoom": "zoom_blur",
         "elastic": "elastic_transform", "jpeg": "jpeg_compression", "mca": MCA}  # fmt: skip
"""Our names of corruptions and means, by their names in Table 5."""
PAPER = "Paper: CIFAR-10-C with WRN-34-10, trained at 8/255; freeat on ImageNet-C with ResNet-50."
SLIP = "Published slip: Table 5 exchanges defocus and glass for ALP+HE; the appendix has defocus 85.23, glass 80.87."
Verdicts = Mapping[str, Sweep]


def table5(source: VerdictSource, view: View) -> Table:
    """Corruptions, means over severities (Table 5)."""
    verdicts, others = comparable(common(source.sweeps))
    paper = {row["defense"]: {SHORT.get(k, k): v for k, v in row.items()} for row in published("table5_corruptions")}
    names = [CLEAN, MCA, *names_of(verdicts)]
    known = {defense: {name: value for name, value in row.items() if name in names} for defense, row in paper.items()}
    title = "Accuracy under corruptions (%), mean over five severities (Table 5)"
    table = Table(title, "defense", view.columns(names, known.values()), graded=names)
    for defense, sweep in verdicts.items():
        values = {name: value for name, value in mean_row(sweep).items() if name in names}
        table.add(defense, view.cells(values, known.get(defense)))
    table.notes = [*_ours(source, verdicts, others), *([PAPER] if view.against else []), SLIP]
    return table


def cells(source: VerdictSource, view: View) -> Table:
    """Every corruption and severity of every defense, with intervals."""
    verdicts, others = comparable(common(source.sweeps))
    table = every_cell(verdicts)
    table.notes = _ours(source, verdicts, others)
    return table


def cifar_cells(source: VerdictSource, view: View) -> Table:
    """Every corruption and severity on CIFAR-10 (appendix, Table 3)."""
    return _cells(source, view, "appendix_table3_cifar10c_full", "Accuracy under corruptions (%; appendix, Table 3)")


def imagenet_cells(source: VerdictSource, view: View) -> Table:
    """Every corruption and severity on ImageNet (appendix, Table 4)."""
    return _cells(source, view, "appendix_table4_imagenetc_full", "Accuracy under corruptions (%; appendix, Table 4)")


def pairs(source: VerdictSource) -> dict[str, tuple[Sweep, Sweep]]:
    """Return the comparable sweeps of each base defense and of the same defense with HE, by base."""
    verdicts, _ = comparable(common(source.sweeps))
    found = {base: (verdicts.get(base), verdicts.get(f"{base}_he")) for base in BASES}
    return {base: (plain, he) for base, (plain, he) in found.items() if plain is not None and he is not None}


def difference(pair: tuple[Sweep, Sweep], name: str, severity: int) -> float | None:
    """Return the accuracy with HE minus that of the base in points; None if a cell is missing."""
    plain, he = (sweep.cells.get((name, severity)) for sweep in pair)
    return None if plain is None or he is None else he.accuracy - plain.accuracy


def differences(source: VerdictSource, view: View) -> Table:
    """Differences, HE minus base, for every corruption and severity."""
    found = pairs(source)
    sweeps = {f"{base}{'_he' * at}": sweep for base, pair in found.items() for at, sweep in enumerate(pair)}
    degrees = sorted({severity for sweep in sweeps.values() for severity in sweep.severities})
    table = Table("Hypersphere embedding under corruptions: points, HE minus base", "corruption", [])
    table.columns = [f"{base}, {severity}" for base in found for severity in degrees]
    for name in names_of(sweeps):
        points = {f"{base}, {s}": difference(pair, name, s) for base, pair in found.items() for s in degrees}
        table.add(name, {column: f"{value:+.2f}" for column, value in points.items() if value is not None})
    table.notes = [*_ours(source, sweeps, ()), "Columns: defense and severity; positive means that HE helps."]
    return table


def spatial(source: VerdictSource, view: View) -> Table:
    """Accuracy under the worst rotation and translation."""
    verdicts, others = comparable(spatial_sweeps(source.sweeps))
    table = spatial_table(verdicts)
    table.notes = _ours(source, verdicts, others, "spatial")
    return table


def _cells(source: VerdictSource, view: View, numbers: str, title: str) -> Table:
    verdicts, _ = comparable(common(source.sweeps))
    rows = published(numbers)
    defenses = list(dict.fromkeys(row["defense"] for row in rows))
    names = [name for name in rows[0] if name not in ("defense", "severity")]
    table = Table(title, "defense, severity", view.columns(names, rows))
    for row in rows:
        defense, severity = row["defense"], int(row["severity"])
        found = verdicts[defense].cells if defense in verdicts else {}
        values = {name: found[name, severity].accuracy for name in names if (name, severity) in found}
        table.add(f"{defense}, {severity}", view.cells(values, {name: row[name] for name in names}))
    shown = {name: verdicts[name] for name in defenses if name in verdicts}
    table.notes = _ours(source, shown, [name for name in defenses if name not in shown])
    table.notes += [PAPER] if view.against else []
    return table


def _ours(source: VerdictSource, verdicts: Verdicts, lacking: Iterable[str], battery: str = "corruptions") -> list[str]:
    """Return notes on the setting of our numbers, and the command that measures the defenses in `lacking`."""
    names: Sequence[str] = list(lacking) if verdicts else ["NAME"]
    models = " ".join(f"--model {source.dataset}/{name}" for name in names)
    fill = [f"To fill the empty cells: `robench eval {models} --battery {battery}`."] if names else []
    return [f"Ours: {settings(verdicts)}", *fill] if verdicts else fill
