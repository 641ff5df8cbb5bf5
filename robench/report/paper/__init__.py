"""The paper's tables, from stored verdicts, the published numbers beside them on request. Never imports torch."""

from robench.report.paper.published import PAPER, published
from robench.report.paper.source import Source
from robench.report.paper.tables import PAPER_TABLES, paper_table
from robench.report.paper.view import View

__all__ = ["PAPER", "PAPER_TABLES", "Source", "View", "paper_table", "published"]
