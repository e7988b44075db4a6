"""A study's plots: its levels by metric."""

from __future__ import annotations

import itertools
import math

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vip5core.metrics import metric
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.analysis.verdict import Verdict, verdict
from vip5platform.report.blocks import Drawing
from vip5platform.report.formatting import dataset_name, factors, level, number, span, unit
from vip5platform.report.plots.style import (
    ALIKE,
    BEST,
    DASHES,
    LEVEL,
    LINE,
    canvas,
    clip_name,
    drawing,
    dress,
    few_ticks,
    legend,
)

#: Baselines farther from the levels than this, in widths of the levels' range, are named but not drawn.
_FAR = 1.5


def levels(study: StudyResults) -> list[Drawing]:
    """A plot for each dataset and metric of the study."""
    drawings = []
    for place, group in enumerate(study.groups):
        for name in study.metrics:
            shown = [cell for cell in group.cells if cell.values(name)]
            if not shown:
                continue
            figure = canvas(1.25 + 0.3 * len(shown))
            axes = figure.subplots()
            handles = draw_levels(axes, group, name, study)
            legend(figure, handles)
            where = f" on {dataset_name(group)}" if len(study.groups) > 1 else ""
            dress(axes, f"{metric(name).title}{unit(metric(name))}{clip_name(where)}", "x")
            axes.spines["left"].set_visible(False)
            drawings.append(drawing(figure, f"levels-{place}-{slug(name)}", _caption(group, name, study)))
    return drawings


def draw_levels(axes: Axes, group: DatasetResults, name: str, study: StudyResults, names: bool = True) -> list[Artist]:
    """Levels as points with intervals, baselines as lines. Returns what a legend needs."""
    shown, found = [cell for cell in group.cells if cell.values(name)], verdict(group, name)
    places = np.arange(len(shown))[::-1]
    lows, highs = [], []
    for place, cell in zip(places, shown, strict=True):
        interval = group.interval(cell, name)
        colour, shape = looks(cell, found, study)
        if interval.high > interval.low:
            axes.plot([interval.low, interval.high], [place, place], color=colour, lw=2, solid_capstyle="butt")
        seeds = cell.values(name)
        if len(seeds) > 1:
            axes.plot(seeds, [place] * len(seeds), "|", color=colour, ms=9, mew=1)
        axes.plot(interval.mean, place, shape, color=colour, ms=7)
        lows.append(min(value for value in (interval.low, interval.mean, *seeds) if not math.isnan(value)))
        highs.append(max(value for value in (interval.high, interval.mean, *seeds) if not math.isnan(value)))
    handles = _baseline_lines(axes, group, name, min(lows, default=0.0), max(highs, default=1.0))
    axes.set_yticks(places, [clip_name(level(cell, study)) for cell in shown] if names else [""] * len(shown))
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.margins(x=0.06)
    few_ticks(axes)
    return handles


def looks(cell: CellResults, found: Verdict, study: StudyResults) -> tuple[str, str]:
    """Colour and shape: the best, what cannot be told from it, the rest. With one seed nothing is told."""
    if cell is found.best:
        return BEST, "D"
    return (ALIKE, "o") if cell in found.alike and found.tests and study.seeds > 1 else (LEVEL, "s")


def _baseline_lines(axes: Axes, group: DatasetResults, name: str, low: float, high: float) -> list[Artist]:
    handles: list[Artist] = []
    reach = _FAR * ((high - low) or abs(high) or 1.0)
    for dash, baseline in zip(itertools.cycle(DASHES), group.baselines, strict=False):
        value = baseline.metrics.get(name, math.nan)
        if math.isnan(value):
            continue
        far = value < low - reach or value > high + reach
        label = f"{baseline.name} {number(value, metric(name))}" + (" (outside)" if far else "")
        handles.append(Line2D([], [], color=LINE, ls=dash, lw=1.3, label=label))
        if not far:
            axes.axvline(value, color=LINE, ls=dash, lw=1.3)
    return handles


def _caption(group: DatasetResults, name: str, study: StudyResults) -> str:
    how, parts = metric(name), []
    for cell in group.cells:
        if cell.values(name):
            interval = group.interval(cell, name)
            sure = f" {span(interval.low, interval.high, how)}" if interval.high > interval.low else ""
            parts.append(f"{level(cell, study)} {number(interval.mean, how)}{sure}")
    return f"{metric(name).title} by {factors(study)}: {', '.join(parts)}"


def key(study: StudyResults) -> str:
    """What colours and shapes mean."""
    told = "; blue circles: not to be told from it" if study.seeds > 1 else ""
    seeds = "; small strokes are single seeds" if study.seeds > 1 else ""
    return f"Orange diamond: the best mean{told}; grey squares: the rest. Bars are 95 % intervals{seeds}."


def slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)
