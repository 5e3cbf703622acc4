"""Figures that touch no global state, and what all plots share: colours, markers, axes."""

import warnings
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

# Okabe and Ito (2008), safe for colour-blind readers; without yellow, which is too light, and in an
# order that keeps neighbours distinct in grey.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#D55E00", "#56B4E9", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # 8 and 7: pairs repeat after 56 lines
Axis = Literal["x", "y", "both"]


class _Figure(Figure):
    """A figure that shows its texts literally: a dollar sign starts no formula."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw without formulas, in existing texts and in those that drawing creates."""
        for text in self.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)
        with rc_context({"text.parse_math": False}), warnings.catch_warnings():
            # Names that the font or the layout cannot show.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            warnings.filterwarnings("ignore", message="constrained_layout not applied")
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
            super().draw(renderer)
        # Most of the time goes there, and a figure is saved up to four times.
        self.set_layout_engine("none")


def new_figure(width: float, height: float) -> Figure:
    """Create a figure without pyplot, which would keep it alive; width and height in inches."""
    figure = _Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Create a figure with one pair of axes; see `new_figure`."""
    figure = new_figure(width, height)
    return figure, figure.subplots()


def in_legend(name: str) -> str:
    """Pad a name that matplotlib would leave out of a legend, such as `_name`."""
    return f" {name}" if name.startswith("_") or not name else name


def look(number: int) -> dict[str, Any]:
    """Return colour and marker of a line; neighbours differ in both."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4.5,
    }


def tidy(axes: Axes, xlabel: str = "", ylabel: str = "", grid: Axis = "y") -> None:
    """Label the axes; keep only the left and bottom spines and a faint grid across one axis."""
    axes.set_xlabel(xlabel or axes.get_xlabel())
    axes.set_ylabel(ylabel or axes.get_ylabel())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
