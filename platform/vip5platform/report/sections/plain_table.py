"""A table of levels and baselines by metrics that do not answer the question: no best level, no tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vip5core.metrics import metric
from vip5platform.analysis.baselines import Baseline
from vip5platform.analysis.results import CellResults, DatasetResults, Interval, StudyResults
from vip5platform.report.blocks import Cell, Column, Row, Table
from vip5platform.report.formatting import baseline_name, dataset_name, factor_names, format_mean, level_name


@dataclass(frozen=True)
class PlainTable:
    """What such a table shows.

    Attributes:
        columns: The columns.
        names: The metric of each column, by its full name.
        above: Gives the first rows of a dataset.
        mark: Gives the mark of a dataset's values of a metric.
    """

    columns: Sequence[Column]
    names: Sequence[str]
    above: Callable[[DatasetResults], list[Row]] = lambda group: []
    mark: Callable[[DatasetResults, str], str] = lambda group, name: ""

    def of(self, study: StudyResults, notes: Sequence[str]) -> Table:
        """One table for all datasets, one below the other."""
        rows = []
        for group in study.groups:
            if len(study.groups) > 1:
                rows.append(Row(dataset_name(group), kind="group"))
            rows += self.above(group)
            rows += self._levels(group, study)
            rows += [self._baseline(baseline, group) for baseline in group.baselines]
        return Table(factor_names(study), self.columns, rows, notes)

    def _levels(self, group: DatasetResults, study: StudyResults) -> list[Row]:
        # Metric by metric, because the intervals of as many users share their draws.
        by_metric = [[self._level_cell(cell, group, name) for cell in group.cells] for name in self.names]
        of_levels = list(zip(*by_metric, strict=True))
        return [Row(self._head(cell, study), cells) for cell, cells in zip(group.cells, of_levels, strict=True)]

    def _head(self, cell: CellResults, study: StudyResults) -> str:
        """The name of a level, and why it has no values."""
        lacks = "" if any(cell.values(name) for name in self.names) else "not recorded" if cell.results else "failed"
        return level_name(cell, study) + (f" ({lacks})" if lacks else "")

    def _level_cell(self, cell: CellResults, group: DatasetResults, name: str) -> Cell:
        mark = self.mark(group, name) if cell.values(name) else ""
        return Cell(format_mean(group.interval(cell, name), metric(name)), mark=mark)

    def _baseline(self, baseline: Baseline, group: DatasetResults) -> Row:
        cells = [
            Cell(format_mean(Interval(baseline.metrics[name]), metric(name)), mark=self.mark(group, name))
            if name in baseline.metrics
            else Cell(metric(name).show(None))
            for name in self.names
        ]
        return Row(baseline_name(baseline.name), cells, "aside")


def measured(study: StudyResults, names: Sequence[str]) -> list[str]:
    """Those of these metrics that any level has a value of."""
    return [name for name in names if any(cell.values(name) for cell in study.cells)]
