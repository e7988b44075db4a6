"""A table in a CSV, TSV or Parquet file, read in chunks of the columns that are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vip5core.data.raw import EXAMPLES_PER_DROP, DropLedger
from vip5core.data.readers.text_files.csv_rows import CsvTable, need_columns, no_rows
from vip5core.errors import UserError

#: Endings of tables, and what separates the columns of those that are text.
SEPARATORS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t", ".parquet": None}
_CHUNK_ROWS = 50_000
#: No scale of ratings goes further.
_MAX_NUMBER = 1e6

#: What pyarrow raises for a file that is broken; its own classes are ValueErrors, KeyErrors, and so on, too.
_BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError)
#: Types that can be written out as they are.
_WRITABLE = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,  # what some tools write for text
    pa.types.is_integer,
    pa.types.is_decimal,
    pa.types.is_null,
)


@dataclass(frozen=True)
class Chunk:
    """Some rows of a table.

    Attributes:
        columns: values by column name; cells of text tables are text.
        numbers: where each row is in the file, from 1. Shape: [rows].
        places: the name of the file and what its rows are counted in: `orders.csv line`.
    """

    columns: dict[str, pa.Array]
    numbers: np.ndarray
    places: str

    def filter(self, kept: np.ndarray) -> Chunk:
        """The rows where `kept` is true."""
        mask = pa.array(kept)
        columns = {name: column.filter(mask) for name, column in self.columns.items()}
        return Chunk(columns, self.numbers[kept], self.places)

    def drop(self, dropped: np.ndarray, ledger: DropLedger, what: str, reason: str) -> Chunk:
        """Without the rows where `dropped` is true, which go to the ledger."""
        if not dropped.any():
            return self
        add_places(ledger, what, reason, self.places, self.numbers[dropped])
        return self.filter(~dropped)


def add_places(ledger: DropLedger, what: str, reason: str, places: str, numbers: np.ndarray) -> None:
    """Count the rows `numbers` of a file as drops."""
    for number in numbers[:EXAMPLES_PER_DROP].tolist():
        ledger.add(what, reason, f"{places} {number}")
    if len(numbers) > EXAMPLES_PER_DROP:
        ledger.add(what, reason, count=len(numbers) - EXAMPLES_PER_DROP)


class Table(Protocol):
    """A file with named columns."""

    path: Path
    columns: list[str]

    def chunks(self, columns: Sequence[str], ledger: DropLedger, what: str) -> Iterator[Chunk]:
        """All rows, `columns` of them; rows that are broken go to the ledger as `what`.

        Raises:
            UserError: if a column is not there, or the file is not what its name says, or has no rows.
        """
        ...


def open_table(path: Path, separator: str | None = None) -> Table:
    """Open a table by its ending.

    Args:
        separator: between the columns of a text table, if not what the ending says.

    Raises:
        UserError: if the file is missing, of another kind, empty or broken.
    """
    ending = next((ending for ending in SEPARATORS if path.name.lower().endswith(ending)), None)
    if ending is None:
        raise UserError(f"{str(path)!r} is no table that can be read: its name must end in {', '.join(SEPARATORS)}")
    if ending == ".parquet":
        return _ParquetTable(path)
    return _TextTable(path, separator or SEPARATORS[ending] or ",")


class _TextTable(CsvTable):
    def chunks(self, columns: Sequence[str], ledger: DropLedger, what: str) -> Iterator[Chunk]:
        rows = self.rows(columns, lambda row: row, ledger, what)
        while True:
            numbers: list[int] = []
            cells: list[str] = []  # of all columns in turn: keeping the rows would keep the garbage collector busy
            for number, row in islice(rows, _CHUNK_ROWS):
                numbers.append(number)
                cells.extend(row)
            if not numbers:
                return
            yield Chunk(
                {name: pa.array(cells[k :: len(columns)], pa.large_string()) for k, name in enumerate(columns)},
                np.array(numbers),
                f"{self.path.name} line",
            )


class _ParquetTable:
    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f"{str(path)!r} is missing: check --source")
        try:
            with pq.ParquetFile(path) as file:
                self.columns = file.schema_arrow.names
        except _BROKEN as error:
            raise self._broken(error) from None

    def chunks(self, columns: Sequence[str], ledger: DropLedger, what: str) -> Iterator[Chunk]:
        need_columns(self.path, self.columns, columns)
        start = 1
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(_CHUNK_ROWS, columns=list(columns)):
                    batch.validate(full=True)  # otherwise text that is no UTF-8 comes to light later
                    numbers = np.arange(start, start + len(batch))
                    start += len(batch)
                    yield Chunk(
                        {name: _plain(batch.column(name)) for name in columns}, numbers, f"{self.path.name} row"
                    )
        except _BROKEN as error:
            raise self._broken(error) from None
        if start == 1:
            raise no_rows(self.path)

    def _broken(self, error: BaseException) -> UserError:
        return UserError(f"{str(self.path)!r} is not a whole Parquet file ({error}): write it again")


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def as_text(column: pa.Array, name: str) -> pd.Series:
    """Ids or texts, white space around them off; what is missing or empty is missing.

    Numbers are written out, those of a floating-point column that are whole without their `.0`: a column of whole
    numbers becomes one as soon as a value is missing. Leading zeros of text stay.

    Raises:
        UserError: if the column holds something else, such as lists or dates.
    """
    kind = column.type
    if pa.types.is_floating(kind) or (pa.types.is_decimal(kind) and kind.scale > 0):
        column = column.cast(pa.float64())
        whole = pc.and_(pc.equal(column, pc.trunc(column)), pc.less(pc.abs(column), 2.0**63))
        digits = pc.if_else(whole, column, None).cast(pa.int64()).cast(pa.large_string())
        finite = pc.if_else(pc.is_finite(column), column, None)
        column = pc.coalesce(digits, finite.cast(pa.large_string()))
    elif not any(is_kind(kind) for is_kind in _WRITABLE):
        raise UserError(f"column {name!r} has the type {kind}: needs text or numbers")
    try:
        text = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    except pa.ArrowInvalid:  # of binary columns: those of strings are known to be UTF-8
        raise UserError(f"column {name!r} has the type {kind} and is not UTF-8: needs text or numbers") from None
    return pc.if_else(pc.equal(text, ""), None, text).to_pandas()


def with_ids(
    chunk: Chunk, columns: dict[str, str], ledger: DropLedger, what: str
) -> tuple[Chunk, dict[str, pd.Series]]:
    """The rows that have a user and an item, as far as there are columns for them, and these ids as text, by role."""
    roles = [role for role in ("user", "item") if role in columns]
    for role in roles:
        missing = as_text(chunk.columns[columns[role]], columns[role]).isna().to_numpy()
        chunk = chunk.drop(missing, ledger, what, f"no {role}")
    return chunk, {role: as_text(chunk.columns[columns[role]], columns[role]) for role in roles}


def is_missing(column: pa.Array) -> np.ndarray:
    """Where there is no value, or an empty text. Shape: [rows]."""
    missing = column.is_null(nan_is_null=True)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        missing = pc.or_(missing, pc.equal(pc.utf8_trim_whitespace(column.fill_null("")), ""))
    return missing.to_numpy(zero_copy_only=False)


def as_numbers(column: pa.Array, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, NaN where there is none, and where there is something that is no number.

    Shape: [rows], [rows].

    Raises:
        UserError: if the column holds neither numbers nor text.
    """
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.where(np.abs(numbers) <= _MAX_NUMBER, numbers, np.nan), np.abs(numbers) > _MAX_NUMBER
    text = as_text(column, name)
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = np.where(np.abs(numbers) <= _MAX_NUMBER, numbers, np.nan)
    return numbers, np.isnan(numbers) & text.notna().to_numpy()
