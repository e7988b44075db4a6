"""What a search found: its answer, its best trials, its front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vip5core.errors import UserError
from vip5core.metrics.table import better, metric
from vip5platform.evidence import Cell, Evidence
from vip5platform.report.blocks import Block, Column, Entry, Grid, Line, Text
from vip5platform.report.names import count, joined, number, span, title, unit
from vip5platform.study import HEADLINES

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


def stored(evidence: Evidence, home: Path) -> Stored:
    """Empty if the storage is not there: trials and reports may have been moved without it."""
    from vip5platform.search.results import history, importances
    from vip5platform.search.storage import load_search

    if evidence.record.kind != "search":
        return Stored()
    try:
        study = load_search(home, evidence.record.key)
    except UserError:
        return Stored()
    table = history(study)
    states = {str(state): int(n) for state, n in table["state"].value_counts().items()} if len(table) else {}
    return Stored(states, {name: importances(study, name) for name in evidence.record.metrics})


def finished(evidence: Evidence) -> list[Cell]:
    """The trials that have the first objective, the best first; of equals, the earlier."""
    if not evidence.metrics:
        return []
    first = evidence.metrics[0]
    return sorted(
        (cell for cell in evidence.cells if cell.values(first)),
        key=lambda cell: cell.mean(first),
        reverse=metric(first).higher_is_better,
    )


def front(evidence: Evidence) -> list[Cell]:
    """The trials to which none is preferable in all objectives, the best first objective first."""
    cells, names = finished(evidence), evidence.metrics
    whole = [cell for cell in cells if all(cell.values(name) for name in names)]
    return [cell for cell in whole if not any(_dominates(other, cell, names) for other in whole)]


def _dominates(one: Cell, other: Cell, names: Sequence[str]) -> bool:
    values = [(name, one.mean(name), other.mean(name)) for name in names]
    return not any(better(name, b, a) for name, a, b in values) and any(better(name, a, b) for name, a, b in values)


def answer(evidence: Evidence) -> str:
    cells, record = finished(evidence), evidence.record
    if not cells:
        return "No trial has the objective, so there is no answer."
    first, best = evidence.metrics[0], cells[0]
    how = metric(first)
    early = len(record.trials) - len(cells)
    ended = f", {early} of which did not run to the end," if early else ""
    said = (
        f"of {count(len(record.trials), 'trial')}{ended} the best has {title(first)} "
        f"{number(best.mean(first), how)} with {_settings(best)}"
    )
    if len(evidence.metrics) > 1:
        said += f"; {count(len(front(evidence)), 'trial')} cannot be bettered in all of {joined(_titles(evidence))}"
    group = evidence.groups[0]
    tested = []
    for name in HEADLINES:
        if best.values(name):
            interval = group.interval(best, name)
            sure = f" {span(interval.low, interval.high, metric(name))}" if interval.high > interval.low else ""
            tested.append(f"{title(name)} {number(interval.mean, metric(name))}{sure}")
    if tested:
        said += f"; on the test set it has {joined(tested)}"
    warning = "chosen among many after one training each, it flatters itself on validation: repeat it with other seeds"
    return f"{said[0].upper()}{said[1:]} ({warning})."


def _settings(cell: Cell) -> str:
    return joined([f"{key} {short(value)}" for key, value in cell.levels.items()], at_most=12)


def short(value: str) -> str:
    """A setting as a person writes it: four digits of a number are enough."""
    try:
        return f"{float(value):.4g}" if not value.lstrip("-").isdecimal() else value
    except ValueError:
        return value


def _titles(evidence: Evidence) -> list[str]:
    return [title(name) for name in evidence.metrics]


def blocks(evidence: Evidence, found: Stored) -> list[Block]:
    """The best trials with their settings, the front first where there are several objectives."""
    if evidence.record.kind != "search" or not finished(evidence):
        return []
    cells, ahead = finished(evidence), front(evidence) if len(evidence.metrics) > 1 else []
    shown = [*ahead, *(cell for cell in cells if cell not in ahead)][:_TOP]
    tested = [name for name in HEADLINES if any(cell.values(name) for cell in shown)]
    costs = [name for name in ("cost/seconds", "model/trainable_parameters") if name not in evidence.metrics]
    numbers = [*evidence.metrics, *tested, *costs]
    settings = [key for key in evidence.record.factors if any(key in cell.levels for cell in shown)]
    heads = [Column(key, "settings") for key in settings]
    heads += [Column(f"{metric(name).label}{unit(metric(name))}", _group(name, evidence)) for name in numbers]
    order = {trial.name: place for place, trial in enumerate(evidence.record.trials, start=1)}
    top = {name: min if not metric(name).higher_is_better else max for name in evidence.metrics}
    best = {name: pick(c.mean(name) for c in cells if c.values(name)) for name, pick in top.items()}
    lines = []
    for cell in shown:
        entries = [Entry(short(cell.levels.get(key, "–"))) for key in settings]
        entries += [
            Entry(number(cell.mean(name), metric(name)), math.isclose(cell.mean(name), best.get(name, math.nan)))
            for name in numbers
        ]
        lines.append(Line(f"{order[cell.name]}{' ◆' if cell in ahead else ''}", entries))
    notes = ["Chosen on validation alone. Do not choose by the test columns: they would no longer be a test."]
    if ahead:
        notes.append("◆ on the Pareto front: no trial is better in every objective.")
    if len(cells) > len(shown):
        notes.append(f"{len(cells) - len(shown)} more are in trials.csv.")
    made: list[Block] = [Grid("trial", heads, lines, notes)]
    if found.states:
        states = ", ".join(f"{n} {state}" for state, n in found.states.items())
        made.append(Text(f"Proposals: {states}.", "note"))
    for name, shares in found.importances.items():
        if shares:
            said = ", ".join(f"{key} {100 * share:.0f} %" for key, share in shares.items())
            hint = "by fANOVA, where the search looked; a hint, not a test"
            made.append(Text(f"What moves {title(name)}: {said} ({hint}).", "note"))
    return made


def _group(name: str, evidence: Evidence) -> str:
    if name in evidence.metrics:
        return "objective"
    return {"test": "test", "cost": "cost", "model": "cost"}.get(name.partition("/")[0], "")
