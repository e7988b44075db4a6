"""The structure of a report: the answer first, then what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from vip5core.data.candidates import explain_lists
from vip5platform.analysis.results import StudyResults
from vip5platform.report.blocks import Block, Drawings, Section, Text
from vip5platform.report.formatting import dataset_name, pluralize
from vip5platform.report.sections import beyond, cost, data, example, pairs, paper, reproduce, search, slices
from vip5platform.report.sections.answer import sentences
from vip5platform.report.sections.details import details
from vip5platform.report.sections.level_table import level_table
from vip5platform.report.sections.search import StoredSearch


@dataclass(frozen=True)
class Document:
    """A report, independent of the output format.

    Attributes:
        title: The question of the study.
        answer: One sentence per dataset.
        about: The datasets and the number of trials.
        sections: The sections in their order.
    """

    title: str
    answer: list[str]
    about: str
    sections: list[Section]


def document(study: StudyResults, found: StoredSearch | None = None) -> Document:
    """The report of a study or search.

    Args:
        study: The results to report.
        found: The content of a search's storage; None also omits plots and pictures, for text output.
    """
    sections = [
        Section("answer", "Results by metric", details(study)),
        Section("search", "Best trials", search.blocks(study, found or StoredSearch())),
        Section("table", "Results", _table(study)),
        Section("plots", "Plots", _plots(study, found) if found is not None else []),
        Section("example", example.TITLE, example.blocks(study) if found is not None else []),
        Section("slices", slices.TITLE, slices.blocks(study)),
        Section("beyond", beyond.TITLE, beyond.blocks(study)),
        Section("pairs", "Pairwise comparisons", pairs.blocks(study)),
        Section("data", "Data", data.blocks(study)),
        Section("paper", "Compared with the paper", paper.blocks(study)),
        Section("cost", "Cost", cost.blocks(study)),
        Section("reproduce", "How to reproduce", reproduce.blocks(study), folded=True),
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
            manifest = group.dataset.manifest
            told = explain_lists(manifest.counts, manifest.candidates, manifest.drops)
            size = f" ({group.dataset.n_users:,} users, {group.dataset.n_items:,} items{f'; {told}' if told else ''})"
        parts.append(f"{dataset_name(group)}{size}")
    trials = pluralize(len(study.record.trials), "trial")
    missing = sum(len(cell.failures) for cell in study.cells)
    what = "stopped early or failed" if study.record.kind == "search" else "missing"
    return f"{', '.join(parts)} · {trials}" + (f", {missing} {what}" if missing else "")


def _table(study: StudyResults) -> list[Block]:
    if study.record.kind == "search":  # its trials are in the section "Best trials"
        return []
    return [level_table(study)]


def _plots(study: StudyResults, found: StoredSearch) -> list[Block]:
    # Imported late: matplotlib takes a second, and a report as text has no plots.
    from vip5platform.report.plots import cost as cost_plots
    from vip5platform.report.plots import factors as factor_plots
    from vip5platform.report.plots import levels as plots
    from vip5platform.report.plots import search as search_plots

    if study.record.kind == "search":
        made = search_plots.plot_search(study, found)
        return [Drawings(made)] if made else []
    blocks: list[Block] = []
    by_level = plots.plot_levels(study)
    if by_level:
        blocks += [Drawings(by_level), Text(plots.explain_symbols(study), "note")]
    crossed = factor_plots.plot_interactions(study)
    if crossed:
        blocks += [Text(f"Interaction of {' and '.join(study.record.factors[-2:])}:"), Drawings(crossed)]
    by_cost = cost_plots.plot_costs(study)
    if by_cost:
        blocks += [Text("Quality against cost:"), Drawings(by_cost)]
    by_rank = factor_plots.plot_ranks(study)
    if by_rank:
        blocks += [Text("Rank of each level on each dataset:"), Drawings(by_rank)]
    return blocks
