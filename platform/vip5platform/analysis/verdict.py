"""What the comparisons on one metric show."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from vip5core.metrics import metric
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.analysis.significance import Comparison

#: Costs by which levels are compared, with their names in a sentence.
COSTS = {"model/trainable_parameters": "the trainable parameters", "cost/train_seconds": "the training time"}
#: A level that may lose more than this share of the best mean is not recommended as a cheaper alternative.
MAX_LOSS = 0.5
#: Relative differences in cost below this are ignored: repeated trainings differ by about as much in time.
_SAME_COST = 0.1


def is_declared_different(test: Comparison | None) -> bool:
    """Are the levels declared different? Never with one seed: another run of the same level may differ as much."""
    return test is not None and test.seeds > 1 and test.distinguishable


@dataclass(frozen=True)
class Verdict:
    """The result of one metric on one dataset.

    Attributes:
        metric: The full name of the metric.
        best: The cell with the best mean; None if all cells are the same at the precision shown.
        beaten: Tests of the best cell against those that it is declared different from, the closest first.
        indistinguishable: The other cells, which are not distinguishable from the best.
        others: Tests of pairs without the best cell that are declared different.
        undetected: The largest difference that cannot be ruled out between cells that are not declared different.
        tests: All tests between cells.
        against: Tests of the best cell against the baselines.
    """

    metric: str
    best: CellResults | None
    beaten: tuple[Comparison, ...]
    indistinguishable: tuple[CellResults, ...]
    others: tuple[Comparison, ...]
    undetected: float
    tests: tuple[Comparison, ...]
    against: tuple[Comparison, ...]

    @property
    def decided(self) -> bool:
        """Is any pair of cells declared different?"""
        return bool(self.beaten or self.others)

    @property
    def units(self) -> int:
        """The number of users, texts or items that were compared."""
        return max((test.units for test in (*self.tests, *self.against)), default=0)


def verdict(group: DatasetResults, name: str) -> Verdict:
    """The verdict on one metric of a dataset."""
    cells = {cell.name for cell in group.cells}
    tests = [test for test in group.comparisons if test.metric == name and {test.first, test.second} <= cells]
    best = group.best(name)
    own = [test if test.first == best.name else test.swapped() for test in tests if best and _involves(test, best)]
    rest = [test for test in tests if best is None or not _involves(test, best)]
    beaten = sorted((test for test in own if is_declared_different(test)), key=lambda test: abs(test.difference))
    higher = metric(name).higher_is_better
    against = [
        test if test.first == best.name else test.swapped()
        for test in group.comparisons
        if best and test.metric == name and _involves(test, best) and not {test.first, test.second} <= cells
    ]
    beaten_names = {test.second for test in beaten}
    indistinguishable = [
        cell for cell in group.cells if cell.values(name) and cell is not best and cell.name not in beaten_names
    ]
    return Verdict(
        name,
        best,
        tuple(beaten),
        tuple(indistinguishable),
        tuple(
            test if (test.difference > 0) == higher else test.swapped() for test in rest if is_declared_different(test)
        ),
        max((max(abs(test.low), abs(test.high)) for test in tests if not is_declared_different(test)), default=0.0),
        tuple(tests),
        tuple(against),
    )


def _involves(test: Comparison, cell: CellResults) -> bool:
    return cell.name in (test.first, test.second)


def beats_baseline(test: Comparison) -> bool | None:
    """Is the first level better than this baseline? None if the two are not distinguishable.

    A baseline that was trained once is compared by the variance of the level over its seeds.
    """
    if not test.distinguishable:
        return None
    return (test.difference > 0) == metric(test.metric).higher_is_better


def is_weak(one: Verdict, group: DatasetResults) -> bool:
    """Is there a baseline that is not beaten? If all levels are the same, none was tested, and the means decide."""
    if one.best is not None:
        return any(beats_baseline(test) is not True for test in one.against)
    mean = next((cell.mean(one.metric) for cell in group.cells if cell.values(one.metric)), math.nan)
    return any(
        metric(one.metric).better(baseline.metrics.get(one.metric, math.nan), mean) for baseline in group.baselines
    )


def possible_loss(one: Verdict, cell: CellResults) -> float:
    """How much worse than the best `cell` may be, as a share of the best mean, by the interval of the difference."""
    best = one.best
    if best is None or cell is best or not best.mean(one.metric):
        return 0.0
    for test in one.tests:
        if {test.first, test.second} == {best.name, cell.name}:
            return max(abs(test.low), abs(test.high)) / abs(best.mean(one.metric))
    return 0.0


@dataclass(frozen=True)
class Cheapest:
    """The cheapest of the cells that are not distinguishable from the best on any metric.

    Attributes:
        cell: The cheapest cell.
        than: The best cell on the first metric.
        shares: The costs of `cell` as shares of those of `than`, by metric, where they differ.
    """

    cell: CellResults
    than: CellResults
    shares: dict[str, float]


def cheapest(group: DatasetResults, verdicts: list[Verdict]) -> Cheapest | None:
    """The cheapest cell, preferably with little possible loss; None if none cheaper is among the best throughout.

    Cheaper is what costs less in one way and not more in any other.
    """
    ranked = [found for found in verdicts if found.tests]
    than = next((found.best for found in ranked if found.best is not None), None)
    if than is None:
        return None
    alike = [
        cell
        for cell in group.cells
        if cell.results and all(found.best in (None, cell) or cell in found.indistinguishable for found in ranked)
    ]
    safe = [cell for cell in alike if all(possible_loss(one, cell) <= MAX_LOSS for one in ranked)]
    shares = {
        cell.name: {name: cell.mean(name) / than.mean(name) for name in COSTS if than.mean(name) > 0} for cell in alike
    }
    for pool, cost in itertools.product((safe, alike), COSTS):
        # A missing cost is nan, for which comparisons are false.
        below = [
            cell
            for cell in pool
            if shares[cell.name].get(cost, 1) < 1 - _SAME_COST
            and not any(share > 1 + _SAME_COST for share in shares[cell.name].values())
        ]
        if below:
            cell = min(below, key=lambda cell: cell.mean(cost))
            differing = {name: share for name, share in shares[cell.name].items() if abs(share - 1) >= _SAME_COST}
            return Cheapest(cell, than, differing)
    return None


def verdicts(study: StudyResults, group: DatasetResults) -> list[Verdict]:
    """The verdict on every metric of the study that was measured on this dataset."""
    return [verdict(group, name) for name in study.metrics if any(cell.values(name) for cell in group.cells)]
