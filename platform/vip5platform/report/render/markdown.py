"""A report as Markdown: all of it but the plots."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vip5platform.analysis.results import StudyResults
from vip5platform.report.blocks import Block, Bullets, Cell, Code, Row, Table, Text
from vip5platform.report.document import Document, document

#: What MLflow's note of a run may hold.
_NOTE = 8_000
_SPECIAL = re.compile(r"([\\`*_|<>\[\]#])")


def escape(text: str) -> str:
    """Text that stays text; an underscore or a bracket within a word needs no sign before it."""
    text = re.sub(r"\s+", " ", text)
    return _SPECIAL.sub(lambda found: found[1] if _harmless(text, found.start()) else rf"\{found[1]}", text)


def _harmless(text: str, place: int) -> bool:
    sign, before, after = text[place], text[place - 1 : place], text[place + 1 : place + 2]
    if sign == "_":
        return before.isalnum() and after.isalnum()
    if sign in "[]":  # only a parenthesis or a bracket after it would make a link
        return "](" not in text and "][" not in text
    return sign == "#" and place > 0


def render(doc: Document, plot: str = "") -> str:
    """The document.

    Args:
        plot: file name of the picture to show, if any.
    """
    lines = [
        f"# {escape(doc.title)}",
        "",
        *(line for text in doc.answer for line in (f"**{escape(text)}**", "")),
        escape(doc.about),
        "",
    ]
    if plot:
        lines += [f"![{escape(doc.title)}]({plot})", ""]
    for section in doc.sections:
        body = [_block(block) for block in section.blocks]
        heading = [f"## {escape(section.title)}", "", "\n\n".join(text for text in body if text)]
        if section.folded:
            summary = f"<details><summary>{escape(section.title)}</summary>"
            heading = [summary, "", *heading[2:], "", "</details>"]
        lines += [*heading, ""]
    return "\n".join(lines).rstrip() + "\n"


def note(study: StudyResults) -> str:
    """As much of the report as MLflow's note of a run can hold: at least the answer."""
    doc = document(study)
    kept = len(doc.sections)
    while kept and len(render(Document(doc.title, doc.answer, doc.about, doc.sections[:kept]))) > _NOTE:
        kept -= 1
    text = render(Document(doc.title, doc.answer, doc.about, doc.sections[:kept]))
    return text if len(text) <= _NOTE else f"{text[: _NOTE - 2]}…\n"


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return escape(block.text)
    if isinstance(block, Bullets):
        return "\n".join(f"- {f'**{escape(lead)}**: ' if lead else ''}{escape(rest)}" for lead, rest in block.items)
    if isinstance(block, Code):
        return f"```sh\n{block.text}\n```"
    if isinstance(block, Table):
        return _grid(block)
    return ""


def _grid(grid: Table) -> str:
    heads = [f"{column.group} {column.head}".strip() for column in grid.columns]
    rows = [_row([escape(text) for text in (grid.corner, *heads)])]
    rows.append("|---" + "".join("|---:" if column.number else "|---" for column in grid.columns) + "|")
    rows += [_row([_head(line), *_entries(line.entries, len(heads))]) for line in grid.lines]
    notes = "\n".join(f"- {escape(note)}" for note in grid.notes)
    return "\n".join(rows) + (f"\n\n{notes}" if notes else "")


def _head(line: Row) -> str:
    text = escape(line.head)
    return {"aside": f"*{text}*", "group": f"**{text}**"}.get(line.kind, text)


def _entries(entries: Sequence[Cell], columns: int) -> list[str]:
    if not entries:
        return [""] * columns
    return [
        (f"**{escape(entry.text)}**" if entry.best else escape(entry.text)) + (f" {entry.mark}" if entry.mark else "")
        for entry in entries
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
