"""What a search found: its answer, its best trials, its front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vip5platform.analysis.results import CellResults, StudyResults
from vip5platform.declarations import SUMMARY_METRICS
from vip5platform.report.blocks import Block, Cell, Column, Row, Table, Text
from vip5platform.report.formatting import count, joined, number, span, title, unit

from vip5core.errors import UserError
from vip5core.metrics import better, metric

#: Trials that the table of the best shows.
_TOP = 12


@dataclass(frozen=True)
class Stored:
    """What the search's own storage knows beside the trials.

    Attributes:
        states: how many proposals came to what.
        importances: of the settings for each objective; empty while there are too few trials.
    """

    states: dict[str, int] = field(default_factory=dict)
    importances: dict[str, dict[str, float]] = field(default_factory=dict)


def stored(study: StudyResults, home: Path) -> Stored:
    """Empty if the storage is not there: trials and reports may have been moved without it."""
    from vip5platform.search.results import history, importances
    from vip5platform.search.storage import load_search

    if study.record.kind != "search":
        return Stored()
    try:
        study = load_search(home, study.record.key)
    except UserError:
        return Stored()
    table = history(study)
    states = {str(state): int(n) for state, n in table["state"].value_counts().items()} if len(table) else {}
    return Stored(states, {name: importances(study, name) for name in study.record.metrics})


def finished(study: StudyResults) -> list[CellResults]:
    """The trials that have the first objective, the best first; of equals, the earlier."""
    if not study.metrics:
        return []
    first = study.metrics[0]
    return sorted(
        (cell for cell in study.cells if cell.values(first)),
        key=lambda cell: cell.mean(first),
        reverse=metric(first).higher_is_better,
    )


def front(study: StudyResults) -> list[CellResults]:
    """The trials to which none is preferable in all objectives, the best first objective first."""
    cells, names = finished(study), study.metrics
    whole = [cell for cell in cells if all(cell.values(name) for name in names)]
    return [cell for cell in whole if not any(_dominates(other, cell, names) for other in whole)]


def _dominates(one: CellResults, other: CellResults, names: Sequence[str]) -> bool:
    values = [(name, one.mean(name), other.mean(name)) for name in names]
    return not any(better(name, b, a) for name, a, b in values) and any(better(name, a, b) for name, a, b in values)


def answer(study: StudyResults) -> str:
    cells, record = finished(study), study.record
    if not cells:
        return "No trial has the objective, so there is no answer."
    first, best = study.metrics[0], cells[0]
    how = metric(first)
    early = len(record.trials) - len(cells)
    ended = f", {early} of which did not run to the end," if early else ""
    said = (
        f"of {count(len(record.trials), 'trial')}{ended} the best has {title(first)} "
        f"{number(best.mean(first), how)} with {_settings(best)}"
    )
    if len(study.metrics) > 1:
        said += f"; {count(len(front(study)), 'trial')} cannot be bettered in all of {joined(_titles(study))}"
    group = study.groups[0]
    tested = []
    for name in SUMMARY_METRICS:
        if best.values(name):
            interval = group.interval(best, name)
            sure = f" {span(interval.low, interval.high, metric(name))}" if interval.high > interval.low else ""
            tested.append(f"{title(name)} {number(interval.mean, metric(name))}{sure}")
    if tested:
        said += f"; on the test set it has {joined(tested)}"
    warning = "chosen among many after one training each, it flatters itself on validation: repeat it with other seeds"
    return f"{said[0].upper()}{said[1:]} ({warning})."


def _settings(cell: CellResults) -> str:
    return joined([f"{key} {short(value)}" for key, value in cell.levels.items()], at_most=12)


def short(value: str) -> str:
    """A setting as a person writes it: four digits of a number are enough."""
    try:
        return f"{float(value):.4g}" if not value.lstrip("-").isdecimal() else value
    except ValueError:
        return value


def _titles(study: StudyResults) -> list[str]:
    return [title(name) for name in study.metrics]


def blocks(study: StudyResults, found: Stored) -> list[Block]:
    """The best trials with their settings, the front first where there are several objectives."""
    if study.record.kind != "search" or not finished(study):
        return []
    cells, ahead = finished(study), front(study) if len(study.metrics) > 1 else []
    shown = [*ahead, *(cell for cell in cells if cell not in ahead)][:_TOP]
    tested = [name for name in SUMMARY_METRICS if any(cell.values(name) for cell in shown)]
    costs = [name for name in ("cost/seconds", "model/trainable_parameters") if name not in study.metrics]
    numbers = [*study.metrics, *tested, *costs]
    settings = [key for key in study.record.factors if any(key in cell.levels for cell in shown)]
    heads = [Column(key, "settings") for key in settings]
    heads += [Column(f"{metric(name).label}{unit(metric(name))}", _group(name, study)) for name in numbers]
    order = {trial.name: place for place, trial in enumerate(study.record.trials, start=1)}
    top = {name: min if not metric(name).higher_is_better else max for name in study.metrics}
    best = {name: pick(c.mean(name) for c in cells if c.values(name)) for name, pick in top.items()}
    lines = []
    for cell in shown:
        entries = [Cell(short(cell.levels.get(key, "–"))) for key in settings]
        entries += [
            Cell(number(cell.mean(name), metric(name)), math.isclose(cell.mean(name), best.get(name, math.nan)))
            for name in numbers
        ]
        lines.append(Row(f"{order[cell.name]}{' ◆' if cell in ahead else ''}", entries))
    notes = ["Chosen on validation alone. Do not choose by the test columns: they would no longer be a test."]
    if ahead:
        notes.append("◆ on the Pareto front: no trial is better in every objective.")
    if len(cells) > len(shown):
        notes.append(f"{len(cells) - len(shown)} more are in trials.csv.")
    made: list[Block] = [Table("trial", heads, lines, notes)]
    if found.states:
        states = ", ".join(f"{n} {state}" for state, n in found.states.items())
        made.append(Text(f"Proposals: {states}.", "note"))
    for name, shares in found.importances.items():
        if shares:
            said = ", ".join(f"{key} {100 * share:.0f} %" for key, share in shares.items())
            hint = "by fANOVA, where the search looked; a hint, not a test"
            made.append(Text(f"What moves {title(name)}: {said} ({hint}).", "note"))
    return made


def _group(name: str, study: StudyResults) -> str:
    if name in study.metrics:
        return "objective"
    return {"test": "test", "cost": "cost", "model": "cost"}.get(name.partition("/")[0], "")
