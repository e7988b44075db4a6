"""The building blocks of a report, independent of the output format. Text is plain; renderers escape it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # a report as text has no pictures
    from vip5platform.report.pictures import Pictures


@dataclass(frozen=True)
class Text:
    """A paragraph. A `note` is set smaller, the `answer` larger."""

    text: str
    kind: Literal["plain", "note", "answer"] = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list. Each item is a lead in bold, which may be empty, and its text."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """A block of code."""

    text: str


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        head: The header of the column.
        group: A header that adjacent columns of the same group share.
        number: Whether the column is right-aligned.
    """

    head: str
    group: str = ""
    number: bool = True


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: The content of the cell.
        best: Whether the content is set in bold.
        mark: A symbol after the text, which the legend explains.
    """

    text: str
    best: bool = False
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        head: The first cell of the row.
        cells: One cell per column; none for a row that is only a header.
        kind: A `group` row is the header of the rows below it; an `aside` row is dimmed.
    """

    head: str
    cells: Sequence[Cell] = ()
    kind: Literal["plain", "aside", "group"] = "plain"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        corner: The header of the first column.
        columns: All other columns.
        rows: The rows in their order.
        notes: Legends and explanations below the table.
    """

    corner: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def split_by_group(self) -> list[Table]:
        """One table per group of columns, for where the whole table is too wide."""
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
        svg: The SVG element.
        caption: What the plot shows; also its text alternative.
    """

    svg: str
    caption: str


@dataclass(frozen=True)
class Drawings:
    """Plots side by side, as many as fit on the page."""

    drawings: Sequence[Drawing]


@dataclass(frozen=True)
class Card:
    """What a model was asked about a user, and what it recommended; only on pages.

    Attributes:
        prompt: The prompt in words; see `vip5core.wording.prompt_words`.
        best: The first items of the list with their probabilities.
        target: The item that the user chose.
        pictures: The pictures of these items.
    """

    prompt: Sequence[str | int]
    best: Sequence[tuple[int, float]]
    target: int
    pictures: Pictures


Block = Text | Bullets | Code | Table | Drawings | Card


@dataclass(frozen=True)
class Section:
    """A heading and its content.

    Attributes:
        name: The anchor for links.
        title: The heading.
        blocks: The content in its order; a section without blocks is omitted.
        folded: Whether the section is collapsed until a reader opens it.
    """

    name: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)
    folded: bool = False
