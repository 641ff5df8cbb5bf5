"""Pictures, drawn the same way every time: no time stamps, no random ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {"svg.hashsalt": "robench", "svg.fonttype": "path", "font.size": 9, "axes.spines.top": False,
         "axes.spines.right": False, "figure.dpi": 120}  # fmt: skip
MARKERS = "os^Dvx"


def lines(path: Path, x: Sequence[float], curves: Mapping[str, Sequence[float]], x_label: str, y_label: str) -> None:
    """Curves over x with a legend."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for marker, (name, values) in zip(MARKERS, curves.items(), strict=False):
            axes.plot(x, values, marker=marker, markersize=4, label=name)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        _save(figure, path)


def bars(path: Path, groups: Sequence[str], series: Mapping[str, Sequence[float]], y_label: str) -> None:
    """Bars side by side in groups, on a logarithmic axis, with a line at 1."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        width = 0.8 / len(series)
        for place, (name, values) in enumerate(series.items()):
            axes.bar(
                [at + (place - (len(series) - 1) / 2) * width for at in range(len(groups))], values, width, label=name
            )
        axes.set_xticks(range(len(groups)), groups, rotation=30, ha="right")
        axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
        axes.set_yscale("log")
        axes.set_ylabel(y_label)
        figure.legend(loc="outside upper right", ncols=len(series), frameon=False)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, metadata=metadata)
