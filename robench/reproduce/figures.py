"""Drawing of pictures that are the same every time, without time stamps and random ids."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

STYLE: dict[Any, Any] = {"svg.hashsalt": "robench", "svg.fonttype": "path", "font.size": 9, "axes.spines.top": False,
         "axes.spines.right": False, "figure.dpi": 120}  # fmt: skip
MARKERS = "os^Dvx"
SHORT = 3
"""Largest number of letters of a label that is not tilted."""
STROKES: tuple[Literal["-", "--"], ...] = ("-", "--")
Curve = tuple[Sequence[float], Sequence[float]]
"""The x and the y values of a curve."""


def lines(path: Path, x: Sequence[float], curves: Mapping[str, Sequence[float]], x_label: str, y_label: str) -> None:
    """Draw curves over x with a legend."""
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
    """Draw groups of bars on a logarithmic axis, with a line at 1."""
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


def heat(
    path: Path,
    panels: Mapping[str, Sequence[Sequence[float]]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str = "robust accuracy (%)",
    x_label: str = "",
    starred: Collection[tuple[int, int]] = (),
    around_zero: bool = False,
) -> None:
    """Draw matrices next to each other on one colour scale, each cell with its number, the starred cells with a star.

    If `around_zero`, zero is the middle of the colour scale.
    """
    values = [value for matrix in panels.values() for row in matrix for value in row]
    most = max(map(abs, values))
    low, high = (-most, most) if around_zero else (min(values), max(values))
    with mpl.rc_context({**STYLE, "axes.spines.left": False, "axes.spines.bottom": False}):
        width = max(3.6, 0.6 * len(columns))
        figure = Figure(figsize=(1.2 + width * len(panels), 1.2 + 0.4 * len(rows)), layout="constrained")
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (name, matrix) in zip(every, panels.items(), strict=True):
            image = axes.imshow(matrix, vmin=low, vmax=high, cmap="RdBu" if around_zero else "viridis", aspect="auto")
            axes.set_title(name)
            axes.set_xlabel(x_label)
            tilt = {"rotation": 30, "ha": "right"} if max(map(len, columns)) > SHORT else {}
            axes.set_xticks(range(len(columns)), columns, **tilt)
            axes.set_yticks(range(len(rows)), rows)
            for i, row in enumerate(matrix):
                for j, value in enumerate(row):
                    dark = abs(value) > 0.6 * most if around_zero else value < (low + high) / 2
                    text = f"{value:{'+' if around_zero else ''}.1f}{'*' * ((i, j) in starred)}"
                    axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
        figure.colorbar(image, ax=every, label=label)
        _save(figure, path)


def falls(
    path: Path,
    panels: Mapping[str, Mapping[str, Sequence[Curve]]],
    kinds: Sequence[str],
    x_label: str,
    y_label: str,
) -> None:
    """Draw panels of step functions over a logarithmic axis: one colour per name, solid and dashed per kind."""
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 2.4 * len(panels), 3.6), layout="constrained")
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, curves) in zip(every, panels.items(), strict=True):
            for name, pair in curves.items():
                for style, (x, y) in zip(STROKES, pair, strict=True):
                    axes.step(x, y, style, where="post", color=f"C{names.index(name)}", linewidth=1.3)
            axes.set(title=title, xlabel=x_label, xscale="log")
            axes.grid(alpha=0.3)
        every[0].set_ylabel(y_label)
        keys = [Line2D([], [], color=f"C{place}", label=name) for place, name in enumerate(names)]
        keys += [
            Line2D([], [], color="grey", linestyle=style, label=kind)
            for style, kind in zip(STROKES, kinds, strict=True)
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), frameon=False)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, metadata=metadata)
