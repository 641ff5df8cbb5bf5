"""Fig. 3: ratios of weight-gradient norms on adversarial and clean examples, from `robench reproduce fig3`."""

import csv
from pathlib import Path

from robench.errors import InputError
from robench.paths import results_folders
from robench.report.paper.source import VerdictSource
from robench.report.paper.view import View
from robench.report.table import Table

DEFENSES = ("pgdat", "pgdat_he")
EXAMPLES = 256
"""Number of training examples."""
COLUMNS = ("defense", "parameters", "median", "mean")


def measured(results: Path, dataset: str) -> Path:
    """Return the path of the ratios: results/<dataset>/gradients.csv, one line per defense and group of parameters."""
    return results / dataset / "gradients.csv"


def hard_examples(source: VerdictSource, view: View) -> Table:
    """E(|grad L(x*)| / |grad L(x)|) for each group of parameters, with x* from the training attack."""
    table = Table(
        "Weight-gradient norm on adversarial over clean examples (Fig. 3)",
        "parameters",
        [f"{name} {kind}" for name in DEFENSES for kind in ("median", "mean")],
    )
    rows = _rows(source)
    for group in dict.fromkeys(row["parameters"] for row in rows):
        mine = [row for row in rows if row["parameters"] == group]
        table.add(group, {f"{row['defense']} {kind}": row[kind] for row in mine for kind in ("median", "mean")})
    table.notes = [
        source.setting(),
        f"{EXAMPLES} training examples with every class in proportion; the head's bias exists without HE only.",
        "The paper prints no numbers for this figure; it reports higher ratios with HE.",
        "The mean is ruled by the few examples whose clean loss is almost zero; the picture shows the median.",
        *([] if rows else ["To fill the empty cells: `robench reproduce fig3`."]),
    ]
    return table


def _rows(source: VerdictSource) -> list[dict[str, str]]:
    for path in (measured(folder, source.dataset) for folder in reversed(results_folders(source.results))):
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            if not rows or tuple(rows[0]) != COLUMNS:
                raise InputError(f"'{path}' has other columns than {', '.join(COLUMNS)}: run `robench reproduce fig3`.")
            return rows
    return []
