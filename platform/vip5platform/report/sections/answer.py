"""The answer of a study in one sentence, with its uncertainty.

"Not distinguishable" is not "equal": the answer says how large a difference cannot be ruled out. With one seed no level
is called better, because another training run of the same level may differ by as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vip5core.metrics import metric
from vip5platform.analysis.results import DatasetResults, StudyResults
from vip5platform.analysis.significance import Comparison
from vip5platform.analysis.verdict import COSTS, MAX_LOSS, Cheapest, Verdict, cheapest, is_weak, possible_loss, verdicts
from vip5platform.report.formatting import (
    dataset_name,
    display_names,
    format_interval,
    format_p_value,
    format_percent,
    format_value,
    join_words,
    level_as_subject,
    pluralize,
)
from vip5platform.report.sections import search


def answer(study: StudyResults) -> str:
    """The answer of a study: one sentence per dataset."""
    return " ".join(sentences(study))


def sentences(study: StudyResults) -> list[str]:
    """The answer for each dataset."""
    if not study.trial_results():
        reasons = [failure.message for cell in study.cells for failure in cell.failures.values()]
        return ["No trial has finished, so there is no answer" + (f" ({reasons[0]})." if reasons else ".")]
    if study.record.kind == "search":
        return [search.answer(study)]
    said = []
    for group in study.groups:
        text = _answer_on_dataset(study, group)
        said.append(f"{dataset_name(group)}: {text}." if len(study.groups) > 1 else f"{text[0].upper()}{text[1:]}.")
    return said


def _answer_on_dataset(study: StudyResults, group: DatasetResults) -> str:
    names, found = display_names(study, group), verdicts(study, group)
    finished = [cell for cell in group.cells if cell.results]
    if not finished:
        return "no trial has finished"
    if not found:
        return "no trial has any of the study's metrics"
    if len(finished) == 1:
        return f"only {names[finished[0].name]} has finished, so there is nothing to compare"
    if study.seeds == 1:
        tops = join_words([describe_best(one, group, study) for one in found])
        return f"with one seed, run-to-run variance is unknown, so no level is declared better (use --seeds 3); {tops}"
    clauses = [_best_clause(one, names, study) for one in found if one.beaten]
    clauses += [_pair_clause(one, names) for one in found if one.others and not one.beaten]
    undecided = [one for one in found if one.tests and not one.decided and one.best is not None]
    if undecided:
        bounds = join_words([format_value(one.undetected, metric(one.metric)) for one in undecided])
        respectively = ", respectively," if len(undecided) > 1 else ""
        clauses.append(
            f"on {join_words([metric(one.metric).title for one in undecided])} no two levels are distinguishable "
            f"(differences up to {bounds}{respectively} cannot be ruled out)"
        )
    clauses += [describe_best(one, group, study) for one in found if one.best is None]
    clauses += [f"{describe_best(one, group, study)} (not tested)" for one in found if not one.tests and one.best]
    saving = cheapest(group, found)
    if saving is not None:
        clauses.append(_cheapest_clause(saving, names, found, study))
    weak = [metric(one.metric).title for one in found if is_weak(one, group)]
    if weak:
        clauses.append(f"the best level does not beat every baseline on {join_words(weak)}")
    return f"{'; '.join(clauses)} ({_sample_sizes(study, found)})"


def describe_best(one: Verdict, group: DatasetResults, study: StudyResults) -> str:
    """The level with the best mean, and that mean with its interval."""
    names, measure = display_names(study, group), metric(one.metric)
    if one.best is None:
        return f"{metric(one.metric).title} is the same for all levels at the precision shown"
    interval = group.interval(one.best, one.metric)
    interval_text = f" {format_interval(interval.low, interval.high, measure)}" if interval.high > interval.low else ""
    word = "highest" if measure.higher_is_better else "lowest"
    who = level_as_subject(names[one.best.name], study)
    return f"{metric(one.metric).title} is {word} for {who} ({format_value(interval.mean, measure)}{interval_text})"


def _best_clause(one: Verdict, names: Mapping[str, str], study: StudyResults) -> str:
    """The best level, and the closest of the levels that it beats."""
    assert one.best is not None
    measure, nearest = metric(one.metric), one.beaten[0]
    beats = f"{names[nearest.second]} {margin(nearest)}"
    if len(one.beaten) > 1:
        beats += f" and {pluralize(len(one.beaten) - 1, 'other level')} by more"
    best = f"{level_as_subject(names[one.best.name], study)} ({format_value(one.best.mean(one.metric), measure)})"
    if not one.indistinguishable:
        return f"on {metric(one.metric).title} {best} is best: it beats {beats}"
    alike = join_words([names[cell.name] for cell in one.indistinguishable])
    return (
        f"on {metric(one.metric).title} {best} has the best mean: it beats {beats} "
        f"but is not distinguishable from {alike}"
    )


def _pair_clause(one: Verdict, names: Mapping[str, str]) -> str:
    """The clearest difference between two other levels, where the best level beats none."""
    sharpest = min(one.others, key=lambda test: test.p_adjusted or 0.0)
    return (
        f"on {metric(one.metric).title} the level with the best mean is not distinguishable from the others, "
        f"but {names[sharpest.first]} beats {names[sharpest.second]} {margin(sharpest)}"
    )


def margin(test: Comparison) -> str:
    """By how much the levels differ, with interval and p-value."""
    measure = metric(test.metric)
    low, high = sorted((abs(test.low), abs(test.high)))
    if (test.low < 0) != (test.high < 0):  # the test may be significant while the interval contains 0
        low, high = test.low, test.high
    interval_text = f"{format_interval(low, high, measure)}, {format_p_value(test.p_adjusted or 0.0)}"
    return f"by {format_value(abs(test.difference), measure)} ({interval_text})"


def _cheapest_clause(saving: Cheapest, names: Mapping[str, str], found: Sequence[Verdict], study: StudyResults) -> str:
    """The cheapest level, what it saves, and what it may lose."""
    shares = join_words([f"{format_percent(share)} of {COSTS[name]}" for name, share in saving.shares.items()])
    cheap = f"{level_as_subject(names[saving.cell.name], study)}, with {shares} of {names[saving.than.name]}"
    loss, name = max(((possible_loss(one, saving.cell), one.metric) for one in found), default=(0.0, ""))
    if loss > MAX_LOSS:
        return (
            f"whether a cheaper level suffices is open: {cheap}, is not distinguishable from the best on any metric, "
            f"but may be more than {format_percent(MAX_LOSS)} worse on {metric(name).title}"
        )
    risk = f", though it may be up to {format_percent(loss)} worse on {metric(name).title}" if loss > 0 else ""
    return f"the cheapest level that is not distinguishable from the best on any metric is {cheap}{risk}"


def _sample_sizes(study: StudyResults, found: Sequence[Verdict]) -> str:
    """What the answer rests on: seeds, units, and the number of comparisons."""
    units: dict[str, int] = {}
    for one in found:
        what = metric(one.metric).unit_name
        units[what] = max(units.get(what, 0), one.units)
    asked = [pluralize(size, what) for what, size in units.items() if size]
    family = sum(len(group.comparisons) for group in study.groups)
    adjusted = [f"p adjusted for {pluralize(family, 'comparison')}"] if family else []
    return ", ".join([pluralize(study.seeds, "seed"), *asked, *adjusted])
