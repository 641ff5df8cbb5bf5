"""The comparisons of the gate and of `robench diff`: paired verdicts, and whether a drop is chance.

All modules but `fresh`, which evaluates, never import torch.
"""

from robench.check.baseline import Baseline, Match
from robench.check.comparable import Field, differing, fields_text
from robench.check.compare import HIGHER, LOWER, REGRESSION, SAME, Cell, CellResult, compare, detectable, rule
from robench.check.diff import diff_tables
from robench.check.diff_input import DiffInput, pairs, unpaired
from robench.check.table import Commands, cell_key, gate_table
from robench.report.robustness import CLEAN, WORST

__all__ = [
    "CLEAN",
    "HIGHER",
    "LOWER",
    "REGRESSION",
    "SAME",
    "WORST",
    "Baseline",
    "Cell",
    "CellResult",
    "Commands",
    "DiffInput",
    "Field",
    "Match",
    "cell_key",
    "compare",
    "detectable",
    "diff_tables",
    "differing",
    "fields_text",
    "gate_table",
    "pairs",
    "rule",
    "unpaired",
]
