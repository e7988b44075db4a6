"""Tables in CSV, TSV or Parquet files, read in chunks of selected columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
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
from vip5core.data.readers.text_files.records import line_break
from vip5core.errors import UserError

#: Extensions of tables, with the column separator of text tables.
SEPARATORS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t", ".parquet": None}
_CHUNK_ROWS = 50_000
#: Larger than any rating on any scale.
_MAX_NUMBER = 1e6
_LINE_BREAK = re.compile("[\\n\\v\\f\\r\\x1c-\\x1e\\x85\\u2028\\u2029]")  # as for str.splitlines

#: What pyarrow raises for a broken file; its own classes are also ValueErrors, KeyErrors, and so on.
_BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError)
#: Types that can be converted to text directly.
_WRITABLE = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,  # which some tools write for text
    pa.types.is_integer,
    pa.types.is_decimal,
    pa.types.is_null,
)


@dataclass(frozen=True)
class Chunk:
    """Some rows of a table.

    Attributes:
        columns: the values by column name; those of text tables are text.
        numbers: the number of each row in the file, from 1. Shape: [rows].
        places: the name of the file and the unit of `numbers`, such as `orders.csv line`.
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
        """Drop the rows where `dropped` is true, and record them in the ledger."""
        if not dropped.any():
            return self
        add_places(ledger, what, reason, self.places, self.numbers[dropped])
        return self.filter(~dropped)


def add_places(ledger: DropLedger, what: str, reason: str, places: str, numbers: np.ndarray) -> None:
    """Record the rows `numbers` of a file as drops."""
    for number in numbers[:EXAMPLES_PER_DROP].tolist():
        ledger.add(what, reason, f"{places} {number}")
    if len(numbers) > EXAMPLES_PER_DROP:
        ledger.add(what, reason, count=len(numbers) - EXAMPLES_PER_DROP)


class Table(Protocol):
    """A file with named columns."""

    path: Path
    columns: list[str]

    def chunks(
        self, columns: Sequence[str], ledger: DropLedger, what: str, texts: Collection[str] = ()
    ) -> Iterator[Chunk]:
        """Read `columns` of all rows; broken rows are recorded in the ledger as `what`.

        A text table has line breaks in the cells of `texts` only; elsewhere they come from a stray quote.

        Raises:
            UserError: if a column is missing, the file does not have the format of its extension, or it has no rows.
        """
        ...


def open_table(path: Path, separator: str | None = None) -> Table:
    """Open a table in the format of its extension.

    Args:
        path: the file of the table.
        separator: the column separator of a text table; None for that of the extension.

    Raises:
        UserError: if the file is missing, empty or broken, has another extension, or is no text and has a separator.
    """
    ending = next((ending for ending in SEPARATORS if path.name.lower().endswith(ending)), None)
    if ending is None:
        raise UserError(f"{str(path)!r} is not a table: its name must end in {', '.join(SEPARATORS)}")
    if ending == ".parquet":
        if separator is not None:
            raise UserError(f"separator={separator!r}: {str(path)!r} is a Parquet file, which has none: leave it out")
        return _ParquetTable(path)
    return _TextTable(path, separator or SEPARATORS[ending] or ",")


class _TextTable(CsvTable):
    def chunks(
        self, columns: Sequence[str], ledger: DropLedger, what: str, texts: Collection[str] = ()
    ) -> Iterator[Chunk]:
        rows = self.rows(columns, lambda row: row, ledger, what, texts)
        while True:
            numbers: list[int] = []
            cells: list[str] = []  # row by row in one list: lists of rows would slow down the garbage collector
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

    def chunks(
        self, columns: Sequence[str], ledger: DropLedger, what: str, texts: Collection[str] = ()
    ) -> Iterator[Chunk]:
        need_columns(self.path, self.columns, columns)
        start = 1
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(_CHUNK_ROWS, columns=list(columns)):
                    batch.validate(full=True)  # otherwise text that is not UTF-8 fails later
                    numbers = np.arange(start, start + len(batch))
                    start += len(batch)
                    yield Chunk(
                        {name: _decode_dictionary(batch.column(name)) for name in columns},
                        numbers,
                        f"{self.path.name} row",
                    )
        except _BROKEN as error:
            raise self._broken(error) from None
        if start == 1:
            raise no_rows(self.path)

    def _broken(self, error: BaseException) -> UserError:
        return UserError(f"{str(self.path)!r} is not a readable Parquet file ({error}): write it again")


def _decode_dictionary(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def as_text(column: pa.Array, name: str) -> pd.Series:
    """Convert a column to text, without surrounding white space; empty texts become missing.

    Whole numbers of a floating-point column are written without `.0`: integers are stored as floating-point numbers as
    soon as one of them is missing. Leading zeros of text are kept.

    Raises:
        UserError: if the column has another type, such as lists or dates.
    """
    kind = column.type
    if pa.types.is_floating(kind) or (pa.types.is_decimal(kind) and kind.scale > 0):
        column = column.cast(pa.float64())
        whole = pc.and_(pc.equal(column, pc.trunc(column)), pc.less(pc.abs(column), 2.0**63))
        digits = pc.if_else(whole, column, None).cast(pa.int64()).cast(pa.large_string())
        finite = pc.if_else(pc.is_finite(column), column, None)
        column = pc.coalesce(digits, finite.cast(pa.large_string()))
    elif not any(is_kind(kind) for is_kind in _WRITABLE):
        raise UserError(f"column {name!r} has the type {kind}: must be text or numbers")
    try:
        text = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    except pa.ArrowInvalid:  # only of binary columns: strings are known to be UTF-8
        raise UserError(f"column {name!r} has the type {kind} and is not UTF-8: must be text or numbers") from None
    return pc.if_else(pc.equal(text, ""), None, text).to_pandas()


def require_ids(
    chunk: Chunk, columns: dict[str, str], ledger: DropLedger, what: str
) -> tuple[Chunk, dict[str, pd.Series]]:
    """Drop the rows without a user or an item, where there are such columns; returns the rest, and its ids by role.

    An id with a line break is none.
    """
    roles = [role for role in ("user", "item") if role in columns]
    for role in roles:
        missing = as_text(chunk.columns[columns[role]], columns[role]).isna().to_numpy()
        chunk = chunk.drop(missing, ledger, what, f"no {role}")
        broken = as_text(chunk.columns[columns[role]], columns[role]).str.contains(_LINE_BREAK).to_numpy()
        chunk = chunk.drop(broken, ledger, what, line_break(columns[role]))
    return chunk, {role: as_text(chunk.columns[columns[role]], columns[role]) for role in roles}


def is_missing(column: pa.Array) -> np.ndarray:
    """Whether each value is missing, or an empty text. Shape: [rows]."""
    missing = column.is_null(nan_is_null=True)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        missing = pc.or_(missing, pc.equal(pc.utf8_trim_whitespace(column.fill_null("")), ""))
    return missing.to_numpy(zero_copy_only=False)


def as_numbers(column: pa.Array, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Convert a column to numbers; returns these, NaN where there are none, and which values are not numbers.

    Shape: [rows], [rows].

    Raises:
        UserError: if the column has neither numbers nor text.
    """
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.where(np.abs(numbers) <= _MAX_NUMBER, numbers, np.nan), np.abs(numbers) > _MAX_NUMBER
    text = as_text(column, name)
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = np.where(np.abs(numbers) <= _MAX_NUMBER, numbers, np.nan)
    return numbers, np.isnan(numbers) & text.notna().to_numpy()
