"""What the comparisons of one metric come to."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from vip5core.metrics import metric
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.analysis.significance import Comparison

#: Costs by which one level may be cheaper than another, with the words for a share of them.
COSTS = {"model/trainable_parameters": "the trainable parameters", "cost/train_seconds": "the training time"}
#: A level that may be this much worse than the best, as a share of it, is not offered in its stead.
TOO_MUCH = 0.5
#: Differences of cost below this are none.
_SAME_COST = 0.02


def tells_apart(test: Comparison | None) -> bool:
    """Are two levels declared different? Not with one seed: another training of the same level may differ as much."""
    return test is not None and test.seeds > 1 and test.distinguishable


@dataclass(frozen=True)
class Verdict:
    """One metric in one group.

    Attributes:
        metric: its name.
        best: the cell with the best mean; None if all look the same.
        beaten: tests of the best against what it can be told from, the nearest first.
        alike: the other cells, which it cannot be told from.
        others: tests of two other cells that can be told apart.
        hidden: how large a difference between two cells could be that was not found.
        tests: between cells.
        against: tests of the best against the baselines.
    """

    metric: str
    best: CellResults | None
    beaten: tuple[Comparison, ...]
    alike: tuple[CellResults, ...]
    others: tuple[Comparison, ...]
    hidden: float
    tests: tuple[Comparison, ...]
    against: tuple[Comparison, ...]

    @property
    def decided(self) -> bool:
        return bool(self.beaten or self.others)

    @property
    def units(self) -> int:
        return max((test.units for test in (*self.tests, *self.against)), default=0)


def verdict(group: DatasetResults, name: str) -> Verdict:
    cells = {cell.name for cell in group.cells}
    tests = [test for test in group.comparisons if test.metric == name and {test.first, test.second} <= cells]
    best = group.best(name)
    own = [test if test.first == best.name else test.swapped() for test in tests if best and _of(test, best)]
    rest = [test for test in tests if best is None or not _of(test, best)]
    beaten = sorted((test for test in own if tells_apart(test)), key=lambda test: abs(test.difference))
    higher = metric(name).higher_is_better
    against = [
        test if test.first == best.name else test.swapped()
        for test in group.comparisons
        if best and test.metric == name and _of(test, best) and not {test.first, test.second} <= cells
    ]
    told = {test.second for test in beaten}
    alike = [cell for cell in group.cells if cell.values(name) and cell is not best and cell.name not in told]
    return Verdict(
        name,
        best,
        tuple(beaten),
        tuple(alike),
        tuple(test if (test.difference > 0) == higher else test.swapped() for test in rest if tells_apart(test)),
        max((max(abs(test.low), abs(test.high)) for test in tests if not tells_apart(test)), default=0.0),
        tuple(tests),
        tuple(against),
    )


def _of(test: Comparison, cell: CellResults) -> bool:
    return cell.name in (test.first, test.second)


def above(test: Comparison) -> bool | None:
    """Is the first, trained with several seeds, better than this baseline? None: they cannot be told apart.

    A baseline that was trained once is no less certain than the levels' spread over seeds makes it.
    """
    if not test.distinguishable:
        return None
    return (test.difference > 0) == metric(test.metric).higher_is_better


def is_weak(one: Verdict, group: DatasetResults) -> bool:
    """Is some baseline not surpassed? Where all levels look the same none was tested: then its mean decides."""
    if one.best is not None:
        return any(above(test) is not True for test in one.against)
    mean = next((cell.mean(one.metric) for cell in group.cells if cell.values(one.metric)), math.nan)
    return any(
        metric(one.metric).better(baseline.metrics.get(one.metric, math.nan), mean) for baseline in group.baselines
    )


def possible_loss(one: Verdict, cell: CellResults) -> float:
    """How much worse than the best `cell` may be, as a share of the best, by the interval of their difference."""
    best = one.best
    if best is None or cell is best or not best.mean(one.metric):
        return 0.0
    for test in one.tests:
        if {test.first, test.second} == {best.name, cell.name}:
            return max(abs(test.low), abs(test.high)) / abs(best.mean(one.metric))
    return 0.0


@dataclass(frozen=True)
class Cheapest:
    """The least costly of the cells that no metric can tell from its best.

    Attributes:
        cell: which.
        than: the best on the first metric.
        shares: of that one's costs, by metric, where they differ.
    """

    cell: CellResults
    than: CellResults
    shares: dict[str, float]


def cheapest(group: DatasetResults, verdicts: list[Verdict]) -> Cheapest | None:
    """One that may lose little, if there is one. None if no cell that is cheaper is among the best on every metric."""
    ranked = [found for found in verdicts if found.tests]
    than = next((found.best for found in ranked if found.best is not None), None)
    if than is None:
        return None
    alike = [
        cell
        for cell in group.cells
        if cell.results and all(found.best in (None, cell) or cell in found.alike for found in ranked)
    ]
    safe = [cell for cell in alike if all(possible_loss(one, cell) <= TOO_MUCH for one in ranked)]
    for pool, cost in itertools.product((safe, alike), COSTS):
        # A cost that a cell lacks is nan, which is less than nothing.
        below = [cell for cell in pool if cell.mean(cost) < (1 - _SAME_COST) * than.mean(cost)]
        if below:
            cell = min(below, key=lambda cell: cell.mean(cost))
            shares = {name: cell.mean(name) / than.mean(name) for name in COSTS if than.mean(name) > 0}
            return Cheapest(cell, than, {name: s for name, s in shares.items() if abs(s - 1) >= _SAME_COST})
    return None


def verdicts(study: StudyResults, group: DatasetResults) -> list[Verdict]:
    """Of every metric of the study that the group has."""
    return [verdict(group, name) for name in study.metrics if any(cell.values(name) for cell in group.cells)]
