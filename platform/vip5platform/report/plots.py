"""A study's plots: levels by metric, quality against cost, and the order of the levels from dataset to dataset."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import rankdata

from vip5core.errors import UserError
from vip5core.metrics.table import metric
from vip5platform.evidence import Cell, Evidence, Group
from vip5platform.report.blocks import Drawing
from vip5platform.report.names import dataset_name, factors, level, number, span, title, unit
from vip5platform.report.style import (
    ALIKE,
    BEST,
    DASHES,
    INK,
    LEVEL,
    LINE,
    SERIES,
    canvas,
    clipped,
    drawing,
    dress,
    few_ticks,
    label_points,
    legend,
    short_numbers,
)
from vip5platform.report.verdict import Verdict, verdict
from vip5platform.statistics import rank_agreement

#: What quality is set against, where levels differ in it.
_COSTS = ("cost/train_seconds", "model/trainable_parameters", "cost/peak_memory_mb")
#: Costs that differ by less than this factor are not drawn: much of that is the machine's mood.
_DIFFER = 1.05
#: Baselines farther from the levels than this, in widths of the levels' range, are named but not drawn.
_FAR = 1.5


def levels(evidence: Evidence) -> list[Drawing]:
    """A plot for each dataset and metric of the study."""
    drawings = []
    for place, group in enumerate(evidence.groups):
        for name in evidence.metrics:
            shown = [cell for cell in group.cells if cell.values(name)]
            if not shown:
                continue
            figure = canvas(1.25 + 0.3 * len(shown))
            axes = figure.subplots()
            handles = draw_levels(axes, group, name, evidence)
            legend(figure, handles)
            where = f" on {dataset_name(group)}" if len(evidence.groups) > 1 else ""
            dress(axes, f"{title(name)}{unit(metric(name))}{clipped(where)}", "x")
            axes.spines["left"].set_visible(False)
            drawings.append(drawing(figure, f"levels-{place}-{_slug(name)}", _caption(group, name, evidence)))
    return drawings


def draw_levels(axes: Axes, group: Group, name: str, evidence: Evidence, names: bool = True) -> list[Artist]:
    """Levels as points with intervals, baselines as lines. Returns what a legend needs."""
    shown, found = [cell for cell in group.cells if cell.values(name)], verdict(group, name)
    places = np.arange(len(shown))[::-1]
    lows, highs = [], []
    for place, cell in zip(places, shown, strict=True):
        interval = group.interval(cell, name)
        colour, shape = looks(cell, found, evidence)
        if interval.high > interval.low:
            axes.plot([interval.low, interval.high], [place, place], color=colour, lw=2, solid_capstyle="butt")
        seeds = cell.values(name)
        if len(seeds) > 1:
            axes.plot(seeds, [place] * len(seeds), "|", color=colour, ms=9, mew=1)
        axes.plot(interval.mean, place, shape, color=colour, ms=7)
        lows.append(min(value for value in (interval.low, interval.mean, *seeds) if not math.isnan(value)))
        highs.append(max(value for value in (interval.high, interval.mean, *seeds) if not math.isnan(value)))
    handles = _baseline_lines(axes, group, name, min(lows, default=0.0), max(highs, default=1.0))
    axes.set_yticks(places, [clipped(level(cell, evidence)) for cell in shown] if names else [""] * len(shown))
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.margins(x=0.06)
    few_ticks(axes)
    return handles


def looks(cell: Cell, found: Verdict, evidence: Evidence) -> tuple[str, str]:
    """Colour and shape: the best, what cannot be told from it, the rest. With one seed nothing is told."""
    if cell is found.best:
        return BEST, "D"
    return (ALIKE, "o") if cell in found.alike and found.tests and evidence.seeds > 1 else (LEVEL, "s")


def _baseline_lines(axes: Axes, group: Group, name: str, low: float, high: float) -> list[Artist]:
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


def _caption(group: Group, name: str, evidence: Evidence) -> str:
    how, parts = metric(name), []
    for cell in group.cells:
        if cell.values(name):
            interval = group.interval(cell, name)
            sure = f" {span(interval.low, interval.high, how)}" if interval.high > interval.low else ""
            parts.append(f"{level(cell, evidence)} {number(interval.mean, how)}{sure}")
    return f"{title(name)} by {factors(evidence)}: {', '.join(parts)}"


def key(evidence: Evidence) -> str:
    """What colours and shapes mean."""
    told = "; blue circles: not to be told from it" if evidence.seeds > 1 else ""
    seeds = "; small strokes are single seeds" if evidence.seeds > 1 else ""
    return f"Orange diamond: the best mean{told}; grey squares: the rest. Bars are 95 % intervals{seeds}."


def costs(evidence: Evidence) -> list[Drawing]:
    """Quality against each cost in which levels differ; with several datasets, of the first metric."""
    drawings = []
    for place, group in enumerate(evidence.groups):
        for name in evidence.metrics if len(evidence.groups) == 1 else evidence.metrics[:1]:
            for cost in _COSTS:
                shown = [cell for cell in group.cells if cell.values(name) and cell.values(cost)]
                means = [cell.mean(cost) for cell in shown]
                if cost == name or len(shown) < 2 or max(means) < _DIFFER * min(means):
                    continue
                where = f" on {clipped(dataset_name(group))}" if len(evidence.groups) > 1 else ""
                figure = _against(shown, group, name, cost, where, evidence)
                caption = f"{title(name)} against {title(cost)}{where}"
                drawings.append(drawing(figure, f"cost-{place}-{_slug(name)}-{_slug(cost)}", caption))
    return drawings


def _against(shown: Sequence[Cell], group: Group, name: str, cost: str, where: str, evidence: Evidence) -> Figure:
    figure, found = canvas(2.9), verdict(group, name)
    axes = figure.subplots()
    points, colours = [], []
    for cell in shown:
        colour, shape = looks(cell, found, evidence)
        interval, x = group.interval(cell, name), cell.mean(cost)
        if interval.high > interval.low:
            axes.plot([x, x], [interval.low, interval.high], color=colour, lw=1.2, alpha=0.45)
        axes.plot(x, interval.mean, shape, color=colour, ms=7)
        points.append((x, interval.mean, clipped(level(cell, evidence))))
        colours.append(colour if colour != LEVEL else INK)
    values = [x for x, _, _ in points]
    if max(values) > 8 * min(values) > 0:
        axes.set_xscale("log")
    else:
        few_ticks(axes)
    few_ticks(axes, "y")
    axes.margins(x=0.22, y=0.12)
    dress(axes, f"{title(name)}{unit(metric(name))}{where}")
    axes.set_xlabel(f"{title(cost)}{unit(metric(cost))}")
    short_numbers(axes)
    label_points(axes, points, colours)
    return figure


def ranks(evidence: Evidence) -> list[Drawing]:
    """The levels' places on each dataset, and whether datasets agree on them."""
    if len(evidence.groups) < 2:
        return []
    drawings = []
    for name in evidence.metrics:
        having = [group for group in evidence.groups if any(cell.values(name) for cell in group.cells)]
        means = [
            {level(cell, evidence): cell.mean(name) for cell in group.cells if cell.values(name)} for group in having
        ]
        shared = [text for text in (means[0] if means else {}) if all(text in other for other in means)]
        if len(having) < 2 or len(shared) < 2:
            continue
        sign = -1 if metric(name).higher_is_better else 1
        places = np.array([rankdata([sign * of[text] for text in shared]) for of in means])
        figure = canvas(1.5 + 0.28 * len(shared))
        axes = figure.subplots()
        for line, (text, colour) in enumerate(zip(shared, itertools.cycle(SERIES), strict=False)):
            axes.plot(places[:, line], "o-", color=colour, ms=6, lw=1.6)
            axes.annotate(
                clipped(text),
                (len(having) - 1, places[-1, line]),
                (8, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=colour,
                annotation_clip=False,
            )
        axes.set_xticks(range(len(having)), [clipped(dataset_name(group)) for group in having])
        axes.set_xlim(-0.2, len(having) - 0.5)
        axes.set_yticks(range(1, len(shared) + 1))
        axes.invert_yaxis()
        agreement = agreements(evidence, name)
        dress(axes, f"{title(name)}: place of each level", "y")
        few_ticks(axes, "y", 8) if len(shared) > 8 else None
        axes.set_xlabel(agreement[0] if len(agreement) == 1 else "")
        drawings.append(drawing(figure, f"ranks-{_slug(name)}", f"{title(name)}: {'; '.join(agreement)}"))
    return drawings


def agreements(evidence: Evidence, name: str) -> list[str]:
    """Kendall's tau of every two datasets, in words."""
    said = []
    for first, second in itertools.combinations(evidence.groups, 2):
        means = [
            {level(cell, evidence): cell.mean(name) for cell in group.cells if cell.values(name)}
            for group in (first, second)
        ]
        try:
            tau, p = rank_agreement(*means)
        except UserError:
            continue
        if not math.isnan(tau):
            pair = f"{dataset_name(first)} and {dataset_name(second)}"
            said.append(f"{pair}: Kendall's tau {f'{tau:.2f}'.replace('-', '−')} (p = {p:.2f})")
    return said


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)
