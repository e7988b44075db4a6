"""Plots of a search: its history, the Pareto front, importances, and the objective by each setting."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vip5core.metrics import metric
from vip5platform.analysis.results import CellResults, StudyResults
from vip5platform.report.blocks import Drawing
from vip5platform.report.formatting import unit_suffix
from vip5platform.report.plots.style import (
    ALIKE,
    BEST,
    INK,
    LEVEL,
    abbreviate_ticks,
    add_legend,
    clip_name,
    label_points,
    limit_ticks,
    new_figure,
    set_scales,
    style_axes,
    to_drawing,
)
from vip5platform.report.sections.search import StoredSearch, finished_cells, pareto_cells, shorten

#: Up to so many values of a setting are shown as categories.
_VALUES = 8


def plot_search(study: StudyResults, found: StoredSearch) -> list[Drawing]:
    """All plots of a search; none if no trial has finished."""
    if study.record.kind != "search" or not finished_cells(study):
        return []
    made = []
    for place, name in enumerate(study.metrics):
        figure = new_figure(2.6)
        axes = figure.subplots()
        draw_history(axes, study, name)
        add_legend(figure, _history_legend(), 2)
        made.append(to_drawing(figure, f"history-{place}", f"{metric(name).title} of each trial and the best so far"))
    if len(study.metrics) > 1:
        figure = new_figure(3.0)
        draw_front(figure.subplots(), study)
        first, second = (metric(name).title for name in study.metrics[:2])
        caption = f"Trials by {first} and {second}, the Pareto front in orange"
        made.append(to_drawing(figure, "front", caption))
    for place, (name, shares) in enumerate(found.importances.items()):
        if shares:
            figure = new_figure(1.0 + 0.27 * len(shares))
            draw_importances(figure.subplots(), shares, name)
            said = ", ".join(f"{key} {100 * share:.0f} %" for key, share in shares.items())
            made.append(to_drawing(figure, f"importances-{place}", f"Importance for {metric(name).title}: {said}"))
    return [*made, *_slices(study)]


def draw_history(axes: Axes, study: StudyResults, name: str) -> None:
    """Draw the trials in their order, and the best so far as a line."""
    measure = metric(name)
    order = {trial.name: place for place, trial in enumerate(study.record.trials, start=1)}
    cells = sorted((cell for cell in finished_cells(study) if cell.values(name)), key=lambda cell: order[cell.name])
    numbers, values = [order[cell.name] for cell in cells], np.array([cell.mean(name) for cell in cells])
    best = (np.maximum if measure.higher_is_better else np.minimum).accumulate(values)
    axes.plot(numbers, values, "o", color=LEVEL, ms=5, alpha=0.8)
    axes.step(numbers, best, where="post", color=BEST, lw=1.8)
    style_axes(axes, f"{metric(name).title}{unit_suffix(measure)}")
    axes.set_xlabel("trial")
    limit_ticks(axes, "x", 6)
    limit_ticks(axes, "y")
    abbreviate_ticks(axes)


def _history_legend() -> list:
    return [
        Line2D([], [], marker="o", ls="", color=LEVEL, ms=5, label="trial"),
        Line2D([], [], color=BEST, lw=1.8, label="best so far"),
    ]


def draw_front(axes: Axes, study: StudyResults) -> None:
    """Draw the first two objectives against each other."""
    first, second = study.metrics[:2]
    front = pareto_cells(study)
    rest = [cell for cell in finished_cells(study) if cell not in front and cell.values(second)]
    axes.plot([c.mean(second) for c in rest], [c.mean(first) for c in rest], "o", color=LEVEL, ms=5, alpha=0.7)
    along = sorted(front, key=lambda cell: cell.mean(second))
    axes.plot([c.mean(second) for c in along], [c.mean(first) for c in along], "D-", color=BEST, ms=6, lw=1.4)
    set_scales(axes, [cell.mean(second) for cell in [*rest, *along]])
    axes.margins(x=0.12, y=0.14)
    style_axes(axes, f"{metric(first).title}{unit_suffix(metric(first))}")
    axes.set_xlabel(f"{metric(second).title}{unit_suffix(metric(second))}")
    abbreviate_ticks(axes)
    order = {trial.name: place for place, trial in enumerate(study.record.trials, start=1)}
    points = [(cell.mean(second), cell.mean(first), str(order[cell.name])) for cell in along]
    others = [(cell.mean(second), cell.mean(first), "") for cell in rest]
    label_points(axes, points, [INK] * len(points), others)


def draw_importances(axes: Axes, shares: dict[str, float], name: str) -> None:
    """Draw the importance of each setting as a bar."""
    places = np.arange(len(shares))[::-1]
    axes.barh(places, [100 * share for share in shares.values()], color=ALIKE, height=0.6)
    axes.set_yticks(places, [clip_name(key) for key in shares])
    style_axes(axes, f"Importance for {metric(name).title} (%)", "x")
    limit_ticks(axes)


def _slices(study: StudyResults) -> list[Drawing]:
    """One plot per setting: the first objective by its values."""
    first, cells = study.metrics[0], finished_cells(study)
    made = []
    for place, setting in enumerate(study.record.factors):
        with_setting = [cell for cell in cells if setting in cell.levels]
        if len({cell.levels[setting] for cell in with_setting}) < 2:
            continue
        figure = new_figure(2.5)
        axes = figure.subplots()
        _draw_slice(axes, with_setting, setting, first)
        made.append(to_drawing(figure, f"slice-{place}", f"{metric(first).title} by {setting}, one point per trial"))
    return made


def _draw_slice(axes: Axes, cells: list[CellResults], setting: str, name: str) -> None:
    texts = [cell.levels[setting] for cell in cells]
    values = [cell.mean(name) for cell in cells]
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = []
    if numbers and len(set(texts)) > _VALUES and all(math.isfinite(x) for x in numbers):
        if min(numbers) > 0 and max(numbers) > 20 * min(numbers):
            axes.set_xscale("log")
        else:
            limit_ticks(axes)
        places = numbers
    else:
        known = sorted(set(texts), key=lambda text: float(text) if numbers else 0) if numbers else sorted(set(texts))
        places = [known.index(text) for text in texts]
        axes.set_xticks(range(len(known)), [clip_name(shorten(text)) for text in known])
        axes.set_xlim(-0.5, len(known) - 0.5)
        if sum(len(shorten(text)) for text in known) > 34:
            axes.tick_params(axis="x", rotation=30)
    axes.plot(places, values, "o", color=LEVEL, ms=5.5, alpha=0.8)
    axes.plot(places[0], values[0], "D", color=BEST, ms=7)  # the cells are sorted, best first
    limit_ticks(axes, "y")
    style_axes(axes, f"{metric(name).title}{unit_suffix(metric(name))}")
    axes.set_xlabel(setting)
