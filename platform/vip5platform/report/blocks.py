"""What a report is made of, before it is HTML, Markdown or a terminal's text. Text is plain: renderers escape it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Text:
    """A paragraph; a `note` is set smaller, the `answer` larger."""

    text: str
    kind: Literal["plain", "note", "answer"] = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list; each item is a lead in bold, which may be empty, and the rest."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        head: of the column.
        group: columns of one group stand under a common head.
        number: is it set to the right?
    """

    head: str
    group: str = ""
    number: bool = True


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says.
        best: is it set in bold?
        mark: a sign after the text, which a legend explains.
    """

    text: str
    best: bool = False
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        head: its first cell.
        cells: one per column; none, for a row that is all head.
        kind: a `group` heads the rows below it; `aside` is dimmed.
    """

    head: str
    cells: Sequence[Cell] = ()
    kind: Literal["plain", "aside", "group"] = "plain"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        corner: over the rows' heads.
        columns: without that of the heads.
        rows: in order.
        notes: legends and reasons, below.
    """

    corner: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def parts(self) -> list[Table]:
        """A table for each group of columns, for where the whole is too wide."""
        groups = dict.fromkeys(column.group for column in self.columns)
        parts = []
        for group in groups:
            places = [place for place, column in enumerate(self.columns) if column.group == group]
            rows = [Row(row.head, [row.cells[p] for p in places] if row.cells else (), row.kind) for row in self.rows]
            parts.append(Table(self.corner, [self.columns[p] for p in places], rows))
        return parts


@dataclass(frozen=True)
class Drawing:
    """A plot.

    Attributes:
        svg: the element.
        caption: what it shows, also for who cannot see it.
    """

    svg: str
    caption: str


@dataclass(frozen=True)
class Drawings:
    """Plots side by side, as many as the page is wide."""

    drawings: Sequence[Drawing]


Block = Text | Bullets | Code | Table | Drawings


@dataclass(frozen=True)
class Section:
    """A heading and what is below it.

    Attributes:
        name: for links.
        title: the heading.
        blocks: in order; a section without any is left out.
        folded: is it closed until someone opens it?
    """

    name: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)
    folded: bool = False
