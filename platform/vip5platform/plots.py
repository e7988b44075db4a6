"""The study's answer as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vip5core.metrics.table import metric
from vip5core.storage import whole_file
from vip5platform.report import HEADLINES, Report

matplotlib.use("Agg")

_BEST, _LEVEL, _LINES = "#c2410c", "#475569", {"popularity": "#0f766e", "random": "#a1a1aa"}


def plot(report: Report, path: Path) -> Path:
    """A panel per task (levels as dots, baselines as lines) and one for the training time, as PNG at `path`."""
    shown = [name for names in report.shown.values() for name in names]
    panels = [(task, name) for task, name in HEADLINES.items() if name in shown]
    panels.append(("cost", "cost/train_seconds"))
    rows = [row for row in report.levels if row.values]
    figure = Figure(figsize=(3.3 * len(panels), 1.6 + 0.36 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    places = np.arange(len(rows))[::-1]
    for axis, (task, name) in zip(axes, panels, strict=True):
        how = metric(name)
        for place, row in zip(places, rows, strict=True):
            values = row.values.get(name, ())
            colour = _BEST if report.is_best(row, name) else _LEVEL
            axis.plot(values, [place] * len(values), "o", color=colour, alpha=0.35 if len(values) > 1 else 1, ms=7)
            if len(values) > 1:
                axis.plot(row.mean(name), place, "D", color=colour, ms=7)
            if len(values):
                axis.annotate(
                    how.show(row.mean(name)),
                    (row.mean(name), place),
                    xytext=(0, 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=colour,
                )
        for line in report.baselines:
            if not np.isnan(line.mean(name)):
                axis.axvline(line.mean(name), ls="--", lw=1.2, color=_LINES[line.name], label=line.name)
        unit = f" ({how.unit})" if how.unit else ""
        axis.set_title(f"{task}: {how.label}{unit}", fontsize=10, loc="left")
        axis.grid(axis="x", color="#e5e7eb", lw=0.8)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(length=0, labelsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.margins(x=0.18)
        axis.set_ylim(-0.6, len(rows) - 0.2)
        if task == "cost":
            axis.set_xlim(left=0)
    axes[0].set_yticks(places, [row.title for row in rows])
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    figure.suptitle(f"{report.study.question}   {report.dataset}", x=0.01, ha="left", fontsize=12, weight="bold")
    with whole_file(path) as aside:
        figure.savefig(aside, format="png", dpi=150)
    return path
