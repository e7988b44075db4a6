"""A report as Markdown, without its plots."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from vip5platform.analysis.results import StudyResults
from vip5platform.report.blocks import Block, Bullets, Cell, Code, Row, Table, Text
from vip5platform.report.document import Document, document

#: The largest number of characters in the note of an MLflow run.
_NOTE = 8_000
_SPECIAL = re.compile(r"([\\`*_|<>\[\]#])")


def escape(text: str) -> str:
    """Escape Markdown; an underscore within a word and a bracket that starts no link stay as they are."""
    text = re.sub(r"\s+", " ", text)
    return _SPECIAL.sub(lambda found: found[1] if _needs_no_escape(text, found.start()) else rf"\{found[1]}", text)


def _needs_no_escape(text: str, place: int) -> bool:
    sign, before, after = text[place], text[place - 1 : place], text[place + 1 : place + 2]
    if sign == "_":
        return before.isalnum() and after.isalnum()
    if sign in "[]":  # only a parenthesis or a bracket after it would make a link
        return "](" not in text and "][" not in text
    return sign == "#" and place > 0


def render(doc: Document, plot: str = "") -> str:
    """Render a report as Markdown.

    Args:
        doc: The report.
        plot: The file name of a plot to show below the answer; empty for none.
    """
    rows = [
        f"# {escape(doc.title)}",
        "",
        *(row for text in doc.answer for row in (f"**{escape(text)}**", "")),
        escape(doc.about),
        "",
    ]
    if plot:
        rows += [f"![{escape(doc.title)}]({plot})", ""]
    for section in doc.sections:
        body = [_block(block) for block in section.blocks]
        heading = [f"## {escape(section.title)}", "", "\n\n".join(text for text in body if text)]
        if section.folded:
            summary = f"<details><summary>{escape(section.title)}</summary>"
            heading = [summary, "", *heading[2:], "", "</details>"]
        rows += [*heading, ""]
    return "\n".join(rows).rstrip() + "\n"


def note(study: StudyResults, plot: str) -> str:
    """As many sections of the report as fit into the note of an MLflow run, at least the answer.

    Args:
        study: The results.
        plot: The address of the plot. MLflow shows the first lines of a note: the answer, without the title before it,
            which is the run's name.
    """
    doc = document(study)
    kept = len(doc.sections)
    while len(text := _untitled(replace(doc, sections=doc.sections[:kept]), plot)) > _NOTE and kept:
        kept -= 1
    return text if len(text) <= _NOTE else f"{text[: _NOTE - 2]}…\n"


def _untitled(doc: Document, plot: str) -> str:
    return render(doc, plot).partition("\n\n")[2]


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return escape(block.text)
    if isinstance(block, Bullets):
        return "\n".join(f"- {f'**{escape(lead)}**: ' if lead else ''}{escape(rest)}" for lead, rest in block.items)
    if isinstance(block, Code):
        return f"```sh\n{block.text}\n```"
    if isinstance(block, Table):
        return _table(block)
    return ""


def _table(table: Table) -> str:
    heads = [f"{column.group} {column.head}".strip() for column in table.columns]
    rows = [_row([escape(text) for text in (table.corner, *heads)])]
    rows.append("|---" + "".join("|---:" if column.number else "|---" for column in table.columns) + "|")
    rows += [_row([_head(row), *_cells(row.cells, len(heads))]) for row in table.rows]
    notes = "\n".join(f"- {escape(note)}" for note in table.notes)
    return "\n".join(rows) + (f"\n\n{notes}" if notes else "")


def _head(row: Row) -> str:
    text = escape(row.head)
    return {"aside": f"*{text}*", "group": f"**{text}**"}.get(row.kind, text)


def _cells(cells: Sequence[Cell], columns: int) -> list[str]:
    if not cells:
        return [""] * columns
    return [
        (f"**{escape(cell.text)}**" if cell.best else escape(cell.text)) + (f" {cell.mark}" if cell.mark else "")
        for cell in cells
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
