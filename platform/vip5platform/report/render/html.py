"""A report as one self-contained HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from vip5platform.report.blocks import Table
from vip5platform.report.document import Document
from vip5platform.report.render.templates import page_environment


@dataclass(frozen=True)
class _Head:
    """A header that spans several columns."""

    text: str
    columns: int


def render(doc: Document) -> str:
    """Render a report as HTML. All text is escaped; only plots and the styles of pictures are inserted as they are."""
    environment = page_environment("vip5platform.report.render")
    environment.filters["heads"] = _heads
    environment.filters["kind"] = lambda block: type(block).__name__.lower()
    return environment.get_template("page.html.j2").render(doc=doc)


def _heads(table: Table) -> list[_Head]:
    """The headers that span columns, from left to right; none if no column has one."""
    groups = [_Head(text, len(list(columns))) for text, columns in groupby(column.group for column in table.columns)]
    return groups if any(head.text for head in groups) else []
