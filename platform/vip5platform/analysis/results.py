"""The results of a study: its levels, baselines, and the paired tests between them.

Trials are compared within a dataset, where all of them have the same test questions. Holm's correction is over all
comparisons of the study.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vip5core.data.dataset import Dataset, open_dataset
from vip5core.errors import Failure, UserError
from vip5core.home import Home
from vip5core.metrics import metric
from vip5core.trial.result import TrialResult
from vip5platform.analysis.baselines import Baseline, find_baselines
from vip5platform.analysis.image_similarity import ImageSpace, find_space
from vip5platform.analysis.record import NOT_RUN, RecordedTrial, StudyRecord
from vip5platform.analysis.significance import (
    Comparison,
    UnitRows,
    all_pairs,
    compare,
    mean_interval,
    seeds_interval,
    unit_values,
    with_holm,
)


@dataclass(frozen=True)
class CellResults:
    """The results of one cell: a combination of levels, with all its seeds.

    Attributes:
        name: The names of its levels, joined.
        levels: The level of each factor.
        results: The results of finished trials, by seed.
        failures: Why there is no result, by seed.
        dataset: The dataset of its trials; None if it is gone.
    """

    name: str
    levels: Mapping[str, str]
    results: Mapping[int, TrialResult]
    failures: Mapping[int, Failure]
    dataset: Dataset | None
    _units: dict[str, dict[int, pd.Series]] = field(default_factory=dict)

    def values(self, name: str) -> list[float]:
        """The value of a metric for each seed that has one."""
        return [result.metrics[name] for result in self.results.values() if name in result.metrics]

    def mean(self, name: str) -> float:
        """The mean of a metric over seeds; nan if it was not measured."""
        values = self.values(name)
        return float(np.mean(values)) if values else float("nan")

    @functools.cached_property
    def _rows(self) -> dict[int, UnitRows]:
        rows = {seed: with_raw_items(result.per_user, self.dataset) for seed, result in self.results.items()}
        return {seed: UnitRows(of_seed) for seed, of_seed in rows.items()}

    def units(self, name: str) -> dict[int, pd.Series]:
        """The values of a metric per user, text or item, by seed."""
        if name not in self._units:  # kept, because a report asks for them many times
            measured = [seed for seed, result in self.results.items() if name in result.metrics]
            self._units[name] = {seed: self._rows[seed].values(name) for seed in measured}
        return self._units[name]


def with_raw_items(rows: pd.DataFrame, dataset: Dataset | None) -> pd.DataFrame:
    """Per-user rows with the original item ids, because item numbers differ between id schemes."""
    if dataset is None:
        return rows
    return rows.assign(item=dataset.items["raw_id"].to_numpy()[rows["item"].to_numpy() - 1])


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, which is nan where there is nothing to estimate it from."""

    mean: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class DatasetResults:
    """All results on one dataset.

    Attributes:
        name: The dataset as it was requested.
        dataset: The dataset of the first finished cell.
        cells: The cells in the order of the declaration.
        baselines: The baselines, evaluated on the same test questions.
        comparisons: Tests of all pairs of cells on all metrics of the study, and of the best cell against baselines.
        similarity_by: The encoder of the features by which the images in lists are compared; empty if there are none.
    """

    name: str
    dataset: Dataset | None
    cells: Sequence[CellResults]
    baselines: Sequence[Baseline]
    comparisons: Sequence[Comparison] = ()
    similarity_by: str = ""
    _intervals: dict[tuple[str, str], Interval] = field(default_factory=dict)

    def best(self, name: str) -> CellResults | None:
        """The cell with the best mean; None if no cell has the metric or all are the same at the precision shown."""
        measured = [cell for cell in self.cells if cell.values(name)]
        measure = metric(name)
        if not measured or (len(measured) > 1 and len({measure.show(cell.mean(name)) for cell in measured}) == 1):
            return None
        return (max if measure.higher_is_better else min)(measured, key=lambda cell: cell.mean(name))

    def comparison(self, name: str, first: str, second: str) -> Comparison | None:
        """The test of `first` against `second` (cells or baselines), in this direction."""
        for found in self.comparisons:
            if found.metric == name and {found.first, found.second} == {first, second}:
                return found if found.first == first else found.swapped()
        return None

    def interval(self, cell: CellResults, name: str) -> Interval:
        """The mean of a metric in a cell with its interval, over seeds only if the metric has no value per unit."""
        key = (cell.name, name)
        if key not in self._intervals:
            values = cell.values(name)
            if not values:
                self._intervals[key] = Interval(float("nan"))
            elif metric(name).is_testable:
                self._intervals[key] = _units_interval(cell.units(name))
            else:
                self._intervals[key] = Interval(*seeds_interval(values))
        return self._intervals[key]


def _units_interval(units: dict[int, pd.Series]) -> Interval:
    """The mean over units and seeds with its interval, for which one unit, as a slice may have, is too few."""
    if min(map(len, units.values())) < 2:
        return Interval(float(np.mean([series.mean() for series in units.values()])))
    return Interval(*mean_interval(units))


@dataclass(frozen=True)
class StudyResults:
    """The results of a study or search.

    Attributes:
        record: What was run.
        groups: The results on each dataset.
        metrics: The metrics of the record that were measured.
        home: The home of the trials; None if they are in none.
    """

    record: StudyRecord
    groups: Sequence[DatasetResults]
    metrics: Sequence[str]
    home: Home | None = None

    @property
    def cells(self) -> list[CellResults]:
        """The cells on all datasets."""
        return [cell for group in self.groups for cell in group.cells]

    @property
    def seeds(self) -> int:
        """The largest number of finished seeds of a cell."""
        return max((len(cell.results) for cell in self.cells), default=0)

    def trial_results(self) -> dict[str, TrialResult]:
        """All finished trials by fingerprint, each once."""
        return {result.folder.name: result for cell in self.cells for result in cell.results.values()}


def load_results(record: StudyRecord, home: Home) -> StudyResults:
    """Load the results of a study's trials from `home`, and compare its levels."""
    by_group: dict[str, list[RecordedTrial]] = {}
    for trial in record.trials:
        by_group.setdefault(trial.group, []).append(trial)
    groups = [_dataset_results(name, trials, record, home) for name, trials in by_group.items()]
    metrics = [name for name in record.metrics if any(cell.values(name) for group in groups for cell in group.cells)]
    tests = [_compare_cells(group, [name for name in metrics if metric(name).is_testable]) for group in groups]
    adjusted = iter(with_holm([test for some in tests for test in some]))
    return StudyResults(
        record,
        [replace(group, comparisons=[next(adjusted) for _ in some]) for group, some in zip(groups, tests, strict=True)],
        metrics,
        home,
    )


def _dataset_results(name: str, trials: Sequence[RecordedTrial], record: StudyRecord, home: Home) -> DatasetResults:
    cells: dict[str, list[RecordedTrial]] = {}
    for trial in trials:
        cells.setdefault(trial.name, []).append(trial)
    datasets = {folder: _open_dataset(folder, home) for folder in {trial.dataset for trial in trials if trial.dataset}}
    made = [_cell_results(of_cell, datasets, home) for of_cell in cells.values()]
    first = next((cell for cell in made if cell.results), None)
    baselines: Sequence[Baseline] = ()
    if first is not None and first.dataset is not None:
        config = next(iter(first.results.values())).config
        trained = home.fetch(home.baselines / record.sasrec[name]) if name in record.sasrec else None
        baselines = find_baselines(record.baselines, first.dataset, config, home, trained)
    space = find_space(((result, cell.dataset) for cell in made for result in cell.results.values()), home)
    if space is not None:
        made = [_with_similarity(cell, space) for cell in made]
        baselines = [replace(one, metrics={**one.metrics, **space.similarities(one.lists)}) for one in baselines]
    return DatasetResults(
        *(name, first.dataset if first else None, made, baselines), similarity_by=space.encoder if space else ""
    )


def _with_similarity(cell: CellResults, space: ImageSpace) -> CellResults:
    """The cell with the similarity of the images in its lists."""
    results = {
        seed: replace(result, metrics={**result.metrics, **space.similarities(result.lists)})
        for seed, result in cell.results.items()
    }
    return replace(cell, results=results)


def _open_dataset(folder: str, home: Home) -> Dataset | None:
    """A dataset of the record, found also if the whole home was moved; None if it is gone."""
    moved = home.fetch(home.datasets / Path(folder).name)
    try:
        return open_dataset(moved if moved.is_dir() else folder)
    except UserError:
        return None


def _cell_results(trials: Sequence[RecordedTrial], datasets: Mapping[str, Dataset | None], home: Home) -> CellResults:
    results, failures = {}, {}
    for trial in trials:
        if not trial.fingerprint or not home.fetch(home.trial(trial.fingerprint)).is_dir():
            failures[trial.seed] = trial.failure or NOT_RUN
            continue
        try:
            results[trial.seed] = TrialResult.load(home.trial(trial.fingerprint))
            _ = results[trial.seed].per_user
        except UserError as error:
            results.pop(trial.seed, None)
            failures[trial.seed] = Failure.of(error)
    return CellResults(trials[0].name, trials[0].cell, results, failures, datasets.get(trials[0].dataset))


def _compare_cells(group: DatasetResults, metrics: Sequence[str]) -> list[Comparison]:
    tests = []
    for name in metrics:
        units = {cell.name: cell.units(name) for cell in group.cells if cell.values(name)}
        units = _with_same_units(units)
        tests += all_pairs(units, name)
        best = group.best(name)
        for baseline in group.baselines if best is not None and best.name in units else ():
            if best is not None and name in baseline.metrics:
                theirs = unit_values(with_raw_items(baseline.rows, group.dataset), name)
                # SASRec was trained once; baselines that are not trained give the same answers for every seed.
                level = {0: theirs} if baseline.is_trained else dict.fromkeys(units[best.name], theirs)
                tests.append(compare(units[best.name], level, names=(best.name, baseline.name), metric=name))
    return tests


def _with_same_units(units: dict[str, dict[int, pd.Series]]) -> dict[str, dict[int, pd.Series]]:
    """The cells with the same users or texts as the first one, at least two of these; others cannot be paired."""
    index = next((series.index for level in units.values() for series in level.values()), pd.Index([]))
    return {
        name: level
        for name, level in units.items()
        if len(index) > 1 and all(_are_same(series.index, index) for series in level.values())
    }


def _are_same(units: pd.Index, others: pd.Index) -> bool:
    return units.equals(others) or units.sort_values().equals(others.sort_values())
