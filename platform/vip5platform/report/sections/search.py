"""The result of a search: its answer, its best trials and its Pareto front."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.metrics import answer_names, metric, pareto_front
from vip5platform.analysis.results import CellResults, StudyResults
from vip5platform.report.blocks import Block, Cell, Column, Row, Table, Text
from vip5platform.report.formatting import format_interval, format_value, join_words, pluralize, unit_suffix

#: How many of the best trials the table shows.
_TOP = 12


@dataclass(frozen=True)
class StoredSearch:
    """What the storage of a search knows in addition to the trials.

    Attributes:
        states: The number of proposals in each state.
        importances: The importance of each setting by objective; empty while there are too few trials.
    """

    states: dict[str, int] = field(default_factory=dict)
    importances: dict[str, dict[str, float]] = field(default_factory=dict)


def load_stored_search(study: StudyResults, home: Home) -> StoredSearch:
    """The content of a search's storage; empty if the storage is gone, as after moving only trials and reports."""
    if study.record.kind != "search":
        return StoredSearch()
    # Imported here because the report of a study does not need Optuna.
    from vip5platform.search import history, importances, load_search

    try:
        stored = load_search(home, study.record.key)
    except UserError:
        return StoredSearch()
    table = history(stored)
    states = {str(state): int(n) for state, n in table["state"].value_counts().items()} if len(table) else {}
    return StoredSearch(states, {name: importances(stored, name) for name in study.record.metrics})


def finished_cells(study: StudyResults) -> list[CellResults]:
    """The trials that have the first objective, the best first; ties in the order of the trials."""
    if not study.metrics:
        return []
    first = study.metrics[0]
    return sorted(
        (cell for cell in study.cells if cell.values(first)),
        key=lambda cell: cell.mean(first),
        reverse=metric(first).higher_is_better,
    )


def pareto_cells(study: StudyResults) -> list[CellResults]:
    """The Pareto-optimal trials, the best first objective first."""
    objectives = {name: metric(name) for name in study.metrics}
    complete = [cell for cell in finished_cells(study) if all(cell.values(name) for name in objectives)]
    points = [{name: cell.mean(name) for name in objectives} for cell in complete]
    return [complete[place] for place in pareto_front(points, objectives)]


def answer(study: StudyResults) -> str:
    """The best trial in one sentence."""
    cells, record = finished_cells(study), study.record
    if not cells:
        return "No trial has a value of the objective, so there is no answer."
    first, best = study.metrics[0], cells[0]
    measure = metric(first)
    early = len(record.trials) - len(cells)
    ended = f" {early} of which stopped early or failed," if early else ""
    said = (
        f"of {pluralize(len(record.trials), 'trial')},{ended} the best has a {metric(first).title} of "
        f"{format_value(best.mean(first), measure)} with {_settings(best)}"
    )
    if len(study.metrics) > 1:
        titles = join_words([metric(name).title for name in study.metrics])
        said += f"; {pluralize(len(pareto_cells(study)), 'trial')} are Pareto-optimal in {titles}"
    group = study.groups[0]
    tested = []
    for name in answer_names():
        if best.values(name):
            interval = group.interval(best, name)
            interval_text = (
                f" {format_interval(interval.low, interval.high, metric(name))}" if interval.high > interval.low else ""
            )
            tested.append(f"{metric(name).title} {format_value(interval.mean, metric(name))}{interval_text}")
    if tested:
        said += f"; its test results are {join_words(tested)}"
    warning = "selected from many single runs, so its validation score is optimistic: repeat it with other seeds"
    return f"{said[0].upper()}{said[1:]} ({warning})."


def _settings(cell: CellResults) -> str:
    return join_words([f"{key} {shorten(value)}" for key, value in cell.levels.items()], at_most=12)


def shorten(value: str) -> str:
    """A setting with numbers rounded to four significant digits."""
    try:
        return f"{float(value):.4g}" if not value.lstrip("-").isdecimal() else value
    except ValueError:
        return value


def blocks(study: StudyResults, found: StoredSearch) -> list[Block]:
    """The best trials with their settings, the Pareto front first if there are several objectives."""
    if study.record.kind != "search" or not finished_cells(study):
        return []
    finished, front = finished_cells(study), pareto_cells(study) if len(study.metrics) > 1 else []
    shown = [*front, *(cell for cell in finished if cell not in front)][:_TOP]
    tested = [name for name in answer_names() if any(cell.values(name) for cell in shown)]
    costs = [name for name in ("cost/seconds", "model/trainable_parameters") if name not in study.metrics]
    numbers = [*study.metrics, *tested, *costs]
    settings = [key for key in study.record.factors if any(key in cell.levels for cell in shown)]
    heads = [Column(key, "settings") for key in settings]
    heads += [Column(f"{metric(name).label}{unit_suffix(metric(name))}", _group(name, study)) for name in numbers]
    order = {trial.name: place for place, trial in enumerate(study.record.trials, start=1)}
    top = {name: min if not metric(name).higher_is_better else max for name in study.metrics}
    best = {name: pick(c.mean(name) for c in finished if c.values(name)) for name, pick in top.items()}
    rows = []
    for cell in shown:
        cells = [Cell(shorten(cell.levels.get(key, "–"))) for key in settings]
        cells += [
            Cell(format_value(cell.mean(name), metric(name)), math.isclose(cell.mean(name), best.get(name, math.nan)))
            for name in numbers
        ]
        rows.append(Row(f"{order[cell.name]}{' ◆' if cell in front else ''}", cells))
    notes = [
        "Selected on validation only. Do not select by the test columns: the test set would no longer be held out."
    ]
    if front:
        notes.append("◆: Pareto-optimal (any trial that is better in one objective is worse in another).")
    if len(finished) > len(shown):
        notes.append(f"{len(finished) - len(shown)} more are in trials.csv.")
    made: list[Block] = [Table("trial", heads, rows, notes)]
    if found.states:
        states = ", ".join(f"{n} {state}" for state, n in found.states.items())
        made.append(Text(f"Proposals: {states}.", "note"))
    for name, shares in found.importances.items():
        if shares:
            said = ", ".join(f"{key} {100 * share:.0f} %" for key, share in shares.items())
            hint = "fANOVA on the trials of this search; a hint, not a test"
            made.append(Text(f"Importance for {metric(name).title}: {said} ({hint}).", "note"))
    return made


def _group(name: str, study: StudyResults) -> str:
    if name in study.metrics:
        return "objective"
    return {"test": "test", "cost": "cost", "model": "cost"}.get(name.partition("/")[0], "")
