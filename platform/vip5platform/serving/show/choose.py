"""Which users a page shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vip5core.errors import UserError
from vip5core.metrics import UNRANKED
from vip5core.vocabulary import RANKING_TASKS

#: A target up to this rank is a hit, as the list is shown; further down it is a near miss.
SHOWN = 10


def verdict(rank: int) -> str:
    """What a rank means: `hit`, `near miss` or `failure`."""
    if rank == UNRANKED:
        return "failure"
    return "hit" if rank <= SHOWN else "near miss"


def sample_users(rows: pd.DataFrame, task: str, count: int, seed: int) -> list[int]:
    """Users of a test, drawn at random, as many hits, near misses and failures as there are of each up to a third.

    Args:
        rows: The trial's per-user rows.
        task: The task that decides; of explanations all are alike.
        count: The number of users.
        seed: The seed of the draw.

    Raises:
        UserError: if the test has no rows of this task.
    """
    asked = rows[rows["task"] == task]
    if asked.empty:
        raise UserError(f"--task {task}: the test of this trial did not ask for it; it has {_tasks(rows)}")
    drawn = asked.drop_duplicates("user").sample(frac=1.0, random_state=np.random.default_rng([seed, len(asked)]))
    kinds = drawn["rank"].map(verdict) if task in RANKING_TASKS else pd.Series("", index=drawn.index)
    turn = drawn.groupby(kinds, sort=False).cumcount()  # one of each kind, then a second one of each, …
    return drawn.loc[turn.sort_values(kind="stable").index[:count], "user"].tolist()


def users_that_differ(rows: Sequence[pd.DataFrame], task: str, count: int) -> list[int]:
    """The users on whom two trials differ most in the reciprocal rank of the target, the largest difference first.

    Raises:
        UserError: if the tests of the two share no user.
    """
    first, second = (part[part["task"] == task].set_index("user")["reciprocal_rank"] for part in rows)
    difference = (first - second).abs().dropna().sort_values(ascending=False, kind="stable")
    if difference.empty:
        raise UserError(f"--task {task}: the tests of the two trials share no user")
    return difference.index[:count].tolist()


def _tasks(rows: pd.DataFrame) -> str:
    return ", ".join(rows["task"].unique())
