"""A report on a terminal: the table, what is missing, the answer."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table as RichTable
from vip5platform.analysis.results import StudyResults
from vip5platform.report.blocks import Row, Table
from vip5platform.report.sections import level_table as levels
from vip5platform.report.sections import search
from vip5platform.report.sections.answer import answer
from vip5platform.report.sections.search import Stored


def show(study: StudyResults, console: Console) -> None:
    """Print the table (or one per group of columns, where the terminal is too narrow), warnings and the answer."""
    for grid in _grids(study):
        for table in _tables(grid, study.record.question, console):
            console.print(table)
        for note in grid.notes:
            if note not in levels.holes(study):
                console.print(escape(note), style="dim", highlight=False)
    if study.record.kind == "study":
        for hole in levels.holes(study):
            console.print(f"[yellow]warning:[/] {escape(hole)}", highlight=False, soft_wrap=True)
    console.print(f"\n[bold]{escape(answer(study))}[/]", highlight=False, soft_wrap=True)


def _grids(study: StudyResults) -> list[Table]:
    if study.record.kind == "search":
        return [block for block in search.blocks(study, Stored()) if isinstance(block, Table)]
    return [levels.grid(study)]


def _tables(grid: Table, question: str, console: Console) -> list[RichTable]:
    whole = _table(grid, question)
    if Measurement.get(console, console.options.update(max_width=10_000), whole).maximum <= console.width:
        return [whole]
    return [_table(part, part.columns[0].group) for part in grid.parts()]


def _table(grid: Table, title: str) -> RichTable:
    table = RichTable(title=escape(title), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(f"\n{escape(grid.corner)}", no_wrap=True)
    before = None
    for column in grid.columns:
        group = column.group if column.group != before and len({c.group for c in grid.columns}) > 1 else ""
        before = column.group
        table.add_column(
            f"{escape(group)}\n{escape(column.head)}", justify="right" if column.number else "left", no_wrap=True
        )
    for place, line in enumerate(grid.lines):
        if place and line.kind == "group":
            table.add_section()
        table.add_row(
            f"[bold]{escape(line.head)}[/]" if line.kind == "group" else escape(line.head), *_texts(line, grid)
        )
        table.rows[-1].style = "dim" if line.kind == "aside" else None
    return table


def _texts(line: Row, grid: Table) -> list[str]:
    marked = [any(other.entries and other.entries[p].mark for other in grid.lines) for p in range(len(grid.columns))]
    texts = []
    for entry, room in zip(line.entries, marked, strict=False):
        text = f"[bold]{escape(entry.text)}[/]" if entry.best else escape(entry.text)
        texts.append(text + (f" {entry.mark or ' '}" if room else ""))
    return texts
