"""Tables on training: time (Table 3), scale and margin (appendix, Table 1), fewer steps (Fig. 2)."""

from collections.abc import Sequence

from robench.report.paper.published import PAPER, published
from robench.report.paper.source import VerdictSource
from robench.report.paper.view import Cells, Value, View
from robench.report.robustness import CLEAN, WORST
from robench.report.table import Table
from robench.report.worst_case import worst_case
from robench.store import Record
from robench.store.log import LOG, read_log

STEPS = range(1, 8)
ATTACKS = ("pgd-20", "scaled-pgd-100", "adaptive-pgd-100")
"""The attacks under which derived defenses are compared."""
EPOCHS, SECONDS, MINUTES = "epochs", "training s", "training min (paper)"


def training_columns(view: View) -> list[str]:
    """Return the names of the columns of epochs and time, ours and, if the view shows them, the paper's."""
    return [EPOCHS, f"{EPOCHS} (paper)", SECONDS, MINUTES] if view.against else [EPOCHS, SECONDS]


def training_cells(source: VerdictSource, view: View, defense: str, numbers: str) -> Cells:
    """Return the cells of epochs and time from the card, its training log and the paper."""
    card = source.card(defense)
    if card is None or card.recipe is None:
        return {}
    row = {EPOCHS: str(card.recipe.epochs)}
    if (log := card.folder / LOG).is_file():
        row[SECONDS] = f"{sum(epoch.seconds for epoch in read_log(log)):.1f}"
    theirs = {each["defense"]: each for each in published(numbers)}[defense]
    return row | ({f"{EPOCHS} (paper)": theirs["epochs"], MINUTES: theirs["train_minutes"]} if view.against else {})


def scale_margin(source: VerdictSource, view: View) -> Table:
    """Appendix Table 1: TRADES+HE at other scales and margins."""
    names = [CLEAN, *ATTACKS]
    rows = published("appendix_table1_scale_margin")
    known = [{name: row[name] for name in names if name in row} for row in rows]
    table = Table("Scale and margin of TRADES+HE (appendix, Table 1)", "scale, margin", view.columns(names, known))
    table.columns.append(WORST)
    for row, paper in zip(rows, known, strict=True):
        name = scale_margin_name(source, float(row["scale"]), float(row["margin"]))
        table.add(f"s = {float(row['scale']):g}, m = {float(row['margin']):g}", _cells(source, view, name, paper))
    table.graded = [*names, WORST]
    table.notes = [source.setting(), *([f"Paper: {PAPER}."] if view.against else []), *_make(source, "appendix-table1")]
    return table


def scale_margin_name(source: VerdictSource, scale: float, margin: float) -> str:
    """Return the name of the defense with these constants: the registered defense, or one derived from it."""
    card = source.card("trades_he")
    declared = card is not None and (scale, margin) == (card.head.scale, card.head.margin)
    return "trades_he" if declared else f"trades_he-s{scale:g}-m{margin:g}"


def fewer_steps(source: VerdictSource, view: View) -> Table:
    """Fig. 2, left: PGD-1 to PGD-7 in training, PGD-20 at test."""
    defenses, shown = ("pgdat", "pgdat_he"), (ATTACKS[0], WORST)
    paper = {row["training"]: row["accuracy"] for row in published("fig2_fewer_steps")}

    def theirs(defense: str, steps: int) -> Cells:
        value = paper.get(f"{defense}, {steps} training steps")
        return {f"{defense} {ATTACKS[0]}": value} if value else {}

    names = [f"{defense} {kind}" for defense in defenses for kind in shown]
    table = Table(
        "Fewer steps in training (Fig. 2, left): accuracy (%) under PGD-20 and in the worst case",
        "training steps",
        view.columns(names, [theirs(defense, steps) for defense in defenses for steps in STEPS]),
    )
    for steps in STEPS:
        row: Cells = {}
        for defense in defenses:
            values = {f"{defense} {kind}": value for kind, value in values_of(source, f"{defense}-steps{steps}").items()
                      if kind in shown}  # fmt: skip
            row |= view.cells(values, theirs(defense, steps))
        table.add(str(steps), row)
    table.graded = names
    table.notes = [source.setting(), f"Worst case of {', '.join(ATTACKS)}."]
    if view.against:
        table.notes.append(f"Paper: {PAPER}; published values are read off the figure.")
    table.notes += _make(source, "fig2")
    return table


def values_of(source: VerdictSource, defense: str, attacks: Sequence[str] = ATTACKS) -> dict[str, Value]:
    """Return clean accuracy, the record of each attack, and the worst case; empty if a record is missing."""
    found = [source.record(defense, attack) for attack in attacks]
    records: list[Record] = [record for record in found if record is not None]
    if len(records) < len(found):
        return {}
    worst = worst_case(records).robust_accuracy
    return {CLEAN: records[0].clean_accuracy, **dict(zip(attacks, records, strict=True)), WORST: worst}


def _cells(source: VerdictSource, view: View, defense: str, paper: Cells) -> Cells:
    return view.cells(values_of(source, defense), paper)


def _make(source: VerdictSource, target: str) -> list[str]:
    """Return the command that fills the cells of derived defenses, if some are empty."""
    return [f"To fill the empty cells: `robench reproduce {target}`."] if source.missing else []
