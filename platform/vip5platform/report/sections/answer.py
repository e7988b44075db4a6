"""The study's answer in a sentence, with its uncertainty, and then in full.

"Cannot be told apart" is not "equal": the answer says how large a difference could hide. With one seed nothing is
called better, for another training of the same level may differ by as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vip5core.metrics import metric
from vip5platform.analysis.results import DatasetResults, StudyResults
from vip5platform.analysis.significance import Comparison
from vip5platform.analysis.verdict import COSTS, TOO_MUCH, Cheapest, Verdict, cheapest, is_weak, possible_loss, verdicts
from vip5platform.report.formatting import (
    count,
    dataset_name,
    display,
    join_words,
    number,
    p_value,
    percent,
    span,
    subject,
)
from vip5platform.report.sections import search

_SEEDS = "say --seeds 3 to know it"


def answer(study: StudyResults) -> str:
    """One sentence; one for each dataset, if there are several."""
    return " ".join(sentences(study))


def sentences(study: StudyResults) -> list[str]:
    """The answer of each dataset."""
    if not study.trial_results():
        reasons = [failure.message for cell in study.cells for failure in cell.failures.values()]
        return ["No trial has finished, so there is no answer" + (f" ({reasons[0]})." if reasons else ".")]
    if study.record.kind == "search":
        return [search.answer(study)]
    said = []
    for group in study.groups:
        text = _of_group(study, group)
        said.append(f"{dataset_name(group)}: {text}." if len(study.groups) > 1 else f"{text[0].upper()}{text[1:]}.")
    return said


def _of_group(study: StudyResults, group: DatasetResults) -> str:
    names, found = display(study, group), verdicts(study, group)
    finished = [cell for cell in group.cells if cell.results]
    if not finished:
        return "no trial has finished"
    if not found:
        return "no trial has a metric that answers the question"
    if len(finished) == 1:
        return f"only {names[finished[0].name]} has finished, so there is nothing to compare"
    if study.seeds == 1:
        tops = join_words([highest(one, group, study) for one in found])
        unknown = "how far trainings differ by themselves is unknown and no level is declared better"
        return f"one seed, so {unknown} ({_SEEDS}); {tops}"
    clauses = [_winner(one, names, study) for one in found if one.beaten]
    clauses += [_pair(one, names) for one in found if one.others and not one.beaten]
    undecided = [one for one in found if one.tests and not one.decided and one.best is not None]
    if undecided:
        hidden = join_words([number(one.hidden, metric(one.metric)) for one in undecided])
        clauses.append(
            f"on {join_words([metric(one.metric).title for one in undecided])} no two levels can be told apart, though "
            f"{'a difference' if len(undecided) == 1 else 'differences'} of up to {hidden} could hide"
        )
    clauses += [highest(one, group, study) for one in found if one.best is None]
    clauses += [f"{highest(one, group, study)} (not tested)" for one in found if not one.tests and one.best]
    saving = cheapest(group, found)
    if saving is not None:
        clauses.append(_saving(saving, names, found, study))
    weak = [metric(one.metric).title for one in found if is_weak(one, group)]
    if weak:
        clauses.append(f"the best is not above every baseline on {join_words(weak)}")
    return f"{'; '.join(clauses)} ({_basis(study, found)})"


def highest(one: Verdict, group: DatasetResults, study: StudyResults) -> str:
    names, how = display(study, group), metric(one.metric)
    if one.best is None:
        return f"{metric(one.metric).title} looks the same with all"
    interval = group.interval(one.best, one.metric)
    sure = f" {span(interval.low, interval.high, how)}" if interval.high > interval.low else ""
    word = "highest" if how.higher_is_better else "lowest"
    who = subject(names[one.best.name], study)
    return f"{metric(one.metric).title} is {word} with {who} ({number(interval.mean, how)}{sure})"


def _winner(one: Verdict, names: Mapping[str, str], study: StudyResults) -> str:
    """The best level and the nearest that it beats."""
    assert one.best is not None
    how, nearest = metric(one.metric), one.beaten[0]
    beats = f"{names[nearest.second]} {by(nearest)}"
    if len(one.beaten) > 1:
        beats += f" and {count(len(one.beaten) - 1, 'other level')} by more"
    best = f"{subject(names[one.best.name], study)} ({number(one.best.mean(one.metric), how)})"
    if not one.alike:
        return f"on {metric(one.metric).title} {best} is best: it beats {beats}"
    alike = join_words([names[cell.name] for cell in one.alike])
    return f"on {metric(one.metric).title} {best} is highest: it beats {beats} but cannot be told from {alike}"


def _pair(one: Verdict, names: Mapping[str, str]) -> str:
    """Where the best beats nothing, yet some level beats another."""
    sharpest = min(one.others, key=lambda test: test.p_adjusted or 0.0)
    return (
        f"on {metric(one.metric).title} the highest cannot be told from the rest, "
        f"but {names[sharpest.first]} beats {names[sharpest.second]} {by(sharpest)}"
    )


def by(test: Comparison) -> str:
    """By how much, how surely."""
    how = metric(test.metric)
    low, high = sorted((abs(test.low), abs(test.high)))
    if (test.low < 0) != (test.high < 0):  # a test may find what its interval does not
        low, high = test.low, test.high
    return f"by {number(abs(test.difference), how)} ({span(low, high, how)}, {p_value(test.p_adjusted or 0.0)})"


def _saving(saving: Cheapest, names: Mapping[str, str], found: Sequence[Verdict], study: StudyResults) -> str:
    """What the cheapest saves, and what it may lose."""
    shares = join_words([f"{percent(share)} of {COSTS[name]}" for name, share in saving.shares.items()])
    cheap = f"{subject(names[saving.cell.name], study)}, with {shares} of {names[saving.than.name]}"
    loss, name = max(((possible_loss(one, saving.cell), one.metric) for one in found), default=(0.0, ""))
    if loss > TOO_MUCH:
        much = f"more than {percent(TOO_MUCH)} worse on {metric(name).title}"
        return f"whether a cheaper level would do is open: no metric tells {cheap}, from its best, but it may be {much}"
    risk = f", though it may be up to {percent(loss)} worse on {metric(name).title}" if loss > 0 else ""
    return f"the cheapest that no metric can tell from its best is {cheap}{risk}"


def _basis(study: StudyResults, found: Sequence[Verdict]) -> str:
    units: dict[str, int] = {}
    for one in found:
        what = metric(one.metric).unit_name
        units[what] = max(units.get(what, 0), one.units)
    asked = [count(size, what) for what, size in units.items() if size]
    family = sum(len(group.comparisons) for group in study.groups)
    adjusted = [f"p adjusted for {count(family, 'comparison')}"] if family else []
    return ", ".join([count(study.seeds, "seed"), *asked, *adjusted])
