"""What a metric is: how it is computed, formatted and used, in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vip5core.errors import UserError
from vip5core.vocabulary import TASKS

if TYPE_CHECKING:  # naming metrics, as a command line does, should import neither pandas nor numpy
    import numpy as np
    import pandas as pd

_SPLIT_WORDS = {"valid": "validation ", "train": "training "}


@dataclass(frozen=True)
class Metric:
    """One metric: a value of a trial, or the mean of one value per unit (user, text or item).

    Full names are `<split>/<task>/<name>` (`test/sequential/ndcg_at_10`), `<split>/<name>` (`valid/loss`) and
    `<group>/<name>` (`cost/train_seconds`); `vip5core.metrics.metric` finds a metric by its full name.

    Attributes:
        group: The task, or `probe`, `cost` or `model`; empty for a metric over all tasks.
        name: The name of the metric within its group.
        label: The name of the metric in the header of a table.
        higher_is_better: Whether a higher value is better.
        format: The format specification of a value.
        unit: The unit of a value; empty for shares and counts.
        words: The name of the metric in a sentence; by default its label.
        splits: The splits that it is measured on; empty for a metric that belongs to no split.
        columns: The columns of the per-user rows that it is computed from.
        per_unit: Gives the value of each unit from the rows of one task and split. Shape of the result: [units].
        overall: Gives the value where that is not the mean over units, such as BLEU of a corpus.
        only: Tells which rows of one task and split it is about; None if it is about all of them.
        in_table: Whether every report's table has a column for it; other metrics have one if a study asks for them.
        in_comparisons: Whether `vip5 compare` tests it by default.
        in_answer: Whether it answers the question of a study that names no metrics.
        split: The split, in a metric found by its full name.
    """

    group: str
    name: str
    label: str
    higher_is_better: bool
    format: str
    unit: str = ""
    words: str = ""
    splits: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    per_unit: Callable[[pd.DataFrame], np.ndarray] | None = None
    overall: Callable[[pd.DataFrame], float] | None = None
    only: Callable[[pd.DataFrame], pd.Series] | None = None
    in_table: bool = False
    in_comparisons: bool = False
    in_answer: bool = False
    split: str = ""

    @property
    def task(self) -> str | None:
        return self.group if self.group in TASKS else None

    @property
    def title(self) -> str:
        """The metric in a sentence: `sequential NDCG@10`, `validation loss`."""
        task = f"{self.task} " if self.task else ""
        return f"{_SPLIT_WORDS.get(self.split, '')}{task}{self.words or self.label}"

    @property
    def is_testable(self) -> bool:
        """Is it the mean of one value per unit on the test split, so that levels can be compared by a paired test?"""
        return self.per_unit is not None and self.split in ("", "test")

    @property
    def unit_name(self) -> str:
        """The unit that it has one value for."""
        return {"explanation": "text", "probe": "item"}.get(self.group, "user")

    def better(self, value: float, than: float) -> bool:
        """Is `value` strictly better than `than`?"""
        return value > than if self.higher_is_better else value < than

    def show(self, value: float | None) -> str:
        """A value as text; a dash if there is none."""
        return "–" if value is None or value != value else format(value, self.format)

    def rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Those of a trial's rows that it is computed from."""
        return self.own(self.of_task(rows))

    def of_task(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Those of a trial's rows that are of its task and split, or of its probe."""
        if self.group == "probe":
            return rows[(rows["task"] == "probe") & (rows["template"] == self.name)]
        return rows[(rows["split"] == self.split) & (rows["task"] == self.group)]

    def own(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Those of the rows of its task and one split that it is about."""
        return rows if self.only is None else rows[self.only(rows)]

    def can_be_computed(self, rows: pd.DataFrame) -> bool:
        """Do these rows, of its task and one split, have the columns that it needs?"""
        if (self.per_unit is None and self.overall is None) or not len(rows):
            return False
        return all(column in rows and bool(rows[column].notna().all()) for column in self.columns)

    def values(self, rows: pd.DataFrame) -> np.ndarray:
        """The value of each unit, stored or computed, from rows of its task and split. Shape: [units].

        Raises:
            UserError: if it has no value per unit, or the rows lack the columns that it needs.
        """
        if self.per_unit is None or not (self.name in rows or self.can_be_computed(rows)):
            raise UserError(f"metric {self.name!r} has no value per {self.unit_name} in these results")
        return rows[self.name].to_numpy(float) if self.name in rows else self.per_unit(rows)

    def value(self, rows: pd.DataFrame) -> float:
        """The value over rows of its task and split.

        Raises:
            ValueError: if there are no rows.
        """
        if not len(rows):
            raise ValueError(f"metric {self.name!r}: there are no rows to compute it from")
        return self.overall(rows) if self.overall is not None else float(self.values(rows).mean())


def pareto_front(points: Sequence[Mapping[str, float]], metrics: Mapping[str, Metric]) -> list[int]:
    """The indices of the points that no other point dominates: none is better in one metric and worse in no other.

    Args:
        points: The values of each point, by the full names of metrics.
        metrics: The objectives, by their full names.
    """

    def dominates(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
        worse = any(known.better(other[name], one[name]) for name, known in metrics.items())
        return not worse and any(known.better(one[name], other[name]) for name, known in metrics.items())

    return [place for place, point in enumerate(points) if not any(dominates(other, point) for other in points)]
