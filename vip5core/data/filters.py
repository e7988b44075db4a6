"""Which interactions of a source are kept. Every rule is a named option, and what it drops is counted."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pandas as pd

from vip5core.data.raw import DropLedger
from vip5core.data.split import MIN_INTERACTIONS

Repeats = Literal["first", "last", "keep"]
Duplicates = Literal["drop", "keep"]
REPEATS: tuple[Repeats, ...] = get_args(Repeats)
DUPLICATES: tuple[Duplicates, ...] = get_args(Duplicates)


def drop_duplicates(interactions: pd.DataFrame, ledger: DropLedger) -> pd.DataFrame:
    """Without further rows of the same user, item and second: one event, told twice (of them the first stays)."""
    again = interactions.duplicated(["user", "item", "timestamp"])
    return _without(interactions, again, ledger, "told twice: the same user, item and time (duplicates=drop)")


def resolve_repeats(interactions: pd.DataFrame, keep: Repeats, ledger: DropLedger) -> pd.DataFrame:
    """One interaction for each user and item.

    A user who comes back to an item has a held-out item in the history, which no ranking without the history can
    find; a source in which coming back is what matters says `keep`.

    Args:
        keep: the earliest (`first`), the latest (`last`), or every one (`keep`).
    """
    if keep == "keep":
        return interactions
    ordered = interactions.sort_values("timestamp", kind="stable")
    again = ordered.duplicated(["user", "item"], keep=keep).reindex(interactions.index)
    return _without(interactions, again, ledger, f"the user had the item at another time (repeats={keep})")


def k_core(interactions: pd.DataFrame, k: int, ledger: DropLedger) -> pd.DataFrame:
    """The largest part in which every user and every item has at least `k` interactions; `k` below 2 keeps all."""
    if k < 2 or interactions.empty:
        return interactions
    users, _ = pd.factorize(interactions["user"])
    items, _ = pd.factorize(interactions["item"])
    kept = np.arange(len(interactions))
    while len(kept):
        dense = (np.bincount(users[kept])[users[kept]] >= k) & (np.bincount(items[kept])[items[kept]] >= k)
        if dense.all():
            break
        kept = kept[dense]
    outside = np.ones(len(interactions), dtype=bool)
    outside[kept] = False
    return _without(
        interactions,
        pd.Series(outside, interactions.index),
        ledger,
        f"of a user or item with fewer than {k} (k_core={k})",
    )


def drop_short_users(interactions: pd.DataFrame, ledger: DropLedger) -> pd.DataFrame:
    """Without the users whose history cannot be split."""
    short = interactions.groupby("user")["item"].transform("size") < MIN_INTERACTIONS
    if short.any():
        ledger.add(
            "user",
            f"fewer than {MIN_INTERACTIONS} interactions: too few to train, validate and test on",
            count=int(interactions.loc[short, "user"].nunique()),
        )
        ledger.add("interaction", "of a user with too few", count=int(short.sum()))
    return interactions[~short].reset_index(drop=True)


def _without(interactions: pd.DataFrame, dropped: pd.Series, ledger: DropLedger, reason: str) -> pd.DataFrame:
    if not dropped.any():
        return interactions
    row = interactions[dropped].iloc[0]
    ledger.add("interaction", reason, f"user {row['user']}, item {row['item']}", count=int(dropped.sum()))
    return interactions[~dropped].reset_index(drop=True)
