"""Table 5 and appendix Tables 3 and 4: accuracy on corrupted images, and what HE changes there."""

from collections.abc import Mapping, Sequence
from functools import partial

from robench.report import Table
from robench.report.corruptions import CLEAN, MCA, by_cell, corruptions, mean_row, settings, severities
from robench.reproduce.figures import heat
from robench.reproduce.workshop import Product, Workshop, published
from robench.specs import list_models
from robench.store.corrupted import Corrupted

BASES = ("pgdat", "alp", "trades")
SHORT = {"defocus": "defocus_blur", "glass": "glass_blur", "motion": "motion_blur", "zoom": "zoom_blur",
         "elastic": "elastic_transform", "jpeg": "jpeg_compression", "mca": MCA}  # fmt: skip
"""What Table 5 calls them."""
PAPER = "Paper: CIFAR-10-C with WRN-34-10, trained at 8/255; freeat on ImageNet-C with ResNet-50."
SLIP = "Published slip: Table 5 exchanges defocus and glass for ALP+HE; the appendix has defocus 85.23, glass 80.87."
Verdicts = Mapping[str, Sequence[Corrupted]]


def table5(shop: Workshop) -> list[Product]:
    """Means a corruption beside Table 5, all cells beside the appendix, and HE minus base as a heat map."""
    names = [name.removeprefix(f"{shop.dataset}/") for name in list_models() if name.startswith(f"{shop.dataset}/")]
    verdicts = {name: shop.corrupted(shop.card(name)) for name in names}
    return [_means(verdicts), _cells(verdicts), _differences(verdicts)]


def _means(verdicts: Verdicts) -> Product:
    paper = {row["defense"]: {SHORT.get(k, k): v for k, v in row.items()} for row in published("table5_corruptions")}
    names = [MCA, *corruptions(next(iter(verdicts.values())))]
    columns = [CLEAN]
    for name in names:
        columns += [name, f"{name} (paper)"] if any(name in row for row in paper.values()) else [name]
    table = Table("Accuracy under corruptions (%), mean over five severities (Table 5)", "defense", columns)
    for defense, lines in verdicts.items():
        cells = by_cell(lines)
        row = {CLEAN: f"{cells[CLEAN, 0].accuracy:.2f}"}
        row.update({name: f"{value:.2f}" for name, value in mean_row(cells).items()})
        row.update({f"{name} (paper)": paper[defense][name] for name in names if name in paper.get(defense, {})})
        table.add(defense, row)
    table.notes = [f"Ours: {settings(verdicts)}", PAPER, SLIP]
    return Product("table5", table)


def _cells(verdicts: Verdicts) -> Product:
    paper = {
        (row["defense"], int(row["severity"])): row
        for name in ("appendix_table3_cifar10c_full", "appendix_table4_imagenetc_full")
        for row in published(name)
    }
    names = corruptions(next(iter(verdicts.values())))
    columns = [column for name in names for column in (name, f"{name} (paper)")]
    title = "Accuracy under each corruption and severity (%; appendix, Tables 3 and 4)"
    table = Table(title, "defense, severity", columns)
    for defense, lines in verdicts.items():
        cells = by_cell(lines)
        for severity in severities(cells):
            row = {name: f"{cells[name, severity].accuracy:.2f}" for name in names}
            said = paper.get((defense, severity), {})
            row.update({f"{name} (paper)": said[name] for name in names if name in said})
            table.add(f"{defense}, {severity}", row)
    table.notes = [f"Ours: {settings(verdicts)}", PAPER]
    return Product("corruption-cells", table)


def _differences(verdicts: Verdicts) -> Product:
    names = corruptions(next(iter(verdicts.values())))
    cells = {name: by_cell(lines) for name, lines in verdicts.items()}
    degrees = severities(cells[BASES[0]])
    panels = {
        f"{base}: HE minus base": [
            [cells[f"{base}_he"][name, s].accuracy - cells[base][name, s].accuracy for s in degrees] for name in names
        ]
        for base in BASES
    }
    table = Table("Hypersphere embedding under corruptions: points, HE minus base", "corruption", [])
    table.columns = [f"{base}, {severity}" for base in BASES for severity in degrees]
    for at, name in enumerate(names):
        values = [value for panel in panels.values() for value in panel[at]]
        table.add(name, dict(zip(table.columns, (f"{value:+.2f}" for value in values), strict=True)))
    table.notes = [f"Ours: {settings(verdicts)}", "Columns: defense and severity; positive means that HE helps."]
    draw = partial(heat, panels=panels, rows=names, columns=list(map(str, degrees)), label="points", around_zero=True)
    return Product("corruption-differences", table, draw)
