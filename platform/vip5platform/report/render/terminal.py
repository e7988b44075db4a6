"""A report on a terminal: the table of results, missing trials, and the answer."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table as RichTable

from vip5platform.analysis.results import StudyResults
from vip5platform.report.blocks import Row, Table
from vip5platform.report.sections import beyond, search, slices
from vip5platform.report.sections.answer import answer
from vip5platform.report.sections.level_table import level_table, missing_trials
from vip5platform.report.sections.search import StoredSearch


def show(study: StudyResults, console: Console) -> None:
    """Print the tables (one per group of columns if the terminal is too narrow), warnings and the answer."""
    missing = missing_trials(study)
    for title, table in _tables(study):
        for drawn in _fit(table, title, console):
            console.print(drawn)
        for note in table.notes:
            if note not in missing:
                console.print(escape(note), style="dim", highlight=False)
    if study.record.kind == "study":
        for line in missing:
            console.print(f"[yellow]warning:[/] {escape(line)}", highlight=False, soft_wrap=True)
    console.print(f"\n[bold]{escape(answer(study))}[/]", highlight=False, soft_wrap=True)


def _tables(study: StudyResults) -> list[tuple[str, Table]]:
    """The tables, each with its title."""
    question = study.record.question
    if study.record.kind == "search":
        titled = [(question, search.blocks(study, StoredSearch()))]
    else:
        further = [(slices.TITLE, slices.blocks(study)), (beyond.TITLE, beyond.blocks(study))]
        titled = [(question, [level_table(study)]), *further]
    return [(title, block) for title, blocks in titled for block in blocks if isinstance(block, Table)]


def _fit(table: Table, title: str, console: Console) -> list[RichTable]:
    """The table as it fits on the console: whole or in parts."""
    whole = _draw(table, title)
    if Measurement.get(console, console.options.update(max_width=10_000), whole).maximum <= console.width:
        return [whole]
    return [_draw(part, part.columns[0].group) for part in table.split_by_group()]


def _draw(table: Table, title: str) -> RichTable:
    drawn = RichTable(title=escape(title), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    drawn.add_column(f"\n{escape(table.corner)}", no_wrap=True)
    before = None
    for column in table.columns:
        group = column.group if column.group != before and len({c.group for c in table.columns}) > 1 else ""
        before = column.group
        drawn.add_column(
            f"{escape(group)}\n{escape(column.head)}", justify="right" if column.number else "left", no_wrap=True
        )
    for place, row in enumerate(table.rows):
        if place and row.kind == "group":
            drawn.add_section()
        head = f"[bold]{escape(row.head)}[/]" if row.kind == "group" else escape(row.head)
        drawn.add_row(head, *_texts(row, table))
        drawn.rows[-1].style = "dim" if row.kind == "aside" else None
    return drawn


def _texts(row: Row, table: Table) -> list[str]:
    marked = [any(other.cells and other.cells[p].mark for other in table.rows) for p in range(len(table.columns))]
    texts = []
    for cell, room in zip(row.cells, marked, strict=False):
        text = f"[bold]{escape(cell.text)}[/]" if cell.best else escape(cell.text)
        texts.append(text + (f" {cell.mark or ' '}" if room else ""))
    return texts
