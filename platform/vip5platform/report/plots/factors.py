"""Plots of interactions between two factors, and of the ranks of levels across datasets."""

from __future__ import annotations

import itertools
import math

import numpy as np
from matplotlib.artist import Artist
from scipy.stats import rankdata

from vip5core.errors import UserError
from vip5core.metrics import metric
from vip5platform.analysis.results import StudyResults
from vip5platform.analysis.significance import rank_agreement
from vip5platform.report.blocks import Drawing
from vip5platform.report.formatting import dataset_name, level_name, unit_suffix
from vip5platform.report.plots.levels import slug
from vip5platform.report.plots.style import (
    MARKERS,
    SERIES,
    add_legend,
    clip_name,
    limit_ticks,
    new_figure,
    style_axes,
    to_drawing,
)


def plot_interactions(study: StudyResults) -> list[Drawing]:
    """Interaction plots of two factors: the second on the horizontal axis, a line for each level of the first."""
    names = [name for name in study.record.factors if name != "dataset"]
    if len(names) != 2:
        return []
    drawings = []
    for place, group in enumerate(study.groups):
        for name in study.metrics:
            means = {
                tuple(cell.levels[factor] for factor in names): cell.mean(name)
                for cell in group.cells
                if cell.values(name) and set(names) <= set(cell.levels)
            }
            lines, along = (list(dict.fromkeys(levels[at] for levels in means)) for at in (0, 1))
            if len(lines) < 2 or len(along) < 2:
                continue
            figure = new_figure(3.1)
            axes = figure.subplots()
            handles: list[Artist] = []
            looks = zip(lines, itertools.cycle(SERIES), itertools.cycle(MARKERS), strict=False)
            for line, colour, marker in looks:
                values = [means.get((line, at), math.nan) for at in along]
                handles += axes.plot(values, f"{marker}-", color=colour, ms=6, lw=1.5, label=clip_name(line))
            axes.set_xticks(range(len(along)), [clip_name(text) for text in along])
            axes.margins(x=0.08)
            axes.set_xlabel(names[1])
            limit_ticks(axes, "y")
            where = f" on {clip_name(dataset_name(group))}" if len(study.groups) > 1 else ""
            style_axes(axes, f"{metric(name).title}{unit_suffix(metric(name))}{where}")
            add_legend(figure, handles)
            caption = f"{metric(name).title} by {names[1]}, a line for each {names[0]}{where}"
            drawings.append(to_drawing(figure, f"crossed-{place}-{slug(name)}", caption))
    return drawings


def plot_ranks(study: StudyResults) -> list[Drawing]:
    """The rank of each level on each dataset, and how far the datasets agree."""
    if len(study.groups) < 2:
        return []
    drawings = []
    for name in study.metrics:
        measured = [group for group in study.groups if any(cell.values(name) for cell in group.cells)]
        means = [
            {level_name(cell, study): cell.mean(name) for cell in group.cells if cell.values(name)}
            for group in measured
        ]
        shared = [text for text in (means[0] if means else {}) if all(text in other for other in means)]
        if len(measured) < 2 or len(shared) < 2:
            continue
        sign = -1 if metric(name).higher_is_better else 1
        places = np.array([rankdata([sign * of[text] for text in shared]) for of in means])
        figure = new_figure(1.5 + 0.28 * len(shared))
        axes = figure.subplots()
        looks = zip(shared, itertools.cycle(SERIES), itertools.cycle(MARKERS), strict=False)
        for line, (text, colour, marker) in enumerate(looks):
            axes.plot(places[:, line], f"{marker}-", color=colour, ms=6, lw=1.6)
            axes.annotate(
                clip_name(text),
                (len(measured) - 1, places[-1, line]),
                (8, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=colour,
                annotation_clip=False,
            )
        axes.set_xticks(range(len(measured)), [clip_name(dataset_name(group)) for group in measured])
        axes.set_xlim(-0.2, len(measured) - 0.5)
        axes.set_yticks(range(1, len(shared) + 1))
        axes.invert_yaxis()
        agreement = describe_agreement(study, name)
        style_axes(axes, f"{metric(name).title}: rank of each level", "y")
        if len(measured) == 2 and agreement:  # the axis names the two
            axes.set_xlabel(agreement[0].partition(": ")[2])
        drawings.append(to_drawing(figure, f"ranks-{slug(name)}", f"{metric(name).title}: {'; '.join(agreement)}"))
    return drawings


def describe_agreement(study: StudyResults, name: str) -> list[str]:
    """Kendall's tau of every pair of datasets, in words."""
    said = []
    for first, second in itertools.combinations(study.groups, 2):
        means = [
            {level_name(cell, study): cell.mean(name) for cell in group.cells if cell.values(name)}
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
