"""The table: levels against task metrics, costs and sizes, best in bold, baselines below."""

from __future__ import annotations

import math

from vip5core.errors import UserError
from vip5core.metrics import Metric, metric, metric_names
from vip5core.vocabulary import TASKS
from vip5platform.analysis.baselines import Baseline
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.analysis.verdict import verdict
from vip5platform.report.blocks import Cell, Column, Row, Table
from vip5platform.report.formatting import dataset_name, factors, level, number, unit, with_half_width

#: Groups of columns, in the table's order.
_GROUPS = (*TASKS, "probe", "cost", "size", "validation")
ALIKE = "≈"


def columns(study: StudyResults) -> dict[str, list[str]]:
    """The metrics that some trial has and the table shows, by group; those that the study asks for among them."""
    measured = {name for result in study.trial_results().values() for name in result.metrics}
    asked = tuple(study.metrics)
    shown: dict[str, list[str]] = {group: [] for group in _GROUPS}
    order = {name: place for place, name in enumerate(metric_names())}

    def place(name: str) -> tuple[int, int, str]:
        return order.get(name, len(order)), asked.index(name) if name in asked else len(asked), name

    for name in sorted(measured, key=place):
        known = _known(name)
        # What CLIP and chance come to in a probe is shown where the probe is what was asked.
        beside_asked = name.startswith("probe/") and name.startswith(asked)
        if known is not None and (name in asked or beside_asked or _is_usual(known)):
            shown.setdefault(_group(known), []).append(name)
    first = sorted(shown, key=lambda group: not set(shown[group]) & set(asked))  # what was asked, then the rest
    return {group: shown[group] for group in first if shown[group]}


def _known(name: str) -> Metric | None:
    """A metric, unless a trial of other code has one that this code does not know."""
    try:
        return metric(name)
    except UserError:
        return None


def _is_usual(known: Metric) -> bool:
    """Has it a column in every report? Probes have, for they are measured only where they were asked for."""
    return (known.in_table and known.split != "valid") or (known.group == "probe" and known.is_testable)


def _group(known: Metric) -> str:
    if known.split == "valid":
        return "validation"
    return {"model": "size"}.get(known.group, known.group)


def level_table(study: StudyResults) -> Table:
    """One table for all datasets: those of one below those of another."""
    shown = [(group, name) for group, names in columns(study).items() for name in names]
    names = [name for _, name in shown]
    rows = []
    for group in study.groups:
        if len(study.groups) > 1:
            rows.append(Row(dataset_name(group), kind="group"))
        rows += [_row(cell, group, names, study) for cell in group.cells]
        rows += [_baseline(baseline, names) for baseline in group.baselines]
    heads = [Column(f"{metric(name).label}{unit(metric(name))}", group) for group, name in shown]
    return Table(factors(study), heads, rows, _legend(study, rows))


def _row(cell: CellResults, group: DatasetResults, names: list[str], study: StudyResults) -> Row:
    name = level(cell, study)
    if not cell.results:
        name += " (failed)"
    elif cell.failures:
        name += f" ({len(cell.results)} of {len(cell.results) + len(cell.failures)} seeds)"
    return Row(name, [_cell(cell, group, metric_name, study) for metric_name in names])


def _cell(cell: CellResults, group: DatasetResults, name: str, study: StudyResults) -> Cell:
    how, best = metric(name), group.best(name)
    text = with_half_width(group.interval(cell, name), how)
    if best is None or not cell.values(name):
        return Cell(text)
    is_best = how.show(cell.mean(name)) == how.show(best.mean(name))
    found = verdict(group, name) if name in study.metrics and study.seeds > 1 else None
    alike = found is not None and found.tests and cell in found.alike
    return Cell(text, is_best, ALIKE if alike else "")


def _baseline(baseline: Baseline, names: list[str]) -> Row:
    cells = [Cell(number(baseline.metrics.get(name, math.nan), metric(name))) for name in names]
    return Row(baseline.name, cells, "aside")


def missing_trials(study: StudyResults) -> list[str]:
    """Which trials are missing, and why: one row for each cell and reason."""
    rows = []
    for cell in study.cells:
        for failure in dict.fromkeys(cell.failures.values()):
            seeds = [str(seed) for seed, why in cell.failures.items() if why == failure]
            which = f", seed {', '.join(seeds)}" if cell.results or len(cell.failures) > 1 else ""
            rows.append(f"{' · '.join(cell.levels.values()) or cell.name}{which}: {failure.message}")
    return rows


def _legend(study: StudyResults, rows: list[Row]) -> list[str]:
    if not study.trial_results():
        return missing_trials(study)
    notes = ["Bold: the best mean." + (" ± is half of the 95 % interval" if _has(rows, " ± ") else "")]
    if _has(rows, " ± "):
        over = "users and seeds; of costs and of BLEU-4 over the corpus, over seeds"
        notes[0] += f", over {over if study.seeds > 1 else 'users alone, for there is one seed'}."
    if any(cell.mark for row in rows for cell in row.cells):
        notes.append(f"{ALIKE} cannot be told from the best (adjusted p ≥ 0.05), which does not mean that it is equal.")
    return [*notes, *missing_trials(study)]


def _has(rows: list[Row], text: str) -> bool:
    return any(text in cell.text for row in rows for cell in row.cells)
