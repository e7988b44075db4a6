"""What the sentence left out: every metric of every dataset."""

from __future__ import annotations

from vip5core.metrics import metric
from vip5platform.analysis.results import DatasetResults, StudyResults
from vip5platform.analysis.verdict import Verdict, above, verdicts
from vip5platform.report.blocks import Block, Bullets, Text
from vip5platform.report.formatting import dataset_name, display, join_words, number, p_value, span
from vip5platform.report.sections.answer import by, highest


def details(study: StudyResults) -> list[Block]:
    """What the sentence left out: every metric of every dataset."""
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
                "Intervals and p-values with one seed are about these very trained models and other users: "
                "they say nothing of the next training.",
                "note",
            )
        )
    return blocks


def _detail(one: Verdict, group: DatasetResults, study: StudyResults) -> tuple[str, str]:
    names, how = display(study, group), metric(one.metric)
    parts = [highest(one, group, study).removeprefix(f"{metric(one.metric).title} ")]
    if one.beaten:
        parts.append("above " + join_words([f"{names[test.second]} {by(test)}" for test in one.beaten]))
    if one.alike and one.tests and study.seeds > 1:
        parts.append(f"not to be told from {join_words([names[cell.name] for cell in one.alike])}")
    if one.others:
        shown = [f"{names[test.first]} above {names[test.second]} {by(test)}" for test in one.others]
        parts.append(join_words(shown, at_most=4))
    if one.hidden and study.seeds > 1:
        parts.append(f"a difference of up to {number(one.hidden, how)} could hide between levels not told apart")
    for test in one.against:
        told = above(test) if study.seeds > 1 else None
        unsure = "not to be told from" if study.seeds > 1 else "beside"
        side = unsure if told is None else "above" if told else "below"
        gap = f"{number(test.difference, how)} {span(test.low, test.high, how)}, {p_value(test.p_adjusted or 0.0)}"
        parts.append(f"{side} {test.second} ({number(test.second_mean, how)}; difference {gap})")
    if not one.tests:
        parts.append("not tested: it is no mean over users")
    return metric(one.metric).title, "; ".join(parts) + "."
