"""What a metric is: how it is computed, read and used, in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vip5core.errors import UserError
from vip5core.vocabulary import TASKS

if TYPE_CHECKING:  # a command line that only names metrics does without pandas
    import pandas as pd

_SPLIT_WORDS = {"valid": "validation ", "train": "training "}


@dataclass(frozen=True)
class Metric:
    """One metric: a value of a trial, or the mean of one value per unit (user, text or item).

    Full names are `<split>/<task>/<name>` (`test/sequential/ndcg_at_10`), `<split>/<name>` (`valid/loss`) and
    `<group>/<name>` (`cost/train_seconds`); `vip5core.metrics.metric` finds a metric by its full name.

    Attributes:
        group: the task, or `probe`, `cost`, `model`; empty for what concerns all tasks.
        name: within its group.
        label: for a table's head.
        higher_is_better: direction.
        format: of a value.
        unit: empty for shares and counts.
        words: in a sentence; by default the label.
        splits: where it is measured; none for what belongs to no split.
        columns: of the per-user rows that it is computed from.
        per_unit: its value per unit, from the rows of one task and split. Shape of the result: [units].
        overall: its value where that is no mean over units, such as BLEU of a corpus.
        in_table: it has a column in every report's table (others, where a study asks for them).
        in_comparisons: `vip5 compare` tests it without being asked to.
        in_answer: it answers studies that name no metrics of their own.
        split: of this one, once found by its full name.
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
    in_table: bool = False
    in_comparisons: bool = False
    in_answer: bool = False
    split: str = ""

    @property
    def task(self) -> str | None:
        return self.group if self.group in TASKS else None

    @property
    def title(self) -> str:
        """In a sentence: `sequential NDCG@10`, `validation loss`."""
        task = f"{self.task} " if self.task else ""
        return f"{_SPLIT_WORDS.get(self.split, '')}{task}{self.words or self.label}"

    @property
    def is_testable(self) -> bool:
        """Is it the mean of one value per unit, measured on the test, so that levels can be compared by it?"""
        return self.per_unit is not None and self.split in ("", "test")

    @property
    def unit_name(self) -> str:
        """What it has one value for."""
        return {"explanation": "text", "probe": "item"}.get(self.group, "user")

    def better(self, value: float, than: float) -> bool:
        """Is `value` strictly better than `than`?"""
        return value > than if self.higher_is_better else value < than

    def show(self, value: float | None) -> str:
        """A value as text; a dash where there is none."""
        return "–" if value is None or value != value else format(value, self.format)

    def rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Its rows among all rows of a trial."""
        if self.group == "probe":
            return rows[(rows["task"] == "probe") & (rows["template"] == self.name)]
        return rows[(rows["split"] == self.split) & (rows["task"] == self.group)]

    def can_be_computed(self, rows: pd.DataFrame) -> bool:
        """Do these rows, of its task and one split, have what it needs?"""
        if self.per_unit is None and self.overall is None:
            return False
        return all(column in rows and bool(rows[column].notna().all()) for column in self.columns)

    def values(self, rows: pd.DataFrame) -> np.ndarray:
        """Its value of each unit, stored or computed, from rows of its task and split. Shape: [units].

        Raises:
            UserError: if it has none, or the rows lack what it is computed from.
        """
        if self.per_unit is None or not (self.name in rows or self.can_be_computed(rows)):
            raise UserError(f"metric {self.name!r} has no value per {self.unit_name} in these results")
        return rows[self.name].to_numpy(float) if self.name in rows else self.per_unit(rows)

    def value(self, rows: pd.DataFrame) -> float:
        """Its value over rows of its task and split.

        Raises:
            ValueError: without rows.
        """
        if not len(rows):
            raise ValueError(f"metric {self.name!r}: there are no rows to compute it from")
        return self.overall(rows) if self.overall is not None else float(np.mean(self.values(rows)))


def pareto_front(points: Sequence[Mapping[str, float]], metrics: Mapping[str, Metric]) -> list[int]:
    """The places of those points that no other improves on in one metric without being worse in another.

    Args:
        points: values by full name.
        metrics: the objectives, by full name.
    """

    def dominates(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
        worse = any(known.better(other[name], one[name]) for name, known in metrics.items())
        return not worse and any(known.better(one[name], other[name]) for name, known in metrics.items())

    return [place for place, point in enumerate(points) if not any(dominates(other, point) for other in points)]
