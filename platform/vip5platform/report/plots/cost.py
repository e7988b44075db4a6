"""Quality against cost."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from vip5core.metrics import metric
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.analysis.verdict import verdict
from vip5platform.report.blocks import Drawing
from vip5platform.report.formatting import dataset_name, level, unit
from vip5platform.report.plots.levels import looks, slug
from vip5platform.report.plots.style import (
    INK,
    LEVEL,
    canvas,
    clip_name,
    drawing,
    dress,
    few_ticks,
    label_points,
    short_numbers,
)

#: What quality is set against, where levels differ in it.
_COSTS = ("cost/train_seconds", "model/trainable_parameters", "cost/peak_memory_mb")
#: Costs that differ by less than this factor are not drawn: much of that is the machine's mood.
_DIFFER = 1.05
#: So many points can have their names beside them.
_NAMED = 8


def costs(study: StudyResults) -> list[Drawing]:
    """Quality against each cost in which levels differ; with several datasets, of the first metric."""
    drawings = []
    for place, group in enumerate(study.groups):
        for name in study.metrics if len(study.groups) == 1 else study.metrics[:1]:
            for cost in _COSTS:
                shown = [cell for cell in group.cells if cell.values(name) and cell.values(cost)]
                means = [cell.mean(cost) for cell in shown]
                if cost == name or len(shown) < 2 or max(means) < _DIFFER * min(means):
                    continue
                where = f" on {clip_name(dataset_name(group))}" if len(study.groups) > 1 else ""
                figure = _against(shown, group, name, cost, where, study)
                caption = f"{metric(name).title} against {metric(cost).title}{where}"
                drawings.append(drawing(figure, f"cost-{place}-{slug(name)}-{slug(cost)}", caption))
    return drawings


def _against(
    shown: Sequence[CellResults], group: DatasetResults, name: str, cost: str, where: str, study: StudyResults
) -> Figure:
    figure, found = canvas(2.9), verdict(group, name)
    axes = figure.subplots()
    points, colours = [], []
    for cell in shown:
        colour, shape = looks(cell, found, study)
        interval, x = group.interval(cell, name), cell.mean(cost)
        if interval.high > interval.low and len(shown) <= _NAMED:
            axes.plot([x, x], [interval.low, interval.high], color=colour, lw=1.2, alpha=0.45)
        axes.plot(x, interval.mean, shape, color=colour, ms=7)
        points.append((x, interval.mean, clip_name(level(cell, study))))
        colours.append(colour if colour != LEVEL else INK)
    values = [x for x, _, _ in points]
    if max(values) > 8 * min(values) > 0:
        axes.set_xscale("log")
    else:
        few_ticks(axes)
    few_ticks(axes, "y")
    axes.margins(x=0.22, y=0.12)
    dress(axes, f"{metric(name).title}{unit(metric(name))}{where}")
    axes.set_xlabel(f"{metric(cost).title}{unit(metric(cost))}")
    short_numbers(axes)
    named = _worth_naming(points, metric(name).higher_is_better)
    label_points(axes, [points[place] for place in named], [colours[place] for place in named], points)
    return figure


def _worth_naming(points: Sequence[tuple[float, float, str]], higher_is_better: bool) -> list[int]:
    """The places of all points; of many, those that nothing cheaper surpasses."""
    sign = 1 if higher_is_better else -1
    if len(points) <= _NAMED:
        return list(range(len(points)))
    return [
        place
        for place, (x, y, _) in enumerate(points)
        if not any(a <= x and sign * b >= sign * y and (a, b) != (x, y) for a, b, _ in points)
    ]
