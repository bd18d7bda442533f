"""How every figure looks, and how it becomes a file: no pyplot, no global state, so any thread may draw."""

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fewstep.durable import replace_file

WIDTH = 6.4
"""Inches. At a page's width a point of text is then as large as the page's own, on a phone still readable."""
DOTS_PER_INCH = 200

INK, FAINT, RULE = "#1d2126", "#6a7078", "#d9dce0"
BLUE, SKY, ORANGE, GREEN = "#0072b2", "#56b4e9", "#d55e00", "#007a5a"
"""Of Okabe and Ito's palette, which the colour-blind tell apart; the green darkened for text."""

PALETTE = (BLUE, ORANGE, GREEN, "#9a5f8a", "#b07c00", SKY, INK)
"""For lines of one figure, in order: Okabe and Ito's, the light ones darkened."""
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
"""Beside the colours, for those who do not tell them apart, and once they repeat."""


def blank(height: float) -> Figure:
    """A white figure of the common width, `height` inches high."""
    figure = Figure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes) -> None:
    """Quiet axes: left and bottom spines, faint horizontal rules, small figures."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", color=RULE, labelcolor=FAINT, labelsize=8.5)
    axes.xaxis.label.set(color=INK, size=9.5)
    axes.yaxis.label.set(color=INK, size=9.5)


def write(figure: Figure, path: Path) -> Path:
    """The figure as a PNG file, whole or not at all; a page that is being read never shows half of one."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    replace_file(path, picture.getvalue())
    return path
