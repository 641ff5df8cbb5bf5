"""The report as one HTML file that works from disk without server and network. Never imports torch."""

from robench.report.page.data import page_data
from robench.report.page.gallery import Clean
from robench.report.page.render import render

__all__ = ["Clean", "page_data", "render"]
