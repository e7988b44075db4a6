"""The one picture of a study, for a README and for MLflow."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vip5core.metrics.table import metric
from vip5core.storage import whole_file
from vip5platform.evidence import Evidence, Group
from vip5platform.report import plots, search_plots
from vip5platform.report.names import dataset_name, factors, title, unit
from vip5platform.report.search import Stored, finished
from vip5platform.report.style import INK, LEVEL, canvas, clipped, dress, few_ticks, legend

_TIME = "cost/train_seconds"
#: Rows and columns that a picture can hold.
_ROWS, _COLUMNS = 4, 4


def save(evidence: Evidence, found: Stored, path: Path) -> Path:
    """As PNG at `path`, whole."""
    if not evidence.results() or not evidence.metrics:
        figure = _empty()
    else:
        figure = _search(evidence, found) if evidence.record.kind == "search" else _study(evidence)
    figure.suptitle(evidence.record.question.replace("$", r"\$"), x=0.01, ha="left", fontsize=12.5, weight="bold")
    with whole_file(path) as aside:
        figure.savefig(aside, format="png", dpi=150)
    return path


def _empty() -> Figure:
    figure = canvas(2.0, 6.0)
    figure.text(0.5, 0.4, "No trial has finished.", ha="center", color=LEVEL, fontsize=12)
    return figure


def _study(evidence: Evidence) -> Figure:
    """A row per dataset; a panel per metric and one for the training time."""
    groups = [group for group in evidence.groups if any(cell.results for cell in group.cells)][:_ROWS]
    names = list(evidence.metrics[: _COLUMNS - 1])
    tall = [sum(bool(cell.results) for cell in group.cells) for group in groups]
    figure = canvas(0.9 + sum(0.75 + 0.32 * rows for rows in tall), 1.1 + 2.9 * (len(names) + 1))
    grid = figure.subplots(
        len(groups), len(names) + 1, squeeze=False, gridspec_kw={"height_ratios": [1.2 + rows for rows in tall]}
    )
    handles: dict[str, Artist] = {}
    for row, group in zip(grid, groups, strict=True):
        for place, (axes, name) in enumerate(zip(row, names, strict=False)):
            for handle in plots.draw_levels(axes, group, name, evidence, names=place == 0):
                handles.setdefault(str(handle.get_label()).partition(" ")[0], handle)
            dress(axes, f"{title(name)}{unit(metric(name))}", "x")
            axes.spines["left"].set_visible(False)
        _times(row[-1], group)
        if len(groups) > 1:
            row[0].set_ylabel(clipped(dataset_name(group)), weight="bold")
    for label, handle in handles.items():
        handle.set_label(label)
    legend(figure, list(handles.values()), 4)
    figure.supylabel(factors(evidence) if len(groups) == 1 else "", fontsize=9.5, color=INK)
    return figure


def _times(axes: Axes, group: Group) -> None:
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
    few_ticks(axes)
    dress(axes, f"{title(_TIME)}{unit(metric(_TIME))}", "x")
    axes.spines["left"].set_visible(False)


def _search(evidence: Evidence, found: Stored) -> Figure:
    first = evidence.metrics[0]
    panels = ["history"]
    panels += ["front"] if len(evidence.metrics) > 1 else []
    panels += ["importances"] if found.importances.get(first) else []
    figure = canvas(3.4, 4.3 * len(panels) if finished(evidence) else 4.3)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        if panel == "history":
            search_plots.draw_history(axes, evidence, first)
        elif panel == "front":
            search_plots.draw_front(axes, evidence)
        else:
            search_plots.draw_importances(axes, found.importances[first], first)
    return figure
