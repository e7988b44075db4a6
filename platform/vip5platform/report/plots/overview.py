"""The overview plot of a study or search, for a README and for MLflow."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vip5core.metrics import metric
from vip5core.storage import atomic_file
from vip5platform.analysis.results import DatasetResults, StudyResults
from vip5platform.report.formatting import dataset_name, factor_names, unit_suffix
from vip5platform.report.plots import levels as plots
from vip5platform.report.plots import search as search_plots
from vip5platform.report.plots.style import INK, LEVEL, add_legend, clip_name, limit_ticks, new_figure, style_axes
from vip5platform.report.sections.search import StoredSearch, finished_cells

_TIME = "cost/train_seconds"
#: The largest number of rows and columns of the plot.
_ROWS, _COLUMNS = 4, 4


def save_overview(study: StudyResults, found: StoredSearch, path: Path) -> Path:
    """Save the overview plot as PNG at `path`, atomically, and return the path."""
    if not study.trial_results() or not study.metrics:
        figure = _draw_empty()
    else:
        figure = _draw_search(study, found) if study.record.kind == "search" else _draw_study(study)
    figure.suptitle(study.record.question.replace("$", r"\$"), x=0.01, ha="left", fontsize=12.5, weight="bold")
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=150)
    return path


def _draw_empty() -> Figure:
    figure = new_figure(2.0, 6.0)
    figure.text(0.5, 0.4, "No trial has finished.", ha="center", color=LEVEL, fontsize=12)
    return figure


def _draw_study(study: StudyResults) -> Figure:
    """One row per dataset, with one panel per metric and one for the training time."""
    groups = [group for group in study.groups if any(cell.results for cell in group.cells)][:_ROWS]
    names = list(study.metrics[: _COLUMNS - 1])
    tall = [sum(bool(cell.results) for cell in group.cells) for group in groups]
    figure = new_figure(0.9 + sum(0.75 + 0.32 * rows for rows in tall), 1.1 + 2.9 * (len(names) + 1))
    grid = figure.subplots(
        len(groups), len(names) + 1, squeeze=False, gridspec_kw={"height_ratios": [1.2 + rows for rows in tall]}
    )
    handles: dict[str, Artist] = {}
    for row, group in zip(grid, groups, strict=True):
        for place, (axes, name) in enumerate(zip(row, names, strict=False)):
            for handle in plots.draw_levels(axes, group, name, study, names=place == 0):
                handles.setdefault(str(handle.get_label()).partition(" ")[0], handle)
            style_axes(axes, f"{metric(name).title}{unit_suffix(metric(name))}", "x")
            axes.spines["left"].set_visible(False)
        _draw_times(row[-1], group)
        if len(groups) > 1:
            row[0].set_ylabel(clip_name(dataset_name(group)), weight="bold")
    for label, handle in handles.items():
        handle.set_label(label)
    add_legend(figure, list(handles.values()), 4)
    figure.supylabel(factor_names(study) if len(groups) == 1 else "", fontsize=9.5, color=INK)
    return figure


def _draw_times(axes: Axes, group: DatasetResults) -> None:
    cells = [cell for cell in group.cells if cell.results]
    for place, cell in zip(range(len(cells))[::-1], cells, strict=True):
        if not math.isnan(cell.mean(_TIME)):
            axes.barh(place, cell.mean(_TIME), color="#9ca3af", height=0.5)
            axes.annotate(
                metric(_TIME).show(cell.mean(_TIME)),
                (cell.mean(_TIME), place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=INK,
            )
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(cells) - 0.4)
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
    limit_ticks(axes)
    style_axes(axes, f"{metric(_TIME).title}{unit_suffix(metric(_TIME))}", "x")
    axes.spines["left"].set_visible(False)


def _draw_search(study: StudyResults, found: StoredSearch) -> Figure:
    first = study.metrics[0]
    panels = ["history"]
    panels += ["front"] if len(study.metrics) > 1 else []
    panels += ["importances"] if found.importances.get(first) else []
    figure = new_figure(3.4, 4.3 * len(panels) if finished_cells(study) else 4.3)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        if panel == "history":
            search_plots.draw_history(axes, study, first)
        elif panel == "front":
            search_plots.draw_front(axes, study)
        else:
            search_plots.draw_importances(axes, found.importances[first], first)
    return figure
