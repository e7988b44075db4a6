"""Reads what a user's own tables know about the items and explanations of the interactions that are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa

from vip5core.data.raw import EXPLANATION_COLUMNS, DropLedger
from vip5core.data.readers.tables.files import Chunk, Table, add_places, as_numbers, as_text, require_ids
from vip5core.data.readers.tables.mapping import ExplanationColumns, ItemColumns
from vip5core.data.readers.tables.pictures import NamedPictures
from vip5core.errors import UserError
from vip5core.vocabulary import SPLITS

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_BETWEEN_CATEGORIES = re.compile(r"[|;]")
_VALID = ["val", "validation", "dev"]  # other names of the split `valid`
NOT_A_NUMBER = "rating is not a number"


def read_items(
    table: Table, columns: dict[str, str], kept: pd.DataFrame, pictures: NamedPictures, ledger: DropLedger
) -> dict[str, dict[str, object]]:
    """Read what `table` knows about the items of `kept`, by raw id; of several rows for an item, the first is used.

    Args:
        table: the table of items.
        columns: the name of the column for each role.
        kept: the interactions, with raw ids.
        pictures: finds the images.
        ledger: takes the rows that are dropped.

    Raises:
        UserError: if the table cannot be read, or has none of the items.
    """
    wanted = set(kept["item"])
    known: dict[str, dict[str, object]] = {}
    unknown_id = None
    for chunk in table.chunks(list(dict.fromkeys(columns.values())), ledger, "item", ItemColumns.find_texts(columns)):
        chunk, found = require_ids(chunk, columns, ledger, "item")
        ids = found["item"]
        asked = ids.isin(wanted).to_numpy()
        if not asked.all():
            unknown_id = unknown_id or str(ids[~asked].iloc[0])
            ledger.add("item", "no interactions left", count=int((~asked).sum()))
        ids, chunk = ids[asked], chunk.filter(asked)
        again = ids.isin(known).to_numpy() | ids.duplicated().to_numpy()
        chunk = chunk.drop(again, ledger, "item", "duplicate item: the first row is used")
        for raw_id, row in zip(ids[~again], _item_rows(chunk, columns, pictures, ledger), strict=True):
            known[raw_id] = row
    if not known:
        raise UserError(
            f"{str(table.path)!r} has none of the items in the interactions, whose ids look like "
            f"{kept['item'].iloc[0]!r}; those in its column {columns['item']!r} look like {unknown_id!r}: name the "
            "column with the same ids"
        )
    unknown = len(wanted) - len(known)
    if unknown:
        example = next(item for item in kept["item"] if item not in known)
        ledger.add("item", f"not in {table.path.name}: kept, without a title or image", f"item {example}", unknown)
    return known


def _item_rows(
    chunk: Chunk, columns: dict[str, str], pictures: NamedPictures, ledger: DropLedger
) -> Iterator[dict[str, object]]:
    texts = {
        role: as_text(chunk.columns[columns[role]], columns[role]).fillna("").tolist()
        for role in ("title", "image", "description")
        if role in columns
    }
    categories = _categories(chunk, columns)
    for place, number in enumerate(chunk.numbers.tolist()):
        row: dict[str, object] = {}
        row.update((role, values[place]) for role, values in texts.items())
        row["image"] = None
        image = texts["image"][place] if "image" in texts else ""
        if _ADDRESS.match(image):
            row["image_urls"] = [image]
        elif image:
            try:
                row["image"] = pictures.find(image)
            except ValueError as error:
                ledger.add("image", f"{error}", f"{chunk.places} {number}: {image[:80]}")
        if categories is not None:
            row["categories"] = categories[place]
        yield row


def _categories(chunk: Chunk, columns: dict[str, str]) -> list[list[str]] | None:
    """The categories of each row: lists as they are, text split at | and ;."""
    if "categories" not in columns:
        return None
    column = chunk.columns[columns["categories"]]
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        names = as_text(column.flatten(), columns["categories"]).fillna("").tolist()
        ends = np.cumsum(column.value_lengths().fill_null(0).to_numpy()).tolist()
        lists = [names[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    else:
        texts = as_text(column, columns["categories"]).fillna("")
        lists = [_BETWEEN_CATEGORIES.split(text) for text in texts]
    return [[name.strip() for name in names if name.strip()] for names in lists]


def read_explanations(table: Table, columns: dict[str, str], kept: pd.DataFrame, ledger: DropLedger) -> pd.DataFrame:
    """Read `EXPLANATION_COLUMNS` of the rows whose user and item have an interaction in `kept`.

    A row without a rating gets that of its interaction (of several, the last).

    Raises:
        UserError: if the table cannot be read.
    """
    pairs = _Pairs(kept)
    parts = [pd.DataFrame(columns=EXPLANATION_COLUMNS)]
    texts = ExplanationColumns.find_texts(columns)
    for chunk in table.chunks(list(dict.fromkeys(columns.values())), ledger, "explanation", texts):
        chunk, ids = require_ids(chunk, columns, ledger, "explanation")
        rows = pairs.rows(ids["user"], ids["item"])
        chunk = chunk.drop(rows < 0, ledger, "explanation", "no kept interaction of its user with its item")
        rows = rows[rows >= 0]
        part = kept.iloc[rows][["user", "item", "rating"]].reset_index(drop=True)
        for role in ("summary", "aspect", "explanation"):
            part[role] = as_text(chunk.columns[columns[role]], columns[role]).fillna("") if role in columns else ""
        if "rating" in columns:
            ratings, wrong = as_numbers(chunk.columns[columns["rating"]], columns["rating"])
            part["rating"] = np.where(np.isnan(ratings), part["rating"], ratings)
            reason = f"{NOT_A_NUMBER}: that of the interaction is used"
            add_places(ledger, "explanation", reason, chunk.places, chunk.numbers[wrong])
        part["split"] = None
        if "split" in columns:
            split = as_text(chunk.columns[columns["split"]], columns["split"]).replace(_VALID, "valid").astype(object)
            part["split"] = split.where(split.notna(), None)
            unknown = (split.notna() & ~split.isin(SPLITS)).to_numpy()
            chunk.drop(unknown, ledger, "explanation", f"split is not one of {', '.join(SPLITS)}")
            part = part[~unknown]
        parts.append(part)
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)[EXPLANATION_COLUMNS]


class _Pairs:
    """Finds the interaction of a user and an item, with one number per interaction in memory."""

    def __init__(self, kept: pd.DataFrame) -> None:
        self._users = pd.Index(kept["user"].unique())
        self._items = pd.Index(kept["item"].unique())
        keys = self._keys(kept["user"], kept["item"])
        self._rows = np.argsort(keys, kind="stable")
        self._sorted = keys[self._rows]

    def _keys(self, users: pd.Series, items: pd.Series) -> np.ndarray:
        user, item = self._users.get_indexer(users), self._items.get_indexer(items)
        return np.where((user < 0) | (item < 0), -1, user.astype(np.int64) * len(self._items) + item)

    def rows(self, users: pd.Series, items: pd.Series) -> np.ndarray:
        """The row of each pair's last interaction, -1 where there is none. Shape: [pairs]."""
        keys = self._keys(users, items)
        place = np.searchsorted(self._sorted, keys, side="right") - 1
        found = (place >= 0) & (self._sorted[place] == keys)
        return np.where(found, self._rows[place], -1)
