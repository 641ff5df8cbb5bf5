"""All tables that compare with the paper, by name, in the paper's order."""

from collections.abc import Callable
from dataclasses import replace

from robench.report.paper import blackbox, corruptions, gradients, seeds, training
from robench.report.paper.attacks import accuracies, feature_normalisation
from robench.report.paper.published import PaperSetting, layouts
from robench.report.paper.source import VerdictSource
from robench.report.paper.transfer import transfer
from robench.report.paper.view import PAPER as PAPER_COLUMN
from robench.report.paper.view import View
from robench.report.table import Table

Make = Callable[[VerdictSource, View], Table]


def _declared(name: str) -> Make:
    def make(source: VerdictSource, view: View) -> Table:
        return accuracies(source, view, layouts()[name])

    return make


PAPER_TABLES: dict[str, Make] = {
    "table2": _declared("table2"),
    "table3": _declared("table3"),
    "table4": _declared("table4"),
    "table5": corruptions.table5,
    "table6": _declared("table6"),
    "table7": feature_normalisation,
    "table8": _declared("table8"),
    "ablation": _declared("ablation"),
    "appendix-table1": training.scale_margin,
    "appendix-table2": _declared("appendix-table2"),
    "appendix-table3": corruptions.cifar_cells,
    "appendix-table4": corruptions.imagenet_cells,
    "transfer": transfer,
    "fig2": training.fewer_steps,
    "fig3": gradients.hard_examples,
    "seeds": seeds.seeds,
    "he-paired": seeds.paired,
    "blackbox-queries": blackbox.query_costs,
    "blackbox-curves": blackbox.curves,
    "corruption-cells": corruptions.cells,
    "corruption-differences": corruptions.differences,
    "spatial": corruptions.spatial,
}


SETTINGS = {
    "table5": PaperSetting(norm="", eps=""),
    "appendix-table3": PaperSetting(norm="", eps=""),
    "appendix-table4": PaperSetting("imagenet", "", ""),
}
"""The settings of published numbers that no layout tells, by table; all others are of the default setting."""


def paper_table(name: str, source: VerdictSource, view: View) -> Table:
    """Make one of the paper's tables; records that were missing in other tables are forgotten first.

    Differences from the published numbers are shown only if dataset, norm and eps are the same.
    """
    source.missing.clear()
    paper = layouts()[name].setting if name in layouts() else SETTINGS.get(name, PaperSetting())
    same = source.agrees(paper)
    table = PAPER_TABLES[name](source, replace(view, differences=view.differences and same))
    if view.against and not same and any(PAPER_COLUMN in column for column in table.columns):
        table.notes.append(f"No differences are shown: the published numbers are of {paper}, ours of another setting.")
    return table
