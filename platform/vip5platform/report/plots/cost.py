"""Plots of quality against cost."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from vip5core.metrics import metric, pareto_front
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.analysis.verdict import verdict
from vip5platform.report.blocks import Drawing
from vip5platform.report.formatting import dataset_name, level_name, unit_suffix
from vip5platform.report.plots.levels import colour_and_marker, slug
from vip5platform.report.plots.style import (
    INK,
    LEVEL,
    abbreviate_ticks,
    clip_name,
    keep_layout,
    label_points,
    new_figure,
    set_scales,
    style_axes,
    to_drawing,
)

#: The costs on the horizontal axis.
_COSTS = ("cost/train_seconds", "model/trainable_parameters", "cost/peak_memory_mb")
#: Costs that differ by less than this factor are not plotted, because much of that is measurement noise.
_DIFFER = 1.05
#: Up to so many points are all labelled.
_NAMED = 8


def plot_costs(study: StudyResults) -> list[Drawing]:
    """Quality against each cost in which levels differ; the first metric only if there are several datasets."""
    drawings = []
    for place, group in enumerate(study.groups):
        for name in study.metrics if len(study.groups) == 1 else study.metrics[:1]:
            for cost in _COSTS:
                shown = [cell for cell in group.cells if cell.values(name) and cell.values(cost)]
                means = [cell.mean(cost) for cell in shown]
                if cost == name or len(shown) < 2 or max(means) < _DIFFER * min(means):
                    continue
                where = f" on {clip_name(dataset_name(group))}" if len(study.groups) > 1 else ""
                figure = _draw_cost(shown, group, name, cost, where, study)
                caption = f"{metric(name).title} against {metric(cost).title}{where}"
                drawings.append(to_drawing(figure, f"cost-{place}-{slug(name)}-{slug(cost)}", caption))
    return drawings


def _draw_cost(
    shown: Sequence[CellResults], group: DatasetResults, name: str, cost: str, where: str, study: StudyResults
) -> Figure:
    figure, found = new_figure(2.9), verdict(group, name)
    axes = figure.subplots()
    points, colours = [], []
    for cell in shown:
        colour, shape = colour_and_marker(cell, found, study)
        interval, x = group.interval(cell, name), cell.mean(cost)
        if interval.high > interval.low and len(shown) <= _NAMED:
            axes.plot([x, x], [interval.low, interval.high], color=colour, lw=1.2, alpha=0.45)
        axes.plot(x, interval.mean, shape, color=colour, ms=7)
        points.append((x, interval.mean, clip_name(level_name(cell, study))))
        colours.append(colour if colour != LEVEL else INK)
    set_scales(axes, [x for x, _, _ in points])
    axes.margins(x=0.22, y=0.12)
    style_axes(axes, f"{metric(name).title}{unit_suffix(metric(name))}{where}")
    axes.set_xlabel(f"{metric(cost).title}{unit_suffix(metric(cost))}")
    abbreviate_ticks(axes)
    named = _labelled_points(points, name, cost)
    label_points(axes, [points[place] for place in named], [colours[place] for place in named], points)
    keep_layout(figure)
    return figure


def _labelled_points(points: Sequence[tuple[float, float, str]], name: str, cost: str) -> list[int]:
    """The indices of the points to label: all of them, or of many those on the Pareto front of quality and cost."""
    if len(points) <= _NAMED:
        return list(range(len(points)))
    return pareto_front([{cost: x, name: y} for x, y, _ in points], {cost: metric(cost), name: metric(name)})
