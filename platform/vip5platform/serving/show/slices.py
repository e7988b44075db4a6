"""Who gains and who loses between two trials: by the length of histories, and by how well known targets are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vip5core.data.dataset import Dataset

#: Lower ends of the slices.
_HISTORY, _POPULARITY = (1, 5, 10, 20), (0, 1, 5, 20)


@dataclass(frozen=True)
class Slice:
    """A part of the test.

    Attributes:
        name: What is in it.
        users: How many.
        means: The mean reciprocal rank of each trial.
    """

    name: str
    users: int
    means: tuple[float, float]

    @property
    def gain(self) -> float:
        """How much the second trial is better."""
        return self.means[1] - self.means[0]


def slices(rows: Sequence[pd.DataFrame], task: str, dataset: Dataset) -> list[Slice]:
    """The slices of the users that both trials were tested on, without empty ones."""
    first, second = (part[part["task"] == task].set_index("user") for part in rows)
    both = first.join(second["reciprocal_rank"], rsuffix="_2", how="inner")
    lengths = np.array([len(dataset.before(user, "test")) for user in both.index])
    popularity = dataset.training_popularity[both["item"]]
    return [
        *_cut(both, lengths, _HISTORY, "history of {} items"),
        *_cut(both, popularity, _POPULARITY, "target {} times in training"),
    ]


def _cut(both: pd.DataFrame, values: np.ndarray, starts: Sequence[int], name: str) -> list[Slice]:
    found = []
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        inside = (values >= start) & ((values < end) if end is not None else True)
        if inside.any():
            means = both.loc[inside, ["reciprocal_rank", "reciprocal_rank_2"]].mean()
            found.append(
                Slice(name.format(_range(start, end)), int(inside.sum()), (float(means.iloc[0]), float(means.iloc[1])))
            )
    return found


def _range(start: int, end: int | None) -> str:
    if end is None:
        return f"{start} or more"
    return str(start) if end == start + 1 else f"{start} to {end - 1}"
