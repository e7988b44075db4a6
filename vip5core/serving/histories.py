"""Histories to recommend for: tables with a row for each interaction, in the ids of the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from vip5core.data.dataset import Dataset
from vip5core.data.readers.tables import as_text, read_times
from vip5core.errors import UserError, first_few, first_line


def _read_text(file: Path, separator: str) -> pd.DataFrame:
    """Cells as they are written: only empty ones are missing, for NA and null may be ids."""
    return pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, na_values=[""])


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda file: _read_text(file, ","),
    ".tsv": lambda file: _read_text(file, "\t"),
    ".jsonl": lambda file: pd.read_json(file, lines=True, dtype=False),
    ".parquet": pd.read_parquet,
}


@dataclass(frozen=True)
class Histories:
    """Histories of users in the numbers of a catalogue.

    Attributes:
        users: The users' ids, those with a known item.
        items: The items of each, in time order. Shape of each: [its known interactions].
        unknown_items: How often each unknown item occurs.
        left_out: The users without any known item.
    """

    users: list[str]
    items: list[np.ndarray]
    unknown_items: Counter[str]
    left_out: list[str]

    @property
    def remarks(self) -> list[str]:
        """What was left out, one line for each kind."""
        lines = []
        if self.unknown_items:
            named = first_few(item for item, _ in self.unknown_items.most_common())
            interactions = self.unknown_items.total()
            lines.append(
                f"{interactions:,} interactions with {len(self.unknown_items):,} items that the model does not know "
                f"were left out: {named}"
            )
        if self.left_out:
            lines.append(
                f"{len(self.left_out):,} users without an item that the model knows get no list: "
                f"{first_few(self.left_out)}"
            )
        return lines


def read_table(file: Path, option: str, needed: Iterable[str]) -> pd.DataFrame:
    """Read a table in the format of its ending.

    Args:
        file: The file.
        option: The option that names it, for errors.
        needed: The columns that it must have.

    Raises:
        UserError: if it cannot be read, or lacks a column.
    """
    if file.suffix not in _READERS:
        raise UserError(f"{option} {str(file)!r}: its name must end in {', '.join(_READERS)}")
    try:
        table = _READERS[file.suffix](file)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's errors are among these
        raise UserError(f"{option} {str(file)!r} cannot be read: {first_line(error)}") from None
    missing = [name for name in needed if name not in table]
    if missing:
        raise UserError(
            f"{option} {str(file)!r} has no column {missing[0]!r}: it has {', '.join(map(str, table.columns))}"
        )
    return table


def read_histories(file: Path) -> pd.DataFrame:
    """Read a table with the columns user and item, and time if its rows are not in time order.

    Raises:
        UserError: if it cannot be read, or lacks a column.
    """
    return read_table(file, "--histories", ("user", "item"))


def read_users(file: Path) -> list[str]:
    """Read users' ids: the column `user` of a table, or the lines of a `.txt`.

    Raises:
        UserError: if it cannot be read, or names no user.
    """
    if file.suffix == ".txt":
        try:
            users = [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--users {str(file)!r} cannot be read: {first_line(error)}") from None
    else:
        users = _texts(read_table(file, "--users", ("user",)), "user").dropna().tolist()
    if not users:
        raise UserError(f"--users {str(file)!r} names no user")
    return list(dict.fromkeys(users))


def histories_of(dataset: Dataset, users: Iterable[str] | None = None) -> pd.DataFrame:
    """The whole histories of a dataset's users, the held-out items at their ends, as `number_histories` takes them.

    Args:
        dataset: The dataset.
        users: The ids of users; None for all. Unknown ones are left out.
    """
    rows = dataset.interactions
    raw_users, raw_items = (dataset.users["raw_id"].to_numpy(), dataset.items["raw_id"].to_numpy())
    table = pd.DataFrame({"user": raw_users[rows["user"] - 1], "item": raw_items[rows["item"] - 1]})
    return table if users is None else table[table["user"].isin(set(users))]


def number_histories(table: pd.DataFrame, catalogue: Dataset) -> Histories:
    """The histories in a table, in the numbers of a catalogue's items, users in the order of their first rows.

    Args:
        table: The columns user and item, which are ids of the source, and time if the rows are not in time order:
            numbers since 1970 or ISO 8601, as `vip5core.data.readers.tables.times` reads them.
        catalogue: The items that the model knows.

    Raises:
        UserError: if a column is missing or has another type, or a user, an item or a time is missing.
    """
    for name in ("user", "item"):
        if name not in table:
            raise UserError(f"histories have no column {name!r}: they have {', '.join(map(str, table.columns))}")
    users, items = _texts(table, "user"), _texts(table, "item")
    if (users.isna() | items.isna()).any():
        row = int(np.flatnonzero(users.isna() | items.isna())[0])
        raise UserError(f"histories: row {row + 1} has no user or no item")
    codes, known_users = pd.factorize(users)
    order = np.lexsort((*_times(table), codes))
    number_of = pd.Series(catalogue.items["item"].to_numpy(), index=catalogue.items["raw_id"])
    numbers = items.map(number_of).fillna(0).to_numpy(dtype=np.int64)
    unknown = Counter(items[numbers == 0].tolist())
    order = order[numbers[order] > 0]
    counts = np.bincount(codes[order], minlength=len(known_users))
    lists = np.split(numbers[order], np.cumsum(counts)[:-1]) if len(known_users) else []
    served = [(user, listed) for user, listed in zip(known_users, lists, strict=True) if len(listed)]
    left_out = [user for user, count in zip(known_users, counts, strict=True) if not count]
    return Histories([user for user, _ in served], [listed for _, listed in served], unknown, left_out)


def _texts(table: pd.DataFrame, name: str) -> pd.Series:
    """A column of ids as text."""
    try:
        return as_text(pa.array(table[name], from_pandas=True), name)
    except pa.ArrowException as error:
        raise UserError(f"column {name!r}: must be text or numbers ({first_line(error)})") from None


def _times(table: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """The keys by which rows are sorted, the last one first; none without a column of times."""
    if "time" not in table or not len(table):
        return ()
    if table["time"].isna().any():
        raise UserError(f"histories: row {int(np.flatnonzero(table['time'].isna())[0]) + 1} has no time")
    times = read_times(pa.chunked_array([pa.array(table["time"], from_pandas=True)]), "time")
    if not times.good.all():
        row = int(np.flatnonzero(~times.good)[0])
        raise UserError(f"histories: row {row + 1} has an unreadable time, {table['time'].iloc[row]!r}")
    return times.nanoseconds, times.seconds
