"""Who gains and who loses between two trials, in the slices of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from vip5core.metrics import SLICES, metric


@dataclass(frozen=True)
class SliceGain:
    """What two trials come to in a slice of the test users.

    Attributes:
        name: What is in it.
        users: How many.
        means: The mean NDCG@10 of each trial.
    """

    name: str
    users: int
    means: tuple[float, float]

    @property
    def gain(self) -> float:
        """How much the second trial is better."""
        return self.means[1] - self.means[0]


def slice_gains(rows: Sequence[pd.DataFrame], task: str) -> list[SliceGain]:
    """The slices of the users that both trials were tested on, without empty ones.

    Args:
        rows: The per-user rows of the two trials.
        task: A task of ranking.
    """
    ndcg = metric(f"test/{task}/ndcg_at_10")
    first, second = (part.assign(value=ndcg.values(part)).set_index("user") for part in map(ndcg.rows, rows))
    both = first.join(second["value"], rsuffix="_2", how="inner")
    found = []
    for known in SLICES.values():
        inside = both[known.holds(both)]
        if len(inside):
            means = (float(inside["value"].mean()), float(inside["value_2"].mean()))
            found.append(SliceGain(known.words, len(inside), means))
    return found
