"""What readers give to the builder: plain tables with raw ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from pydantic import BaseModel

ITEM_COLUMNS = ["raw_id", "title", "categories", "description", "image", "image_urls", "url_pictures"]
USER_COLUMNS = ["raw_id", "name"]
INTERACTION_COLUMNS = ["user", "item", "timestamp", "rating"]
EXPLANATION_COLUMNS = ["user", "item", "rating", "summary", "aspect", "explanation", "split"]

EXAMPLES_PER_DROP = 5
_MOST_EXPLAINED = 8


@dataclass(frozen=True)
class ReadRequest:
    """What a reader is asked to read.

    Attributes:
        name: the name of the source, such as `amazon-2014`.
        part: what follows the name after a colon, such as `beauty` in `amazon-2014:beauty`; empty if nothing does.
        folder: the folder of raw files; unused by sources that need no files.
        seed: the seed of every random choice that the reader makes.
    """

    name: str
    part: str = ""
    folder: Path = Path()
    seed: int = 0


class Drop(BaseModel):
    """Rows of a source that the dataset lacks, or has in a repaired form, and why."""

    what: str
    reason: str
    count: int = 0
    examples: list[str] = []


class DropLedger:
    """Counts drops by (what, reason), with the places of the first few."""

    def __init__(self) -> None:
        self._drops: dict[tuple[str, str], Drop] = {}

    def add(self, what: str, reason: str, where: str | None = None, count: int = 1) -> None:
        drop = self._drops.setdefault((what, reason), Drop(what=what, reason=reason))
        drop.count += count
        if where is not None and len(drop.examples) < EXAMPLES_PER_DROP:
            drop.examples.append(where)

    def drops(self) -> list[Drop]:
        return list(self._drops.values())

    def explain(self) -> str:
        """What was dropped and why, the most frequent first, for errors that say that too little is left."""
        drops = sorted(self.drops(), key=lambda drop: -drop.count)
        told = [f"{drop.count:,} {drop.what}: {drop.reason}{_first_place(drop)}" for drop in drops[:_MOST_EXPLAINED]]
        return "; ".join(told) or "nothing"


def _first_place(drop: Drop) -> str:
    return f" (first {drop.examples[0]})" if drop.examples else ""


@dataclass(frozen=True)
class Details:
    """What a source knows about the items and users that have interactions.

    Attributes:
        items: a table with `ITEM_COLUMNS`; categories is a list of strings, image a local path, PNG bytes, or None,
            image_urls the addresses of the item's pictures, best first, and url_pictures for each of them the number
            of the picture it shows (empty, or no such column: all show one).
        users: a table with `USER_COLUMNS`.
        explanations: a table with `EXPLANATION_COLUMNS` and raw ids; split is train, valid, test, or None for that of
            its interaction.
        truth: further tables that only a synthetic source has, by file name.
    """

    items: pd.DataFrame
    users: pd.DataFrame
    explanations: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EXPLANATION_COLUMNS))
    truth: dict[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Provided:
    """What came with a source, instead of being made here.

    Attributes:
        item_ids: the number of each raw item id; the id scheme `provided` uses their order.
        negatives: the raw item ids that a user's held-out item is ranked against, by raw user id.
        features: the `.npy` file of an image's feature, by encoder and raw item id.
    """

    item_ids: Mapping[str, int] = field(default_factory=dict)
    negatives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    features: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)


@dataclass
class RawData:
    """What a reader has read from a source.

    Attributes:
        source: the name of the source and what was read of it, for the manifest.
        interactions: a table with `INTERACTION_COLUMNS`, raw ids and unix seconds, in the source's order; where times
            are finer than that, also `fraction`, what they have beyond the second, in any unit.
        details: gives what the source knows about the items and users of the interactions that are kept, which have
            the column `split`. It is called once, after filtering, so that a reader never holds the texts of rows that
            are dropped.
        ledger: what was dropped or repaired while reading.
        provided: what came with the source, such as item ids.
        has_times: whether the timestamps are times; otherwise they are places in a user's history.
    """

    source: dict[str, str]
    interactions: pd.DataFrame
    details: Callable[[pd.DataFrame], Details]
    ledger: DropLedger = field(default_factory=DropLedger)
    provided: Provided = field(default_factory=Provided)
    has_times: bool = True


def describe_items_and_users(
    interactions: pd.DataFrame,
    items: Mapping[str, Mapping[str, object]] | None = None,
    names: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the item and user tables of `interactions`, with what is known about each.

    Args:
        interactions: the interactions, with raw ids.
        items: any of `ITEM_COLUMNS`, by raw item id; columns that are missing are empty.
        names: user names, by raw user id; a user without one is called by the raw id.

    Returns:
        The items (`ITEM_COLUMNS`) and the users (`USER_COLUMNS`), both in order of raw id.
    """
    items, names = items or {}, names or {}
    rows = [
        {"title": "", "categories": [], "description": "", "image": None, "image_urls": [], "url_pictures": []}
        | {**items.get(raw_id, {}), "raw_id": raw_id}
        for raw_id in sorted(interactions["item"].unique())
    ]
    users = sorted(interactions["user"].unique())
    return (
        pd.DataFrame(rows, columns=ITEM_COLUMNS),
        pd.DataFrame({"raw_id": users, "name": [names.get(user) or user for user in users]}),
    )
