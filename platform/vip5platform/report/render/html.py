"""A report as one HTML file that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import jinja2
from markupsafe import Markup

from vip5platform.report.blocks import Table
from vip5platform.report.document import Document


@dataclass(frozen=True)
class _Head:
    """A common head of columns."""

    text: str
    columns: int


def render(doc: Document) -> str:
    """All text is escaped; the plots' elements alone are taken as they are."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vip5platform.report.render", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["heads"] = _heads
    environment.filters["kind"] = lambda block: type(block).__name__.lower()
    environment.filters["drawn"] = Markup
    return environment.get_template("page.html.j2").render(doc=doc)


def _heads(grid: Table) -> list[_Head]:
    """The common heads, left to right; none if no column has one."""
    groups = [_Head(text, len(list(columns))) for text, columns in groupby(column.group for column in grid.columns)]
    return groups if any(head.text for head in groups) else []
