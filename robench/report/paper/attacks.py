"""Tables with one row per defense and one column per attack (`results/paper/tables.toml`), and Table 7."""

from robench.report.paper.published import PAPER, Layout, published
from robench.report.paper.source import VerdictSource
from robench.report.paper.training import training_cells, training_columns
from robench.report.paper.view import Value, View
from robench.report.robustness import CLEAN, WORST, cell
from robench.report.table import Table
from robench.report.worst_case import worst_case
from robench.store import Record


def accuracies(source: VerdictSource, view: View, layout: Layout) -> Table:
    """Make a declared table: clean accuracy, the paper's attacks, our attacks, and the worst case of all attacks."""
    paper = layout.rows(source.dataset)
    names = [CLEAN, *layout.attacks, *layout.also]
    table = Table(layout.title, "defense", view.columns(names, paper.values()))
    table.columns += [WORST, *(training_columns(view) if layout.training else ())]
    for defense, theirs in paper.items():
        records = {attack: source.record(defense, attack) for attack in (*layout.attacks, *layout.also)}
        found: dict[str, Record] = {attack: record for attack, record in records.items() if record is not None}
        values: dict[str, Value] = dict(found)
        if found:
            values[CLEAN] = next(iter(found.values())).clean_accuracy
        row = view.cells(values, {name: value for name, value in theirs.items() if name in names})
        if found and len(found) == len(records):
            worst = worst_case(list(found.values()))
            row[WORST] = cell(worst.robust_accuracy, worst.interval)
        if layout.training:
            row |= training_cells(source, view, defense, layout.numbers)
        table.add(defense, row)
    table.graded = [*names, WORST]
    said = "Worst case: of the attacks shown; where one is missing there is none."
    if layout.training:
        said += " Training seconds are those of the committed logs, on shared machines, pauses included."
    table.notes = [source.setting(), *paper_says(view, layout.paper), said, *layout.notes, *source.fill()]
    return table


def feature_normalisation(source: VerdictSource, view: View) -> Table:
    """Feature normalisation in the attack on a standardly trained network (Table 7)."""
    name = "accuracy"
    table = Table("Feature normalisation in the attack's objective, standardly trained network (Table 7)", "attack", [])
    rows = published("table7_fn_in_the_attack")
    table.columns = view.columns([name], rows)
    for row in rows:
        normalised = row["fn_in_objective"] == "yes"
        record = source.record("standard", f"fn-{row['attack']}" if normalised else row["attack"])
        cells = view.cells({} if record is None else {name: record}, {name: row[name]})
        table.add(f"{row['attack']}, {'with' if normalised else 'without'} FN", cells)
    table.notes = [
        source.setting(),
        *paper_says(view, PAPER),
        "The network is trained on clean images.",
        *source.fill(),
    ]
    return table


def paper_says(view: View, setting: str) -> list[str]:
    """Return the note on the setting of the published numbers, if the view shows them."""
    return [f"Paper: {setting}."] if view.against else []
