"""Which interactions are held out: the last two of each user, or all after two points in time.

The rows of a user are in order of time: first those of training, then of validation, then of the test. What is asked
for is the first row of a held-out split, given all the user's rows before it. Under leave-one-out every user has one
row of each; by time, some have none or several, and a user without a row before it is not asked.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from vip5core.errors import UserError
from vip5core.vocabulary import SplitScheme

#: The fewest interactions of a user. Training needs a history and a target: leave-one-out holds out two more.
MIN_INTERACTIONS: dict[SplitScheme, int] = {"leave-one-out": 4, "time": 2}


def leave_one_out(positioned: pd.DataFrame) -> np.ndarray:
    """The split of each interaction: a user's last is for the test, the last but one for validation."""
    length = positioned.groupby("user")["position"].transform("size")
    from_end = (length - positioned["position"]).to_numpy()
    return np.where(from_end == 1, "test", np.where(from_end == 2, "valid", "train"))


def time_points(timestamps: pd.Series, held_out: float) -> tuple[int, int]:
    """The times (unix seconds) at which validation and the test begin, the same for all users.

    Args:
        timestamps: the times of all interactions.
        held_out: the share of interactions after the second point, and between the two: more or less, for all
            interactions of one second are on the same side.

    Raises:
        UserError: if one of the three parts would be empty.
    """
    times = np.sort(timestamps.to_numpy())
    last = len(times) - 1
    valid, test = (times[min(round(len(times) * (1 - parts * held_out)), last)] for parts in (2, 1))
    if not times[0] < valid < test:
        raise UserError(
            f"split=time: {len(times)} interactions at {len(np.unique(times))} different times cannot be parted into "
            f"training, validation and test with held_out={held_out:g}: change held_out, or use split=leave-one-out"
        )
    return int(valid), int(test)


def split_at(timestamps: pd.Series, points: tuple[int, int]) -> np.ndarray:
    """The split of each interaction: before both points training, between them validation, else the test."""
    valid, test = points
    return np.where(timestamps >= test, "test", np.where(timestamps >= valid, "valid", "train"))


def find_targets(interactions: pd.DataFrame, split: str) -> np.ndarray:
    """The rows that are asked for in `split`, at most one of each user, in order of users; see the module.

    Args:
        interactions: a table ordered by user and position, with the columns user, position and split.
        split: `valid` or `test`.

    Returns:
        Row numbers. Shape: [users that are asked].
    """
    rows = np.flatnonzero(interactions["split"] == split)
    held_out = interactions.iloc[rows]
    return rows[~held_out["user"].duplicated() & (held_out["position"] > 0)]
