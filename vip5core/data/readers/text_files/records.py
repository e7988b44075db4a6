"""Joins the lines of delimited text to records, so that a stray quote costs the line it is in and no other.

A cell that is quoted may hold line breaks. A stray quote, too, would join its row with those that follow. So several
lines are one record only if

- its quotes are balanced, and nothing but a separator follows a closing one;
- it has as many cells as the table has columns;
- no cell of a column of one line (an id, a time, a number) holds a line break;
- most of its lines are no rows of their own. A row has a cell for every column, and none, after the first, begins with
  a blank, as parts of a sentence do.

Otherwise its first line is bad, and the other lines are read again, each for itself. Lines are taken until the quotes
are balanced, and so up to the next line with an odd number of them: no line is looked at for two open quotes, and the
time grows with the length of the file only.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from vip5core.data.readers.text_files.lines import MAX_LINE, open_dump
from vip5core.errors import UserError

#: A record of more lines than this, or longer than the longest line, has an unclosed quote.
MAX_RECORD_LINES = 1000
_UNCLOSED = "unclosed quote"


class Record(NamedTuple):
    """The cells of a record.

    Attributes:
        number: the number of its first line.
        line: its first line.
        cells: its values; none if the line cannot be read.
        problem: why it cannot be used, if so.
    """

    number: int
    line: str
    cells: list[str]
    problem: str


class Lines:
    """The numbered lines of a file, each with a line break at its end; those given back come again."""

    def __init__(self, path: Path) -> None:
        self._lines = _number_lines(path)
        self._again: deque[tuple[int, str]] = deque()

    def take(self) -> tuple[int, str] | None:
        """The next line, None at the end of the file."""
        return self._again.popleft() if self._again else next(self._lines, None)

    def give_back(self, lines: Iterable[tuple[int, str]]) -> None:
        self._again.extendleft(reversed(list(lines)))


class Records:
    """The records that follow in a file.

    Args:
        lines: the lines of the file, from the one that comes next.
        separator: what is between cells.
        width: the number of columns.
        one_line: the columns whose cells hold no line break: place to name.
    """

    def __init__(self, lines: Lines, separator: str, width: int, one_line: Mapping[int, str]) -> None:
        self._lines, self._separator, self._width, self._one_line = lines, separator, width, one_line

    def __iter__(self) -> Iterator[Record]:
        one = _OneLine(self._lines)
        reader = csv.reader(one, delimiter=self._separator)
        while one.take():
            number, line = one.line
            try:
                cells, problem = next(reader), ""
            except csv.Error as error:
                cells, problem = [], str(error)
            if _is_open(cells):
                cells, problem = self._join(number, line)
            if cells or problem:
                yield Record(number, line, cells, problem or self._find_problem(cells))

    def _find_problem(self, cells: list[str]) -> str:
        if len(cells) != self._width:
            return f"{len(cells)} fields, but the first row has {self._width}"
        return "contains a NUL byte" if "\0" in "".join(cells) else ""

    def _join(self, number: int, line: str) -> tuple[list[str], str]:
        """The cells of the record of several lines that begins with `line`, or why this is none."""
        further = self._take_until_balanced(line)
        texts = [line, *(text for _, text in further)]
        cells, problem = self._read_quoted(texts), _UNCLOSED
        if len(cells) == self._width and not self._are_rows(texts):
            broken = [name for place, name in self._one_line.items() if "\n" in cells[place] or "\r" in cells[place]]
            if not broken:
                return cells, ""
            problem = line_break(broken[0])
        self._lines.give_back(further)
        return [], problem

    def _take_until_balanced(self, line: str) -> list[tuple[int, str]]:
        quotes, size = line.count('"'), len(line)
        further: list[tuple[int, str]] = []
        while quotes % 2 and len(further) < MAX_RECORD_LINES - 1 and size <= MAX_LINE:
            taken = self._lines.take()
            if taken is None:
                break
            further.append(taken)
            quotes, size = quotes + taken[1].count('"'), size + len(taken[1])
        return further

    def _read_quoted(self, texts: list[str]) -> list[str]:
        """The cells of lines that are one properly quoted record; none if they are not."""
        try:
            rows = list(csv.reader(texts, delimiter=self._separator, strict=True))
        except csv.Error:
            return []
        return rows[0] if len(rows) == 1 else []

    def _are_rows(self, texts: list[str]) -> bool:
        """Whether most of the lines that are not blank would be rows of their own."""
        rows = [self._is_row(text) for text in texts if text.strip()]
        return 2 * sum(rows) > len(rows)

    def _is_row(self, line: str) -> bool:
        """Whether a line would be a row if its open quote were none."""
        try:
            cells = next(csv.reader([line], delimiter=self._separator))
        except csv.Error:
            return False
        if _is_open(cells):
            cells[-1:] = cells[-1].split(self._separator)
        return len(cells) == self._width and not any(cell.startswith(" ") for cell in cells[1:])


class _OneLine:
    """Gives the csv module one line, and ends: after an open quote it asks for another."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._given = True
        self.line = (0, "")

    def take(self) -> bool:
        """Take the next line; returns whether there is one."""
        taken = self._lines.take()
        if taken is None:
            return False
        self.line, self._given = taken, False
        return True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if self._given:
            raise StopIteration
        self._given = True
        return self.line[1]


def line_break(column: str) -> str:
    """The problem of a cell with a line break in a column that has none."""
    return f"line break in column {column!r}"


def _is_open(cells: list[str]) -> bool:
    """Whether the cells of one line end within quotes: only there a line break is part of a cell."""
    return bool(cells) and cells[-1].endswith("\n")


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
            text = text.removeprefix("\ufeff") if number == 1 else text
            yield number, text if text.endswith("\n") else f"{text}\n"
