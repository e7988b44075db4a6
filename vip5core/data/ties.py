"""The order of a user's interactions at the same time, which no time tells.

The dumps of Amazon have days for times and lie in the order of their product codes. If ties kept the order of the file,
the held-out item would tend to be the one with the higher code, which says nothing about anybody's taste.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import BaseModel

from vip5core.vocabulary import Ties


class TieOrder(BaseModel):
    """How far the source's order of ties follows the raw item ids, of which a random order knows nothing.

    A pair is two neighbours in a user's history, of different items, at the same time. If a source has no times, any
    two neighbours may have been at the same time, and all of them count.

    Attributes:
        pairs: the number of pairs.
        ascending: the number of those whose second item has the higher id.
        ends: the number of pairs that are the last two of a user's interactions.
        ends_ascending: the number of those whose second item, the last one, has the higher id.
    """

    pairs: int
    ascending: int
    ends: int
    ends_ascending: int


def tie_places(rows: int, ties: Ties, seed: int) -> np.ndarray:
    """The place of each row of a source among those of the same user and time: as it came, or at random."""
    return np.random.default_rng([seed, rows]).permutation(rows) if ties == "shuffle" else np.arange(rows)


def with_positions(interactions: pd.DataFrame) -> pd.DataFrame:
    """Sort by user, time and place among ties, and add `position` (0 for a user's first) and `tied`.

    Args:
        interactions: the columns user, timestamp, fraction (of a second, in any unit) and place (`tie_places`).

    Returns:
        The sorted table; `tied` is whether the interaction before or after it has the same user and time.
    """
    ordered = interactions.sort_values(["user", "timestamp", "fraction", "place"], ignore_index=True)
    ordered["position"] = ordered.groupby("user").cumcount().astype("int32")
    ordered["tied"] = ordered.duplicated(["user", "timestamp", "fraction"], keep=False)
    return ordered


def measure_tie_order(interactions: pd.DataFrame, has_times: bool) -> TieOrder:
    """See `TieOrder`.

    Args:
        interactions: the columns user, item (both raw), timestamp and fraction, in the source's order.
        has_times: whether the source has times, or only an order.
    """
    source = interactions.sort_values(["user", "timestamp", "fraction"], kind="stable")
    codes = _in_order_of_ids(source["item"])
    users, times, fractions = (source[column].to_numpy() for column in ("user", "timestamp", "fraction"))
    same_user = users[1:] == users[:-1]
    same_time = (times[1:] == times[:-1]) & (fractions[1:] == fractions[:-1])
    pair = same_user & (codes[1:] != codes[:-1]) & (same_time | (not has_times))
    ascending = pair & (codes[1:] > codes[:-1])
    last = np.append(~same_user[1:], True)
    counts = (pair, ascending, pair & last, ascending & last)
    return TieOrder(**dict(zip(TieOrder.model_fields, (int(count.sum()) for count in counts), strict=True)))


def _in_order_of_ids(items: pd.Series) -> np.ndarray:
    """Numbers in the order of raw ids: of their value if all are numbers, else of their text."""
    codes, ids = pd.factorize(items)
    keys = [int(raw) for raw in ids] if all(raw.isascii() and raw.isdigit() for raw in ids) else list(ids)
    place = np.empty(len(keys), dtype=np.int64)
    place[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return place[codes]
