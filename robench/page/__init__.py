"""The report as one HTML file that works from disk, without a server or a network. Never imports torch."""

from robench.page.data import page_data
from robench.page.gallery import Clean
from robench.page.render import render

__all__ = ["Clean", "page_data", "render"]
