"""What a study's trials show: levels, baselines, and the paired tests between them.

Trials are compared within a *group*: those that were asked the same questions, which is to say on one dataset. The
family of Holm's correction is every comparison of the study.
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
from vip5platform.analysis.record import NOT_RUN, RecordedTrial, StudyRecord
from vip5platform.analysis.significance import (
    Comparison,
    all_pairs,
    compare,
    mean_interval,
    seeds_interval,
    unit_values,
    with_holm,
)


@dataclass(frozen=True)
class CellResults:
    """A cell of a study with what its trials came to.

    Attributes:
        name: its levels, joined.
        levels: level by factor.
        results: by seed.
        failures: why there is no result, by seed.
        dataset: that its trials were asked about.
    """

    name: str
    levels: Mapping[str, str]
    results: Mapping[int, TrialResult]
    failures: Mapping[int, Failure]
    dataset: Dataset | None

    def values(self, name: str) -> list[float]:
        """A metric in each seed that has it."""
        return [result.metrics[name] for result in self.results.values() if name in result.metrics]

    def mean(self, name: str) -> float:
        """The mean over seeds; nan if there is none."""
        values = self.values(name)
        return float(np.mean(values)) if values else float("nan")

    @functools.cached_property
    def _rows(self) -> dict[int, pd.DataFrame]:
        return {seed: with_raw_items(result.per_user, self.dataset) for seed, result in self.results.items()}

    def units(self, name: str) -> dict[int, pd.Series]:
        """The value of each user, text or item, by seed."""
        having = [seed for seed, result in self.results.items() if name in result.metrics]
        return {seed: unit_values(self._rows[seed], name) for seed in having}


def with_raw_items(rows: pd.DataFrame, dataset: Dataset | None) -> pd.DataFrame:
    """Per-user rows with the items' own ids: numbers differ between id schemes."""
    if dataset is None:
        return rows
    return rows.assign(item=dataset.items["raw_id"].to_numpy()[rows["item"].to_numpy() - 1])


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; without one (nan) where nothing tells how sure it is."""

    mean: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class DatasetResults:
    """The cells on one dataset.

    Attributes:
        name: the dataset as it was asked for.
        dataset: that of the first cell that has one.
        cells: in the declaration's order.
        baselines: answers to the same questions without VIP5.
        comparisons: of every two cells by every metric of the study, and of the best with the baselines.
    """

    name: str
    dataset: Dataset | None
    cells: Sequence[CellResults]
    baselines: Sequence[Baseline]
    comparisons: Sequence[Comparison] = ()
    _intervals: dict[tuple[str, str], Interval] = field(default_factory=dict)

    def best(self, name: str) -> CellResults | None:
        """The cell with the best mean; None if no cell has the metric, or all look the same."""
        having = [cell for cell in self.cells if cell.values(name)]
        how = metric(name)
        if not having or (len(having) > 1 and len({how.show(cell.mean(name)) for cell in having}) == 1):
            return None
        return (max if how.higher_is_better else min)(having, key=lambda cell: cell.mean(name))

    def comparison(self, name: str, first: str, second: str) -> Comparison | None:
        """The test of `first` against `second` (cells or baselines), whichever way it was computed."""
        for found in self.comparisons:
            if found.metric == name and {found.first, found.second} == {first, second}:
                return found if found.first == first else found.swapped()
        return None

    def interval(self, cell: CellResults, name: str) -> Interval:
        """The mean of a metric in a cell, with its interval over users and seeds (or seeds, where it has no users)."""
        key = (cell.name, name)
        if key not in self._intervals:
            values = cell.values(name)
            if not values:
                self._intervals[key] = Interval(float("nan"))
            elif metric(name).is_testable:
                self._intervals[key] = Interval(*mean_interval(cell.units(name)))
            else:
                self._intervals[key] = Interval(*seeds_interval(values))
        return self._intervals[key]


@dataclass(frozen=True)
class StudyResults:
    """All that a report says, as numbers.

    Attributes:
        record: what was run.
        groups: one per dataset.
        metrics: those of the record's that the trials have.
    """

    record: StudyRecord
    groups: Sequence[DatasetResults]
    metrics: Sequence[str]

    @property
    def cells(self) -> list[CellResults]:
        return [cell for group in self.groups for cell in group.cells]

    @property
    def seeds(self) -> int:
        return max((len(cell.results) for cell in self.cells), default=0)

    def trial_results(self) -> dict[str, TrialResult]:
        """Every trial that finished, once, by fingerprint."""
        return {result.folder.name: result for cell in self.cells for result in cell.results.values()}


def load_results(record: StudyRecord, home: Home) -> StudyResults:
    """Read what the trials of `record` left under `home`, and test what can be tested."""
    by_group: dict[str, list[RecordedTrial]] = {}
    for trial in record.trials:
        by_group.setdefault(trial.group, []).append(trial)
    groups = [_group(name, trials, record, home) for name, trials in by_group.items()]
    metrics = [name for name in record.metrics if any(cell.values(name) for group in groups for cell in group.cells)]
    tests = [_comparisons(group, [name for name in metrics if metric(name).is_testable]) for group in groups]
    adjusted = iter(with_holm([test for some in tests for test in some]))
    return StudyResults(
        record,
        [replace(group, comparisons=[next(adjusted) for _ in some]) for group, some in zip(groups, tests, strict=True)],
        metrics,
    )


def _group(name: str, trials: Sequence[RecordedTrial], record: StudyRecord, home: Home) -> DatasetResults:
    cells: dict[str, list[RecordedTrial]] = {}
    for trial in trials:
        cells.setdefault(trial.name, []).append(trial)
    datasets = {folder: _dataset(folder, home) for folder in {trial.dataset for trial in trials if trial.dataset}}
    made = [_cell(of_cell, datasets, home) for of_cell in cells.values()]
    first = next((cell for cell in made if cell.results), None)
    baselines: Sequence[Baseline] = ()
    if first is not None and first.dataset is not None:
        config = next(iter(first.results.values())).config
        trained = home.baselines / record.sasrec[name] if name in record.sasrec else None
        baselines = find_baselines(record.baselines, first.dataset, config, trained)
    return DatasetResults(name, first.dataset if first else None, made, baselines)


def _dataset(folder: str, home: Home) -> Dataset | None:
    """A dataset of the record, also where the whole home was moved; None if it is gone."""
    moved = home.datasets / Path(folder).name
    try:
        return open_dataset(moved if moved.is_dir() else folder)
    except UserError:
        return None


def _cell(trials: Sequence[RecordedTrial], datasets: Mapping[str, Dataset | None], home: Home) -> CellResults:
    results, failures = {}, {}
    for trial in trials:
        if not trial.fingerprint or not home.trial(trial.fingerprint).is_dir():
            failures[trial.seed] = trial.failure or NOT_RUN
            continue
        try:
            results[trial.seed] = TrialResult.load(home.trial(trial.fingerprint))
            _ = results[trial.seed].per_user
        except UserError as error:
            results.pop(trial.seed, None)
            failures[trial.seed] = Failure.of(error)
    return CellResults(trials[0].name, trials[0].cell, results, failures, datasets.get(trials[0].dataset))


def _comparisons(group: DatasetResults, metrics: Sequence[str]) -> list[Comparison]:
    tests = []
    for name in metrics:
        units = {cell.name: cell.units(name) for cell in group.cells if cell.values(name)}
        units = _with_the_same_units(units)
        tests += all_pairs(units, name)
        best = group.best(name)
        for baseline in group.baselines if best is not None and best.name in units else ():
            if best is not None and name in baseline.metrics:
                theirs = unit_values(with_raw_items(baseline.rows, group.dataset), name)
                # One training of SASRec is one; what is not trained gives the same answers for every seed.
                level = {0: theirs} if baseline.is_trained else dict.fromkeys(units[best.name], theirs)
                tests.append(compare(units[best.name], level, names=(best.name, baseline.name), metric=name))
    return tests


def _with_the_same_units(units: dict[str, dict[int, pd.Series]]) -> dict[str, dict[int, pd.Series]]:
    """The cells that were asked about the same users or texts as the first, two at least: others cannot be paired."""
    index = next((series.index for level in units.values() for series in level.values()), pd.Index([]))
    return {
        name: level
        for name, level in units.items()
        if len(index) > 1 and all(series.index.sort_values().equals(index.sort_values()) for series in level.values())
    }
