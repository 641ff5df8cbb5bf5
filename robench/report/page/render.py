"""Render the page as one HTML string with style, scripts and data; a content policy forbids all requests."""

import base64
import hashlib
import json
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    "dom", "bits", "stats", "table", "overview", "leaderboard", "chart", "heat", "gallery", "specs", "diagnostics",
    "defense", "compare", "main",
)  # fmt: skip
"""The scripts in the order of their dependencies; they share one scope."""


def render(data: dict[str, Any]) -> str:
    """Return the page as HTML; the same data give the same text."""
    style, script = asset("page.css"), _script()
    parts = {
        "title": escape(_title(data)),
        "policy": _policy(style, script),
        "style": style,
        "script": script,
        # A script element can only be ended early by `<`.
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], asset("page.html"))


@cache
def asset(name: str) -> str:
    """Read a file that is part of every page."""
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    body = "\n".join(asset(f"{name}.js") for name in SCRIPTS)
    return f'\n"use strict";\n(() => {{\n{body}}})();\n'


def _policy(style: str, script: str) -> str:
    """Return a content security policy that allows exactly this style, this script and images inside the page."""
    return f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}"


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _title(data: dict[str, Any]) -> str:
    names = list(dict.fromkeys(defense["name"] for defense in data["defenses"]))
    what = names[0] if len(names) == 1 else f"{len(names)} defenses"
    return f"Robustness of {what}"
