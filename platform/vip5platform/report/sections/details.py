"""Results by metric: what the answer leaves out."""

from __future__ import annotations

from vip5core.metrics import metric
from vip5platform.analysis.results import DatasetResults, StudyResults
from vip5platform.analysis.verdict import Verdict, beats_baseline, verdicts
from vip5platform.report.blocks import Block, Bullets, Text
from vip5platform.report.formatting import (
    dataset_name,
    display_names,
    format_interval,
    format_p_value,
    format_value,
    join_words,
)
from vip5platform.report.sections.answer import describe_best, margin


def details(study: StudyResults) -> list[Block]:
    """Every metric of every dataset, in words."""
    blocks: list[Block] = []
    if study.record.kind == "search":
        return blocks
    for group in study.groups:
        items = [_detail(one, group, study) for one in verdicts(study, group)]
        if len(study.groups) > 1 and items:
            blocks.append(Text(f"On {dataset_name(group)}:"))
        blocks += [Bullets(items)] if items else []
    if study.seeds == 1:
        blocks.append(
            Text(
                "With one seed, intervals and p-values generalise over users only: they are about these trained models "
                "and say nothing about another training run.",
                "note",
            )
        )
    return blocks


def _detail(one: Verdict, group: DatasetResults, study: StudyResults) -> tuple[str, str]:
    names, measure = display_names(study, group), metric(one.metric)
    parts = [describe_best(one, group, study).removeprefix(f"{metric(one.metric).title} is ")]
    if one.beaten:
        parts.append("better than " + join_words([f"{names[test.second]} {margin(test)}" for test in one.beaten]))
    if one.indistinguishable and one.tests and study.seeds > 1:
        parts.append(f"not distinguishable from {join_words([names[cell.name] for cell in one.indistinguishable])}")
    if one.others:
        shown = [f"{names[test.first]} better than {names[test.second]} {margin(test)}" for test in one.others]
        parts.append(join_words(shown, at_most=4))
    if one.undetected and study.seeds > 1:
        parts.append(
            f"differences up to {format_value(one.undetected, measure)} between levels that are not distinguishable "
            "cannot be ruled out"
        )
    for test in one.against:
        beats = beats_baseline(test) if study.seeds > 1 else None
        undecided = "not distinguishable from" if study.seeds > 1 else "compared with"
        side = undecided if beats is None else "better than" if beats else "worse than"
        interval_text = f"{format_interval(test.low, test.high, measure)}, {format_p_value(test.p_adjusted or 0.0)}"
        gap = f"{format_value(test.difference, measure)} {interval_text}"
        parts.append(f"{side} {names[test.second]} ({format_value(test.second_mean, measure)}; difference {gap})")
    if not one.tests:
        parts.append("not tested: it is not a mean over users")
    return metric(one.metric).title, "; ".join(parts) + "."
