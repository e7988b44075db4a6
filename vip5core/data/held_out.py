"""What the held-out splits ask, and what of it training has not seen."""

from __future__ import annotations

import pandas as pd
from pydantic import BaseModel

from vip5core.data.split import find_targets


class HeldOutSplit(BaseModel):
    """A held-out split in numbers.

    Attributes:
        begins: the first time of the split, in unix seconds; under leave-one-out there is none for all users.
        interactions: the number of interactions in the split.
        asked: the number of users who are asked, each for one item.
        tied: the number of those whose item has the same time as one before or after it: its place is arbitrary.
        new_users: the number of those without an interaction in training.
        new_items: the number of those whose item is not in training.
        without_history: the number of users who are not asked, because nothing comes before what is held out.
    """

    begins: int | None
    interactions: int
    asked: int
    tied: int
    new_users: int
    new_items: int
    without_history: int


def describe_held_out(interactions: pd.DataFrame, split: str, by_time: bool) -> HeldOutSplit:
    """See `HeldOutSplit`.

    Args:
        interactions: the columns user, item, timestamp, position, tied and split, ordered by user and position.
        split: `valid` or `test`.
        by_time: whether the split begins at the same time for all users.
    """
    training = interactions[interactions["split"] == "train"]
    rows = interactions[interactions["split"] == split]
    targets = interactions.iloc[find_targets(interactions, split)]
    return HeldOutSplit(
        begins=int(rows["timestamp"].min()) if by_time else None,
        interactions=len(rows),
        asked=len(targets),
        tied=int(targets["tied"].sum()),
        new_users=int((~targets["user"].isin(training["user"])).sum()),
        new_items=int((~targets["item"].isin(training["item"])).sum()),
        without_history=int((rows["position"] == 0).sum()),
    )
