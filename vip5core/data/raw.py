"""What a reader hands to the builder: plain tables keyed by raw ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from pydantic import BaseModel

ITEM_COLUMNS = ["raw_id", "title", "categories", "description", "image", "image_urls"]
USER_COLUMNS = ["raw_id", "name"]
INTERACTION_COLUMNS = ["user", "item", "timestamp", "rating"]
EXPLANATION_COLUMNS = ["user", "item", "rating", "summary", "aspect", "explanation", "split"]

EXAMPLES_PER_DROP = 5


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
    """Rows that a source offered and the dataset does not have (or had to mend), and why."""

    what: str
    reason: str
    count: int = 0
    examples: list[str] = []


class DropLedger:
    """Counts drops by (what, reason) and keeps the first few places of each."""

    def __init__(self) -> None:
        self._drops: dict[tuple[str, str], Drop] = {}

    def add(self, what: str, reason: str, where: str | None = None, count: int = 1) -> None:
        drop = self._drops.setdefault((what, reason), Drop(what=what, reason=reason))
        drop.count += count
        if where is not None and len(drop.examples) < EXAMPLES_PER_DROP:
            drop.examples.append(where)

    def drops(self) -> list[Drop]:
        return list(self._drops.values())


@dataclass(frozen=True)
class Details:
    """What a source tells about items and users that have interactions.

    Attributes:
        items: `ITEM_COLUMNS`; categories is a list of strings, image a path on this machine, PNG bytes, or None,
            image_urls where images can be had, best first.
        users: `USER_COLUMNS`.
        explanations: `EXPLANATION_COLUMNS`, raw ids; split is train, valid, test, or None: as its interaction.
        truth: extra tables that only a synthetic source has, by file name.
    """

    items: pd.DataFrame
    users: pd.DataFrame
    explanations: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EXPLANATION_COLUMNS))
    truth: dict[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Provided:
    """What a source that others prepared has decided already.

    Attributes:
        item_ids: the number of each raw item id; the id scheme `provided` takes their order.
        negatives: by raw user id, the raw item ids to rank the held-out item against.
        features: by encoder, by raw item id, the file of its image's feature (`.npy`).
    """

    item_ids: Mapping[str, int] = field(default_factory=dict)
    negatives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    features: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)


@dataclass
class RawData:
    """One source, read.

    Attributes:
        source: the reader's name and what it read, for the manifest.
        interactions: `INTERACTION_COLUMNS`, raw ids, timestamp in unix seconds, in the source's order.
        details: from the interactions that are kept to what the source knows about their items and users. Asked once,
            after filtering: so a reader of a dump never holds texts of rows that are dropped.
        ledger: what was dropped or mended while reading.
        provided: what the source has decided already.
    """

    source: dict[str, str]
    interactions: pd.DataFrame
    details: Callable[[pd.DataFrame], Details]
    ledger: DropLedger = field(default_factory=DropLedger)
    provided: Provided = field(default_factory=Provided)


def describe_items_and_users(
    interactions: pd.DataFrame,
    items: Mapping[str, Mapping[str, object]] | None = None,
    names: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The item and user tables of `interactions`, with whatever is known of each.

    Args:
        interactions: raw ids.
        items: by raw item id, any of `ITEM_COLUMNS`; what is not there is empty.
        names: user names by raw user id; without one, a user goes by the raw id.

    Returns:
        items (`ITEM_COLUMNS`) and users (`USER_COLUMNS`), both in order of raw id.
    """
    items, names = items or {}, names or {}
    rows = [
        {"title": "", "categories": [], "description": "", "image": None, "image_urls": [], **items.get(raw_id, {})}
        | {"raw_id": raw_id}
        for raw_id in sorted(interactions["item"].unique())
    ]
    users = sorted(interactions["user"].unique())
    return (
        pd.DataFrame(rows, columns=ITEM_COLUMNS),
        pd.DataFrame({"raw_id": users, "name": [names.get(user) or user for user in users]}),
    )
