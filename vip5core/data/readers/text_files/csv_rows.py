"""Reads rows of any CSV file: a bad row is dropped and its place recorded, without affecting the rows around it."""

from __future__ import annotations

import csv
import difflib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self, TypeVar

from vip5core.data.raw import DropLedger
from vip5core.data.readers.text_files.lines import MAX_LINE, BadLine, open_dump
from vip5core.errors import UserError

#: A record of more lines than this has an unclosed quote.
MAX_RECORD_LINES = 1000
#: Characters of a bad row that the ledger shows, and columns that an error shows.
_SHOWN, _SHOWN_COLUMNS = 80, 30

T = TypeVar("T")


class CsvTable:
    """A CSV file in UTF-8, gzip or plain, with column names in its first row.

    Attributes:
        path: the path of the file.
        columns: the names in its first row.
        place: the unit in which its rows are counted, for places in the ledger.
    """

    place = "line"

    def __init__(self, path: Path, separator: str = ",") -> None:
        """Raises: UserError if the file is missing or empty, or its first row does not name columns."""
        self.path = path
        self._separator = separator
        lines = _Lines(path)
        try:
            self.columns = [name.strip() for name in next(csv.reader(lines, delimiter=separator, strict=True), [])]
        except csv.Error as error:
            raise UserError(f"{str(path)!r} line 1 does not name columns ({error}): is it a CSV file?") from None
        if not any(self.columns) or "\0" in "".join(self.columns):
            raise UserError(f"{str(path)!r} line 1 does not name columns: is it a CSV file?")

    def rows(
        self, columns: Sequence[str], parse: Callable[[list[str]], T], ledger: DropLedger, what: str
    ) -> Iterator[tuple[int, T]]:
        """Yield the line number of each row, and what `parse` returns for its values of `columns`.

        Args:
            columns: the names of the columns to read.
            parse: turns values (an empty cell is an empty text) into a record; raises `BadLine`.
            ledger: takes the rows that `parse` rejects, that are not as long as the first one, or that contain a NUL
                byte or an unclosed quote.
            what: the kind of record, for the ledger.

        Raises:
            UserError: if a column is missing or duplicate, a line is not UTF-8, there are no rows, or more bad ones
                than good ones.
        """
        need_columns(self.path, self.columns, columns)
        places = [self.columns.index(name) for name in columns]
        good = bad = 0
        first_problem = ""
        for number, row, problem in self._records():
            try:
                if problem:
                    raise BadLine(problem)
                record = parse([row[place] for place in places])
            except BadLine as error:
                bad += 1
                shown = f": {self._separator.join(row)[:_SHOWN]}" if row else ""
                ledger.add(what, str(error), f"{self.path.name} line {number}{shown}")
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

    def _records(self) -> Iterator[tuple[int, list[str], str | None]]:
        """Yield the first line, the fields and the problem, if any, of every record after the first.

        An unclosed quote swallows the lines that follow it. Then only the line on which it begins is bad, and the
        others are read again.
        """
        lines = _Lines(self.path)
        reader = csv.reader(lines, delimiter=self._separator)
        next(reader)
        while True:
            lines.taken.clear()
            row: list[str] = []
            problem = None
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = str(error)
            taken = lines.taken
            # The reader does not ask for another line after a row that ends properly.
            if (len(taken) > 1 or lines.ended) and not self._is_closed(text for _, text in taken):
                lines.give_back()
                problem, row = "unclosed quote", []
            elif problem is None:
                if not row:
                    continue
                if len(row) != len(self.columns):
                    problem = f"{len(row)} fields, but the first row has {len(self.columns)}"
                elif "\0" in "".join(row):
                    problem = "contains a NUL byte"
            yield taken[0][0], row, problem

    def _is_closed(self, lines: Iterable[str]) -> bool:
        try:
            return sum(1 for _ in csv.reader(lines, delimiter=self._separator, strict=True)) == 1
        except csv.Error:
            return False


class _Lines:
    """The lines of a file for the csv module, with a record of those that it has taken."""

    def __init__(self, path: Path) -> None:
        self._lines = _number_lines(path)
        self._again: deque[tuple[int, str]] = deque()
        self.taken: list[tuple[int, str]] = []
        self.ended = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if len(self.taken) == MAX_RECORD_LINES:
            raise csv.Error("too many lines")
        line = self._again.popleft() if self._again else next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.taken.append(line)
        return line[1]

    def give_back(self) -> None:
        """Give back all lines taken but the first: they will be read again."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.ended = False


def _number_lines(path: Path) -> Iterator[tuple[int, str]]:
    with open_dump(path) as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise UserError(
                    f"{str(path)!r} line {number} is longer than {MAX_LINE // 2**20} MiB: is it a CSV file?"
                )
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{str(path)!r} line {number} is not UTF-8 (byte {error.start + 1}: 0x{line[error.start]:02x}): "
                    "save the file as UTF-8"
                ) from None
            yield number, text.removeprefix("\ufeff") if number == 1 else text


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
            if len(existing) == 1:
                hint += ": or is the separator another one?"
            known = ", ".join(existing[:_SHOWN_COLUMNS]) + (", …" if len(existing) > _SHOWN_COLUMNS else "")
            raise UserError(f"{str(path)!r} has columns {known}: needs {wanted}, but has no {name!r}{hint}{way_out}")


def no_rows(path: Path) -> UserError:
    """The error for a table with column names only."""
    return UserError(f"{str(path)!r} has column names but no rows: use another file, or remove it")
