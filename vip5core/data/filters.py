"""Filters for the interactions of a source. Every filter is a named option, and what it drops is counted."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pandas as pd

from vip5core.data.raw import DropLedger

Repeats = Literal["first", "last", "keep"]
Duplicates = Literal["drop", "keep"]
REPEATS: tuple[Repeats, ...] = get_args(Repeats)
DUPLICATES: tuple[Duplicates, ...] = get_args(Duplicates)


def drop_duplicates(interactions: pd.DataFrame, ledger: DropLedger) -> pd.DataFrame:
    """Drop further rows of the same user, item and second: one event, recorded twice. The first row is kept."""
    again = interactions.duplicated(["user", "item", "timestamp"])
    return _drop(interactions, again, ledger, "duplicate: same user, item and time (duplicates=drop)")


def resolve_repeats(interactions: pd.DataFrame, keep: Repeats, ledger: DropLedger) -> pd.DataFrame:
    """Keep one interaction for each user and item.

    The held-out item of a user who returns to it is in the history, where no ranking that excludes the history can find
    it. Use `keep` for sources in which returning is what matters.

    Args:
        interactions: the interactions, with raw ids.
        keep: which interaction to keep: the earliest (`first`), the latest (`last`), or all (`keep`).
        ledger: takes the drops.
    """
    if keep == "keep":
        return interactions
    ordered = interactions.sort_values("timestamp", kind="stable")
    again = ordered.duplicated(["user", "item"], keep=keep).reindex(interactions.index)
    return _drop(interactions, again, ledger, f"repeat: same user and item at another time (repeats={keep})")


def k_core(interactions: pd.DataFrame, k: int, ledger: DropLedger) -> pd.DataFrame:
    """Keep the largest subset in which every user and item has at least `k` interactions; `k` below 2 keeps all."""
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
    return _drop(
        interactions,
        pd.Series(outside, interactions.index),
        ledger,
        f"its user or item has fewer than {k} interactions (k_core={k})",
    )


def drop_short_users(interactions: pd.DataFrame, fewest: int, ledger: DropLedger) -> pd.DataFrame:
    """Drop the users with fewer than `fewest` interactions, who cannot be split."""
    short = interactions.groupby("user")["item"].transform("size") < fewest
    if short.any():
        ledger.add(
            "user",
            f"fewer than {fewest} interactions: too few for training, validation and test",
            count=int(interactions.loc[short, "user"].nunique()),
        )
        ledger.add("interaction", "its user has too few interactions", count=int(short.sum()))
    return interactions[~short].reset_index(drop=True)


def _drop(interactions: pd.DataFrame, dropped: pd.Series, ledger: DropLedger, reason: str) -> pd.DataFrame:
    if not dropped.any():
        return interactions
    row = interactions[dropped].iloc[0]
    ledger.add("interaction", reason, f"user {row['user']}, item {row['item']}", count=int(dropped.sum()))
    return interactions[~dropped].reset_index(drop=True)
