"""The paper's tables from stored verdicts, on request beside the published numbers. Never imports torch."""

from robench.report.paper.published import PAPER, published
from robench.report.paper.source import VerdictSource
from robench.report.paper.tables import PAPER_TABLES, paper_table
from robench.report.paper.view import View, has_ours

__all__ = ["PAPER", "PAPER_TABLES", "VerdictSource", "View", "has_ours", "paper_table", "published"]
