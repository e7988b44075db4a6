"""Leave-one-out: a user's last interaction is the test item, the last but one the validation item."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Training needs a history and a target of its own, besides the two held-out items.
MIN_INTERACTIONS = 4


def with_positions(interactions: pd.DataFrame) -> pd.DataFrame:
    """Sort by user and time (ties keep the source's order) and add `position`, which is 0 for a user's first."""
    ordered = interactions.sort_values(["user", "timestamp"], kind="stable").reset_index(drop=True)
    ordered["position"] = ordered.groupby("user").cumcount().astype("int32")
    return ordered


def leave_one_out(positioned: pd.DataFrame) -> pd.Series:
    """The split (train, valid, test) of each interaction of a table with positions."""
    length = positioned.groupby("user")["position"].transform("size")
    from_end = (length - positioned["position"]).to_numpy()
    names = np.where(from_end == 1, "test", np.where(from_end == 2, "valid", "train"))
    return pd.Series(names, index=positioned.index, name="split")
