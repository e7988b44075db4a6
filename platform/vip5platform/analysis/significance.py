"""Paired tests of levels that generalise over users and training runs.

A level is trained with S seeds, and each trained model gives one value per unit (a user, or a text). Both users and
seeds are random samples: a test over users alone mistakes run-to-run variance for a difference between levels (Clark
1973, "The language-as-fixed-effect fallacy"). How the choices below were validated: docs/statistics.md.

Shapes: S seeds, U units.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from vip5core.errors import UserError
from vip5core.metrics import metric as find_metric
from vip5platform.analysis.resampling import ALPHA, interval_of, p_value_of, seed_noise

#: The values of each trained model, one per unit, by seed.
Level = Mapping[int, pd.Series]

#: Draws of a null distribution or a bootstrap: the smallest p-value is 1e-4, which leaves room for Holm's correction.
DRAWS = 9_999


@dataclass(frozen=True)
class Comparison:
    """The comparison of two levels on one metric.

    Attributes:
        first: The name of the first level.
        second: The name of the second level.
        metric: The full name of the metric.
        first_mean: The mean of the first level over units and seeds.
        second_mean: The mean of the second level over units and seeds.
        difference: `first_mean - second_mean`.
        low: The lower end of the 95 % interval of the difference.
        high: The upper end of that interval.
        p_value: The two-sided p-value of no difference.
        effect_size: Cohen's d of paired units: the mean of the units' differences over their standard deviation.
        seeds: The number of seeds of the level with fewer. With one, run-to-run variance is unknown and the result is
            about these two trained models, not about the levels.
        units: The number of users, texts or items.
        p_adjusted: `p_value` adjusted by `with_holm`; None before.
    """

    first: str
    second: str
    metric: str
    first_mean: float
    second_mean: float
    difference: float
    low: float
    high: float
    p_value: float
    effect_size: float
    seeds: int
    units: int
    p_adjusted: float | None = None

    @property
    def relative(self) -> float:
        """The difference as a share of the second level's mean; nan where that is 0."""
        return self.difference / self.second_mean if self.second_mean else math.nan

    def swapped(self) -> Comparison:
        """The same comparison with the two levels exchanged."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            first_mean=self.second_mean,
            second_mean=self.first_mean,
            difference=-self.difference,
            low=-self.high,
            high=-self.low,
            effect_size=-self.effect_size,
        )

    @property
    def distinguishable(self) -> bool:
        """Is the difference significant at 5 % after correction for multiple comparisons?

        Raises:
            ValueError: If the p-value was not adjusted by `with_holm`.
        """
        if self.p_adjusted is None:
            raise ValueError("correct the p-values with with_holm first")
        return self.p_adjusted < ALPHA


def compare(
    first: Level,
    second: Level,
    *,
    names: tuple[str, str] = ("first", "second"),
    metric: str = "",
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Test and estimate the difference between two levels.

    The null distribution of the mean difference has two parts. Units: the sign of each unit's difference, averaged
    over seeds, is flipped at random, scaled down by the share of run-to-run variance.
    Seeds: draws of Student's t with the variance of the levels' means from seed to seed (see `seed_noise`). The
    interval combines the same second part with a percentile bootstrap over units.

    Seeds are not paired, which doubles the degrees of freedom and allows a level to lack a seed. Where equal seeds make
    runs of both levels similar, the test is conservative.

    Args:
        first: The values of the first level.
        second: The values of the second level.
        names: The names of the levels in the result.
        metric: The name of the metric in the result.
        draws: The number of draws of each distribution.
        seed: The seed of the draws; the same seed gives the same numbers.

    Raises:
        UserError: If the levels were measured on different units or on one only, or a value is not a finite number.
    """
    a, b = _align_units([first, second], names)
    units = a.shape[1]
    change = a.mean(axis=0) - b.mean(axis=0)
    difference = float(change.mean())
    # Computed from the higher level, so that swapping the levels changes nothing but the signs.
    turn = math.copysign(1.0, difference if difference else next((float(x) for x in change if x), 1.0))
    low, high, p_value = 0.0, 0.0, 1.0
    if change.any():
        noise = seed_noise([a, b], change, draws, seed)
        p_value = p_value_of(turn * change, noise, seed)
        low, high = interval_of(turn * change, noise, seed)
        low, high = (low, high) if turn > 0 else (-high, -low)
    spread = float(change.std(ddof=1))
    return Comparison(
        first=names[0],
        second=names[1],
        metric=metric,
        first_mean=float(a.mean()),
        second_mean=float(b.mean()),
        difference=difference,
        low=low,
        high=high,
        p_value=p_value,
        effect_size=difference / spread if spread else difference and math.copysign(math.inf, difference),
        seeds=min(len(a), len(b)),
        units=units,
    )


def mean_interval(values: Level, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float, float]:
    """A level's mean over units and seeds, with its 95 % interval: (mean, low, high). See `compare`."""
    (matrix,) = _align_units([values], ("the level",))
    of_units = matrix.mean(axis=0)
    # The mean as the interval has it: summed in another order, it may lie outside by the last digit.
    return float(of_units.mean()), *interval_of(of_units, seed_noise([matrix], of_units, draws, seed), seed)


def seeds_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean of one value per seed with its 95 % interval by Student's t: (mean, low, high); nan with one seed.

    For metrics without a value per unit: costs and corpus BLEU.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = float(stdtrit(len(values) - 1, 1 - ALPHA / 2) * np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def all_pairs(levels: Mapping[str, Level], metric: str) -> list[Comparison]:
    """Compare all pairs of levels in the given order, without adjusting p-values."""
    return [compare(levels[a], levels[b], names=(a, b), metric=metric) for a, b in itertools.combinations(levels, 2)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of one family so that its family-wise error rate is 5 % (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with `p_adjusted`, adjusted as one family."""
    adjusted = holm([each.p_value for each in comparisons])
    return [replace(each, p_adjusted=p) for each, p in zip(comparisons, adjusted, strict=True)]


def rank_agreement(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[float, float]:
    """Kendall's tau-b between the orders of levels on two datasets, and its p-value, exact without ties.

    Args:
        first: The mean of each level on the first dataset.
        second: The mean of each level on the second dataset; levels on one dataset only are ignored.

    Raises:
        UserError: If the datasets share fewer than two levels.
    """
    shared = [name for name in first if name in second]
    if len(shared) < 2:
        raise UserError(f"{len(shared)} levels in common: at least two are needed to compare their order")
    from scipy.stats import kendalltau  # late, because all of scipy.stats takes seconds to import

    result = kendalltau([first[name] for name in shared], [second[name] for name in shared])
    return float(result.statistic), float(result.pvalue)


def unit_values(rows: pd.DataFrame, metric: str) -> pd.Series:
    """The values whose mean is `metric`, one per unit.

    Args:
        rows: The per-user rows of a trial; see `vip5core.evaluation.results`.
        metric: The full name, such as `test/sequential/ndcg_at_10`, `test/explanation/rouge_l` or `probe/<name>`.

    Returns:
        Values by (user, item), or by item for a probe; units that occur several times are numbered.

    Raises:
        UserError: For a metric that is not a mean over units, or rows without it.
    """
    return UnitRows(rows).values(metric)


class UnitRows:
    """A trial's rows by unit, which several metrics share: to put them in order takes longer than to read a value.

    Args:
        rows: The per-user rows of a trial; see `vip5core.evaluation.results`.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows
        self._ordered: dict[tuple[str, ...], pd.DataFrame] = {}

    def values(self, metric: str) -> pd.Series:
        """See `unit_values`."""
        known = find_metric(metric)
        if known.per_unit is None:
            raise UserError(f"metric {metric!r} has no value per {known.unit_name}")
        key = (known.split, known.group, known.name if known.group == "probe" else "")
        if key not in self._ordered:
            keys = ["item"] if known.unit_name == "item" else ["user", "item"]
            self._ordered[key] = _by_unit(known.of_task(self._rows), keys)
        rows = known.own(self._ordered[key])
        if rows.empty:
            tasks = ", ".join(sorted(self._rows["task"].unique())) or "none"
            raise UserError(f"{metric}: no rows of its task or slice; these results have {tasks}")
        return pd.Series(known.values(rows), index=rows.index, name=metric)


def _by_unit(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The rows in the order of their units, which are the index; units that occur several times are numbered."""
    # Several texts of one user and item are in no fixed order, so they are sorted by their reference.
    rows = rows.sort_values([*keys, "reference"] if "reference" in rows else keys, kind="stable")
    if rows.duplicated(keys).any():
        rows = rows.assign(number=rows.groupby(keys).cumcount())
        keys = [*keys, "number"]
    return rows.set_index(keys, drop=False)


def _align_units(levels: Sequence[Level], names: Sequence[str]) -> list[np.ndarray]:
    """One matrix per level with its units in the same order. Shape: [S, U]."""
    for level, name in zip(levels, names, strict=True):
        if not level:
            raise UserError(f"{name}: no values, because none of its trials has finished")
    units = next(iter(levels[0].values())).index
    for level, name in zip(levels, names, strict=True):
        for number, series in level.items():
            if not series.index.is_unique:
                raise UserError(f"{name}, seed {number}: duplicate units")
            shared = len(units) if series.index.equals(units) else len(units.intersection(series.index))
            if shared != len(units) or shared != len(series):
                raise UserError(
                    f"{name}, seed {number}: {shared} of its {len(series)} units are among the {len(units)} units of "
                    f"{names[0]}; compare runs on the same dataset and test users"
                )
    if len(units) < 2:
        raise UserError(f"{len(units)} unit: at least two are needed to compare; test more users")
    matrices = [np.stack([series.reindex(units).to_numpy(float) for series in level.values()]) for level in levels]
    for matrix, name in zip(matrices, names, strict=True):
        if not np.isfinite(matrix).all():
            raise UserError(f"{name}: some values are not finite numbers; train its trials again (--force)")
    return matrices
