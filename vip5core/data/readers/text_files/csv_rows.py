"""Reads rows of any CSV file: a bad row is dropped and its place recorded, without affecting the rows around it."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from vip5core.data.raw import DropLedger
from vip5core.data.readers.text_files.lines import BadLine
from vip5core.data.readers.text_files.records import Lines, Records
from vip5core.errors import UserError

#: Characters of a bad row that the ledger shows, and columns that an error shows.
_SHOWN, _SHOWN_COLUMNS = 80, 30

T = TypeVar("T")


class CsvTable:
    """A CSV file in UTF-8, gzip or plain, with column names in its first row.

    Attributes:
        path: the path of the file.
        columns: the names in its first row.
    """

    def __init__(self, path: Path, separator: str = ",") -> None:
        """Raises: UserError if the file is missing or empty, or its first row does not name columns."""
        self.path = path
        self._separator = separator
        _, head = Lines(path).take() or (0, "")
        try:
            self.columns = [name.strip() for name in next(csv.reader([head], delimiter=separator, strict=True), [])]
        except csv.Error as error:
            raise UserError(
                f"{str(path)!r} line 1 does not name columns ({error}): is it a CSV file, with the names on one line?"
            ) from None
        if not any(self.columns) or "\0" in "".join(self.columns):
            raise UserError(f"{str(path)!r} line 1 does not name columns: is it a CSV file?")

    def rows(
        self,
        columns: Sequence[str],
        parse: Callable[[list[str]], T],
        ledger: DropLedger,
        what: str,
        texts: Collection[str] = (),
    ) -> Iterator[tuple[int, T]]:
        """Yield the line number of each row, and what `parse` returns for its values of `columns`.

        Args:
            columns: the names of the columns to read.
            parse: turns values (an empty cell is an empty text) into a record; raises `BadLine`.
            ledger: takes the rows that `parse` rejects, that are not as long as the first one, or that contain a NUL
                byte or an unclosed quote.
            what: the kind of record, for the ledger.
            texts: the columns whose cells may hold line breaks, if they are quoted. Columns that are not read may, too.

        Raises:
            UserError: if a column is missing or duplicate, a line is not UTF-8, there are no rows, or more bad ones
                than good ones.
        """
        need_columns(self.path, self.columns, columns)
        places = [self.columns.index(name) for name in columns]
        good = bad = 0
        first_problem = ""
        one_line = {place: name for place, name in zip(places, columns, strict=True) if name not in texts}
        lines = Lines(self.path)
        lines.take()
        for number, line, cells, problem in Records(lines, self._separator, len(self.columns), one_line):
            try:
                if problem:
                    raise BadLine(problem)
                record = parse([cells[place] for place in places])
            except BadLine as error:
                bad += 1
                shown = self._separator.join(cells) or line.strip()
                ledger.add(what, str(error), f"{self.path.name} line {number}: {shown[:_SHOWN]}")
                first_problem = first_problem or f"line {number}: {error}"
            else:
                good += 1
                yield number, record
        if not good + bad:
            raise no_rows(self.path)
        if bad > good:
            raise UserError(
                f"{str(self.path)!r}: {bad} of {good + bad} rows cannot be read as {what} ({first_problem}): "
                "is it the right file?"
            )


def need_columns(path: Path, existing: Sequence[str], needed: Sequence[str], way_out: str = "") -> None:
    """Raises: UserError if a needed column is missing, naming the nearest one, or is there more than once."""
    way_out = f"; {way_out}" if way_out else ""
    for name in needed:
        if existing.count(name) > 1:
            raise UserError(f"{str(path)!r} has {existing.count(name)} columns called {name!r}: rename all but one")
        if name not in existing:
            wanted = " and ".join(needed)
            near = difflib.get_close_matches(name, existing, n=1, cutoff=0.4)
            hint = f": did you mean {near[0]!r}?" if near else ""
            if find_separator(existing):
                hint = f": are its columns separated by {find_separator(existing)!r}?"
            known = ", ".join(existing[:_SHOWN_COLUMNS]) + (", …" if len(existing) > _SHOWN_COLUMNS else "")
            raise UserError(f"{str(path)!r} has columns {known}: needs {wanted}, but has no {name!r}{hint}{way_out}")


def find_separator(columns: Sequence[str]) -> str:
    """What may separate the columns of a table that seems to have only one; empty if nothing does."""
    return next((mark for mark in ";\t|," if len(columns) == 1 and mark in columns[0]), "")


def no_rows(path: Path) -> UserError:
    """The error for a table with column names only."""
    return UserError(f"{str(path)!r} has column names but no rows: use another file, or remove it")
