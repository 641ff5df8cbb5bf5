"""Reports: stored verdicts as tables, pages and numbers that people read. Never imports torch."""

from robench.report.evaluation import AttackResult, Evaluation, evaluations_json
from robench.report.overestimate import overestimate
from robench.report.queries import accuracy_after, budget, curve, longest, queries
from robench.report.robustness import robustness
from robench.report.selection import Selection, base_name, load, select
from robench.report.table import FORMATS, Estimate, Table, csv_text, latex_document, markdown, plain, terminal
from robench.report.trust import Finding, Trust, trust
from robench.report.worst_case import WorstCase, worst_case

__all__ = [
    "FORMATS",
    "AttackResult",
    "Estimate",
    "Evaluation",
    "Finding",
    "Selection",
    "Table",
    "Trust",
    "WorstCase",
    "accuracy_after",
    "base_name",
    "budget",
    "csv_text",
    "curve",
    "evaluations_json",
    "latex_document",
    "load",
    "longest",
    "markdown",
    "overestimate",
    "plain",
    "queries",
    "robustness",
    "select",
    "terminal",
    "trust",
    "worst_case",
]
