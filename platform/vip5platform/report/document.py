"""A report in its order: the answer first, then what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from vip5platform.analysis.results import StudyResults
from vip5platform.report.blocks import Block, Drawings, Section, Text
from vip5platform.report.formatting import count, dataset_name
from vip5platform.report.plots import cost as cost_plots
from vip5platform.report.plots import factors as factor_plots
from vip5platform.report.plots import levels as plots
from vip5platform.report.plots import search as search_plots
from vip5platform.report.sections import cost, pairs, paper, reproduce, search
from vip5platform.report.sections.answer import sentences
from vip5platform.report.sections.details import details
from vip5platform.report.sections.level_table import level_table
from vip5platform.report.sections.search import StoredSearch


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


def document(study: StudyResults, found: StoredSearch | None = None) -> Document:
    """The whole report.

    Args:
        found: what a search's storage knows; None leaves out all plots as well, for text.
    """
    sections = [
        Section("answer", "The answer in full", details(study)),
        Section("search", "The best trials", search.blocks(study, found or StoredSearch())),
        Section("table", "The table", _table(study)),
        Section("plots", "Plots", _plots(study, found) if found is not None else []),
        Section("pairs", "Two by two", pairs.blocks(study)),
        Section("paper", "Beside the paper", paper.blocks(study)),
        Section("cost", "What it cost", cost.blocks(study)),
        Section("reproduce", "How to reproduce it", reproduce.blocks(study), folded=True),
    ]
    return Document(
        study.record.question,
        sentences(study),
        _about(study),
        [section for section in sections if section.blocks],
    )


def _about(study: StudyResults) -> str:
    parts = []
    for group in study.groups:
        size = ""
        if group.dataset is not None:
            size = f" ({group.dataset.n_users:,} users, {group.dataset.n_items:,} items)"
        parts.append(f"{dataset_name(group)}{size}")
    trials = count(len(study.record.trials), "trial")
    missing = sum(len(cell.failures) for cell in study.cells)
    what = "not run to the end" if study.record.kind == "search" else "missing"
    return f"{', '.join(parts)} · {trials}" + (f", {missing} {what}" if missing else "")


def _table(study: StudyResults) -> list[Block]:
    if study.record.kind == "search":  # its trials stand in a table of their own
        return []
    return [level_table(study)]


def _plots(study: StudyResults, found: StoredSearch) -> list[Block]:
    if study.record.kind == "search":
        made = search_plots.drawings(study, found)
        return [Drawings(made)] if made else []
    blocks: list[Block] = []
    by_level = plots.levels(study)
    if by_level:
        blocks += [Drawings(by_level), Text(plots.key(study), "note")]
    crossed = factor_plots.crossed(study)
    if crossed:
        blocks += [Text(f"Do {' and '.join(study.record.factors[-2:])} go together?"), Drawings(crossed)]
    by_cost = cost_plots.costs(study)
    if by_cost:
        blocks += [Text("Quality against cost:"), Drawings(by_cost)]
    by_rank = factor_plots.ranks(study)
    if by_rank:
        blocks += [Text("Does the order hold on every dataset?"), Drawings(by_rank)]
    return blocks
