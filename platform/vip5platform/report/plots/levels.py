"""Plots of levels by metric."""

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
from vip5platform.report.formatting import (
    baseline_name,
    dataset_name,
    factor_names,
    format_interval,
    format_value,
    level_name,
    unit_suffix,
)
from vip5platform.report.plots.style import (
    ALIKE,
    BEST,
    DASHES,
    LEVEL,
    LINE,
    add_legend,
    clip_name,
    limit_ticks,
    new_figure,
    style_axes,
    to_drawing,
)

#: A baseline farther from the levels than this many widths of their range is in the legend but not drawn.
_FAR = 1.5


def plot_levels(study: StudyResults) -> list[Drawing]:
    """One plot per dataset and metric of the study."""
    drawings = []
    for place, group in enumerate(study.groups):
        for name in study.metrics:
            shown = [cell for cell in group.cells if cell.values(name)]
            if not shown:
                continue
            figure = new_figure(1.25 + 0.3 * len(shown))
            axes = figure.subplots()
            handles = draw_levels(axes, group, name, study)
            add_legend(figure, handles)
            where = f" on {dataset_name(group)}" if len(study.groups) > 1 else ""
            style_axes(axes, f"{metric(name).title}{unit_suffix(metric(name))}{clip_name(where)}", "x")
            axes.spines["left"].set_visible(False)
            drawings.append(to_drawing(figure, f"levels-{place}-{slug(name)}", _caption(group, name, study)))
    return drawings


def draw_levels(axes: Axes, group: DatasetResults, name: str, study: StudyResults, names: bool = True) -> list[Artist]:
    """Draw levels as points with intervals and baselines as lines; return the handles of the legend."""
    shown, found = [cell for cell in group.cells if cell.values(name)], verdict(group, name)
    places = np.arange(len(shown))[::-1]
    lows, highs = [], []
    for place, cell in zip(places, shown, strict=True):
        interval = group.interval(cell, name)
        colour, shape = colour_and_marker(cell, found, study)
        if interval.high > interval.low:
            axes.plot([interval.low, interval.high], [place, place], color=colour, lw=2, solid_capstyle="butt")
        seeds = cell.values(name)
        if len(seeds) > 1:
            axes.plot(seeds, [place] * len(seeds), "|", color=colour, ms=9, mew=1)
        axes.plot(interval.mean, place, shape, color=colour, ms=7)
        lows.append(min(value for value in (interval.low, interval.mean, *seeds) if not math.isnan(value)))
        highs.append(max(value for value in (interval.high, interval.mean, *seeds) if not math.isnan(value)))
    handles = _baseline_lines(axes, group, name, min(lows, default=0.0), max(highs, default=1.0))
    axes.set_yticks(places, [clip_name(level_name(cell, study)) for cell in shown] if names else [""] * len(shown))
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.margins(x=0.06)
    limit_ticks(axes)
    return handles


def colour_and_marker(cell: CellResults, found: Verdict, study: StudyResults) -> tuple[str, str]:
    """The colour and marker of a cell: the best, those not distinguishable from it (with several seeds), the rest."""
    if cell is found.best:
        return BEST, "D"
    return (ALIKE, "o") if cell in found.indistinguishable and found.tests and study.seeds > 1 else (LEVEL, "s")


def _baseline_lines(axes: Axes, group: DatasetResults, name: str, low: float, high: float) -> list[Artist]:
    handles: list[Artist] = []
    reach = _FAR * ((high - low) or abs(high) or 1.0)
    for dash, baseline in zip(itertools.cycle(DASHES), group.baselines, strict=False):
        value = baseline.metrics.get(name, math.nan)
        if math.isnan(value):
            continue
        far = value < low - reach or value > high + reach
        label = f"{baseline_name(baseline.name)} {format_value(value, metric(name))}" + (" (off scale)" if far else "")
        handles.append(Line2D([], [], color=LINE, ls=dash, lw=1.3, label=label))
        if not far:
            axes.axvline(value, color=LINE, ls=dash, lw=1.3)
    return handles


def _caption(group: DatasetResults, name: str, study: StudyResults) -> str:
    measure, parts = metric(name), []
    for cell in group.cells:
        if cell.values(name):
            interval = group.interval(cell, name)
            interval_text = (
                f" {format_interval(interval.low, interval.high, measure)}" if interval.high > interval.low else ""
            )
            parts.append(f"{level_name(cell, study)} {format_value(interval.mean, measure)}{interval_text}")
    return f"{metric(name).title} by {factor_names(study)}: {', '.join(parts)}"


def explain_symbols(study: StudyResults) -> str:
    """The meaning of colours and markers."""
    circles = "; blue circles: not distinguishable from it" if study.seeds > 1 else ""
    strokes = "; small strokes: single seeds" if study.seeds > 1 else ""
    return f"Orange diamond: best mean{circles}; grey squares: other levels. Bars: 95 % intervals{strokes}."


def slug(name: str) -> str:
    """A name of letters, digits and hyphens."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)
