"""The common style of all plots: a light background, colour-blind safe colours, and markers in addition to colours."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

from vip5platform.report.blocks import Drawing

# The palette of Okabe and Ito, with greys.
BEST, ALIKE, LEVEL, LINE, INK, FAINT = "#c04f00", "#0072b2", "#6b7280", "#4b5563", "#1f2937", "#e5e7eb"
SERIES = ("#0072b2", "#c04f00", "#007a5a", "#a6548a", "#8a6d00", "#3a8fc4", "#1f2937")
MARKERS = "osD^vPX"
DASHES = ("--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
#: Width of a plot in inches, small enough for its text to be legible on a phone.
WIDTH = 4.3
_LONGEST = 26
_FONT: Any = {"font.size": 9.5, "font.family": "sans-serif", "svg.fonttype": "path", "axes.edgecolor": "#9ca3af"}


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of this size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)  # needed to measure text
    return figure


def style_axes(axes: Axes, title: str, grid: str = "both") -> None:
    """Apply the common style to axes and set their title."""
    axes.set_title(title, fontsize=10.5, loc="left", color=INK, weight="bold", wrap=True)
    axes.grid(axis=grid, color=FAINT, lw=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    axes.xaxis.label.set(color=INK, fontsize=9.5)
    axes.yaxis.label.set(color=INK, fontsize=9.5)


def limit_ticks(axes: Axes, along: str = "x", most: int = 4) -> None:
    """Limit the number of ticks on one axis."""
    getattr(axes, f"{along}axis").set_major_locator(MaxNLocator(most))


def set_scales(axes: Axes, along_x: Sequence[float]) -> None:
    """Few ticks, and a logarithmic x axis if the values differ by more than a factor of eight."""
    if along_x and max(along_x) > 8 * min(along_x) > 0:
        axes.set_xscale("log")
    else:
        limit_ticks(axes)
    limit_ticks(axes, "y")


def abbreviate_ticks(axes: Axes) -> None:
    """Abbreviate large tick labels: `250k`, `1.2M`."""
    for axis, end in ((axes.xaxis, axes.get_xlim()[1]), (axes.yaxis, axes.get_ylim()[1])):
        if end >= 10_000:
            axis.set_major_formatter(EngFormatter(sep=""))
            axis.set_minor_formatter(NullFormatter())


def clip_name(name: str) -> str:
    """A name cut to fit into a plot, with dollar signs escaped, as they would start a formula."""
    name = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return name.replace("$", r"\$")


Point = tuple[float, float, str]


def label_points(axes: Axes, points: Sequence[Point], colours: Sequence[str], others: Sequence[Point] = ()) -> None:
    """Label each point where the label overlaps no point (of `points` or `others`) and no other label.

    The layout is computed for this; `keep_layout` saves computing it again where nothing is added to the figure.
    """
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    assert isinstance(figure.canvas, FigureCanvasAgg)
    layout = figure.get_layout_engine()
    assert layout is not None
    layout.execute(figure)
    renderer = figure.canvas.get_renderer()
    taken = [_box(*map(float, axes.transData.transform((x, y)))) for x, y, _ in [*points, *others]]
    frame = axes.get_window_extent(renderer).bounds
    for (x, y, text), colour in zip(points, colours, strict=True):
        tries: list[tuple[float, int, Annotation, tuple[float, float, float, float]]] = []
        for dx, dy, across, up in _PLACES:
            note = axes.annotate(
                text, (x, y), (dx, dy), textcoords="offset points", ha=across, va=up, fontsize=8.5, color=colour
            )
            note.set_in_layout(False)
            left, bottom, wide, high = note.get_window_extent(renderer).bounds
            box = (left, bottom, left + wide, bottom + high)
            inside = left >= frame[0] and box[2] <= frame[0] + frame[2] + 8
            inside &= bottom >= frame[1] and box[3] <= frame[1] + frame[3] + 8
            cost = sum(_overlap(box, other) for other in taken) + (0 if inside else 1e6)
            tries.append((cost, len(tries), note, box))
            if cost == 0:
                break
        tries.sort(key=lambda one: one[:2])
        for _, _, note, _ in tries[1:]:
            note.remove()
        taken.append(tries[0][3])


def keep_layout(figure: Figure) -> None:
    """Keep the layout that `label_points` has computed: computing it takes as long as drawing the figure."""
    figure.set_layout_engine("none")


_PLACES = (
    (7, 0, "left", "center"),
    (-7, 0, "right", "center"),
    (0, 7, "center", "bottom"),
    (0, -7, "center", "top"),
    (6, 6, "left", "bottom"),
    (6, -6, "left", "top"),
    (-6, 6, "right", "bottom"),
    (-6, -6, "right", "top"),
    (0, 18, "center", "bottom"),
    (0, -18, "center", "top"),
)


def _box(x: float, y: float, half: float = 5.0) -> tuple[float, float, float, float]:
    return x - half, y - half, x + half, y + half


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)


def add_legend(figure: Figure, handles: list[Artist], columns: int = 3) -> None:
    """Add a legend below the plot, in as many columns as fit, at most so many."""
    if not handles:
        return
    for ncols in range(columns, 0, -1):
        legend = figure.legend(
            handles=handles,
            loc="outside lower left",
            ncols=ncols,
            frameon=False,
            fontsize=8.5,
            handlelength=2.2,
            columnspacing=1.2,
            labelcolor=INK,
        )
        if ncols == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def to_drawing(figure: Figure, name: str, caption: str) -> Drawing:
    """The figure as an SVG element whose ids are unique on the page.

    Args:
        figure: The figure to convert.
        name: The prefix of all ids; letters, digits and hyphens.
        caption: What the plot shows.
    """
    out = io.StringIO()
    with rc_context({**_FONT, "svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", svg)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)  # the page sets the size
    return Drawing(svg, caption)
