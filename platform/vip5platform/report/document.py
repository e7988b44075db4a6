"""A report in its order: the answer first, then what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from vip5platform.evidence import Evidence
from vip5platform.report import (
    cost,
    cost_plots,
    factor_plots,
    levels,
    pairs,
    paper,
    plots,
    reproduce,
    search,
    search_plots,
)
from vip5platform.report.answer import sentences
from vip5platform.report.blocks import Block, Drawings, Section, Text
from vip5platform.report.details import details
from vip5platform.report.names import count, dataset_name
from vip5platform.report.search import Stored


@dataclass(frozen=True)
class Document:
    """A report, whatever it is written as.

    Attributes:
        title: the question.
        answer: in a sentence; one for each dataset.
        about: what was asked about.
        sections: below, in order.
    """

    title: str
    answer: list[str]
    about: str
    sections: list[Section]


def document(evidence: Evidence, found: Stored | None = None) -> Document:
    """The whole report.

    Args:
        found: what a search's storage knows; None leaves out all plots as well, for text.
    """
    sections = [
        Section("answer", "The answer in full", details(evidence)),
        Section("search", "The best trials", search.blocks(evidence, found or Stored())),
        Section("table", "The table", _table(evidence)),
        Section("plots", "Plots", _plots(evidence, found) if found is not None else []),
        Section("pairs", "Two by two", pairs.blocks(evidence)),
        Section("paper", "Beside the paper", paper.blocks(evidence)),
        Section("cost", "What it cost", cost.blocks(evidence)),
        Section("reproduce", "How to reproduce it", reproduce.blocks(evidence), folded=True),
    ]
    return Document(
        evidence.record.question,
        sentences(evidence),
        _about(evidence),
        [section for section in sections if section.blocks],
    )


def _about(evidence: Evidence) -> str:
    parts = []
    for group in evidence.groups:
        size = ""
        if group.dataset is not None:
            size = f" ({group.dataset.n_users:,} users, {group.dataset.n_items:,} items)"
        parts.append(f"{dataset_name(group)}{size}")
    trials = count(len(evidence.record.trials), "trial")
    missing = sum(len(cell.failures) for cell in evidence.cells)
    what = "not run to the end" if evidence.record.kind == "search" else "missing"
    return f"{', '.join(parts)} · {trials}" + (f", {missing} {what}" if missing else "")


def _table(evidence: Evidence) -> list[Block]:
    if evidence.record.kind == "search":  # its trials stand in a table of their own
        return []
    return [levels.grid(evidence)]


def _plots(evidence: Evidence, found: Stored) -> list[Block]:
    if evidence.record.kind == "search":
        made = search_plots.drawings(evidence, found)
        return [Drawings(made)] if made else []
    blocks: list[Block] = []
    by_level = plots.levels(evidence)
    if by_level:
        blocks += [Drawings(by_level), Text(plots.key(evidence), "note")]
    crossed = factor_plots.crossed(evidence)
    if crossed:
        blocks += [Text(f"Do {' and '.join(evidence.record.factors[-2:])} go together?"), Drawings(crossed)]
    by_cost = cost_plots.costs(evidence)
    if by_cost:
        blocks += [Text("Quality against cost:"), Drawings(by_cost)]
    by_rank = factor_plots.ranks(evidence)
    if by_rank:
        blocks += [Text("Does the order hold on every dataset?"), Drawings(by_rank)]
    return blocks
