"""What a reader hands to the builder: plain tables keyed by raw ids."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd
from pydantic import BaseModel

ITEM_COLUMNS = ["raw_id", "title", "categories", "description", "image"]
USER_COLUMNS = ["raw_id", "name"]
INTERACTION_COLUMNS = ["user", "item", "timestamp", "rating"]
EXPLANATION_COLUMNS = ["user", "item", "rating", "summary", "feature", "explanation", "split"]

EXAMPLES_PER_DROP = 5


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


@dataclass
class RawData:
    """One source, read.

    Attributes:
        source: the reader's name and what it read, for the manifest.
        items: `ITEM_COLUMNS`; categories is a list of strings, image a path on this machine, PNG bytes,
            or None.
        users: `USER_COLUMNS`.
        interactions: `INTERACTION_COLUMNS`, raw ids, timestamp in unix seconds, in the file's order.
        explanations: `EXPLANATION_COLUMNS`, raw ids; split is train, valid, test, or None: as its interaction.
        ledger: what was dropped or mended while reading.
        truth: extra tables that only a synthetic source has, by file name.
    """

    source: dict[str, str]
    items: pd.DataFrame
    users: pd.DataFrame
    interactions: pd.DataFrame
    explanations: pd.DataFrame
    ledger: DropLedger = field(default_factory=DropLedger)
    truth: dict[str, pd.DataFrame] = field(default_factory=dict)
