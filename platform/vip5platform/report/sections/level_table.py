"""The table of results: levels by task metrics, costs and sizes, the best in bold, baselines below."""

from __future__ import annotations

import math

from vip5core.errors import UserError
from vip5core.metrics import Metric, metric, metric_names
from vip5core.vocabulary import TASKS
from vip5platform.analysis.baselines import Baseline
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.analysis.verdict import verdict
from vip5platform.report.blocks import Cell, Column, Row, Table
from vip5platform.report.formatting import (
    baseline_name,
    dataset_name,
    factor_names,
    format_mean,
    format_value,
    level_name,
    unit_suffix,
)

#: Groups of columns, in the table's order.
_GROUPS = (*TASKS, "probe", "cost", "size", "validation")
ALIKE = "≈"


def columns(study: StudyResults) -> dict[str, list[str]]:
    """The measured metrics of the table, by column group: those of the study and those that every report shows."""
    measured = {name for result in study.trial_results().values() for name in result.metrics}
    asked = tuple(study.metrics)
    shown: dict[str, list[str]] = {group: [] for group in _GROUPS}
    order = {name: place for place, name in enumerate(metric_names())}

    def place(name: str) -> tuple[int, int, str]:
        return order.get(name, len(order)), asked.index(name) if name in asked else len(asked), name

    for name in sorted(measured, key=place):
        known = _known(name)
        # The references of a probe (CLIP, chance) are shown if the study asks for that probe.
        is_reference = name.startswith("probe/") and name.startswith(asked)
        if known is not None and (name in asked or is_reference or _is_usual(known)):
            shown.setdefault(_group(known), []).append(name)
    first = sorted(shown, key=lambda group: not set(shown[group]) & set(asked))  # the metrics of the question first
    return {group: shown[group] for group in first if shown[group]}


def _known(name: str) -> Metric | None:
    """The metric of this name; None if only another version of the code knows it."""
    try:
        return metric(name)
    except UserError:
        return None


def _is_usual(known: Metric) -> bool:
    """Does it have a column in every report? Probes do, because they are measured only on request."""
    return (known.in_table and known.split != "valid") or (known.group == "probe" and known.is_testable)


def _group(known: Metric) -> str:
    if known.split == "valid":
        return "validation"
    return {"model": "size"}.get(known.group, known.group)


def level_table(study: StudyResults) -> Table:
    """One table for all datasets, one below the other."""
    shown = [(group, name) for group, names in columns(study).items() for name in names]
    names = [name for _, name in shown]
    rows = []
    for group in study.groups:
        if len(study.groups) > 1:
            rows.append(Row(dataset_name(group), kind="group"))
        rows += [_row(cell, group, names, study) for cell in group.cells]
        rows += [_baseline(baseline, names) for baseline in group.baselines]
    heads = [Column(f"{metric(name).label}{unit_suffix(metric(name))}", group) for group, name in shown]
    return Table(factor_names(study), heads, rows, _legend(study, rows))


def _row(cell: CellResults, group: DatasetResults, names: list[str], study: StudyResults) -> Row:
    name = level_name(cell, study)
    if not cell.results:
        name += " (failed)"
    elif cell.failures:
        name += f" ({len(cell.results)} of {len(cell.results) + len(cell.failures)} seeds)"
    return Row(name, [_cell(cell, group, metric_name, study) for metric_name in names])


def _cell(cell: CellResults, group: DatasetResults, name: str, study: StudyResults) -> Cell:
    measure, best = metric(name), group.best(name)
    text = format_mean(group.interval(cell, name), measure)
    if best is None or not cell.values(name):
        return Cell(text)
    is_best = measure.show(cell.mean(name)) == measure.show(best.mean(name))
    found = verdict(group, name) if name in study.metrics and study.seeds > 1 else None
    alike = found is not None and found.tests and cell in found.indistinguishable
    return Cell(text, is_best, ALIKE if alike else "")


def _baseline(baseline: Baseline, names: list[str]) -> Row:
    cells = [Cell(format_value(baseline.metrics.get(name, math.nan), metric(name))) for name in names]
    return Row(baseline_name(baseline.name), cells, "aside")


def missing_trials(study: StudyResults) -> list[str]:
    """Which trials are missing, and why: one line per cell and reason."""
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
    notes = ["Bold: best mean."]
    if _contains_text(rows, " ± "):
        over = "users and seeds (for costs and corpus BLEU-4, over seeds)"
        notes[0] += f" ±: half-width of the 95 % interval over {over if study.seeds > 1 else 'users only (one seed)'}."
    if any(cell.mark for row in rows for cell in row.cells):
        notes.append(f"{ALIKE}: not distinguishable from the best (adjusted p ≥ 0.05), which does not mean equal.")
    if any(name.startswith("cost/") for names in columns(study).values() for name in names):
        notes.append("Costs: as measured, beside whatever else ran on the machine; a busy one takes longer.")
    return [*notes, *missing_trials(study)]


def _contains_text(rows: list[Row], text: str) -> bool:
    return any(text in cell.text for row in rows for cell in row.cells)
