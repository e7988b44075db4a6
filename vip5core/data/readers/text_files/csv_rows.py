"""Rows of CSV files from anywhere: a bad row is dropped with its place, and never spoils the rows around it."""

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

#: A record of more lines than this has a quote that was never closed.
MAX_RECORD_LINES = 1000
#: How much of a bad row the ledger shows, and how many columns an error.
_SHOWN, _SHOWN_COLUMNS = 80, 30

T = TypeVar("T")


class CsvTable:
    """A CSV file in UTF-8, plain or gzip, its first row naming the columns.

    Attributes:
        path: the file.
        columns: the names in its first row.
        place: what its rows are counted in, for places in the ledger.
    """

    place = "line"

    def __init__(self, path: Path, separator: str = ",") -> None:
        """Raises: UserError if the file is missing, empty, or its first row is not the head of a table."""
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
        """The line number of each row and what `parse` makes of its values of `columns`.

        Args:
            columns: some of the names.
            parse: from values (an empty cell is an empty text) to a record; raises `BadLine`.
            ledger: takes the rows that `parse` refuses, that are not as long as the first one, that hold a NUL or a
                quote that is not closed.
            what: the kind of record, for the ledger.

        Raises:
            UserError: if a name is not there or there twice, a line is not UTF-8, there are no rows, or more of them
                are bad than good.
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
                f"{str(self.path)!r}: {bad} of {good + bad} rows are not usable as {what} ({first_problem}): "
                "is it the right file?"
            )

    def _records(self) -> Iterator[tuple[int, list[str], str | None]]:
        """First line, fields, and what is wrong with them, for every record below the first.

        A quote that is not closed takes the lines that follow it into its field. Then only the line it began on is bad,
        and the others are read again.
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
            # A row that ends where it should is not followed by a look for more.
            if (len(taken) > 1 or lines.ended) and not self._is_closed(text for _, text in taken):
                lines.give_back()
                problem, row = "a quote that is not closed", []
            elif problem is None:
                if not row:
                    continue
                if len(row) != len(self.columns):
                    problem = f"{len(row)} fields where the first row has {len(self.columns)}"
                elif "\0" in "".join(row):
                    problem = "a NUL byte"
            yield taken[0][0], row, problem

    def _is_closed(self, lines: Iterable[str]) -> bool:
        try:
            return sum(1 for _ in csv.reader(lines, delimiter=self._separator, strict=True)) == 1
        except csv.Error:
            return False


class _Lines:
    """The lines of a file as the csv module takes them, remembering what it took."""

    def __init__(self, path: Path) -> None:
        self._lines = _numbered(path)
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
        """All but the first of the lines taken will be read again."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.ended = False


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
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
    """Raises: UserError if a column that is needed is not there, naming the nearest, or there more than once."""
    way_out = f"; {way_out}" if way_out else ""
    for name in needed:
        if existing.count(name) > 1:
            raise UserError(f"{str(path)!r} has {existing.count(name)} columns called {name!r}: rename all but one")
        if name not in existing:
            wanted = " and ".join(needed)
            near = difflib.get_close_matches(name, existing, n=1, cutoff=0.4)
            hint = f": did you mean {near[0]!r}?" if near else ""
            if len(existing) == 1:
                hint += ": or is there another separator between the columns?"
            known = ", ".join(existing[:_SHOWN_COLUMNS]) + (", …" if len(existing) > _SHOWN_COLUMNS else "")
            raise UserError(
                f"{str(path)!r} has columns {known}: needs {wanted}, but there is no {name!r}{hint}{way_out}"
            )


def no_rows(path: Path) -> UserError:
    """The error for a table that has only its head."""
    return UserError(f"{str(path)!r} names its columns but has no rows: give the right file, or leave it out")
