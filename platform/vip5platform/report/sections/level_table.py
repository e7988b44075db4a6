"""The table: levels against task metrics, costs and sizes, best in bold, baselines below."""

from __future__ import annotations

import math

from vip5platform.analysis.baselines import Baseline
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.analysis.verdict import verdict
from vip5platform.report.blocks import Cell, Column, Row, Table
from vip5platform.report.formatting import dataset_name, factors, known, level, number, unit, with_half_width

from vip5core.metrics import metric

#: What the table shows, of what was measured: by group, the metrics in order.
_COLUMNS = {
    "sequential": tuple(f"test/sequential/{name}" for name in ("hit_rate_at_5", "hit_rate_at_10", "ndcg_at_10")),
    "direct": tuple(f"test/direct/{name}" for name in ("hit_rate_at_1", "hit_rate_at_10", "ndcg_at_10")),
    "explanation": tuple(f"test/explanation/{name}" for name in ("bleu_4", "sentence_bleu_4", "rouge_l")),
    "probe": (),
    "cost": ("cost/train_seconds", "cost/samples_per_second", "cost/peak_memory_mb"),
    "size": ("model/trainable_parameters", "model/trainable_percent"),
}
ALIKE = "≈"


def columns(study: StudyResults) -> dict[str, list[str]]:
    """The metrics that some trial has and the table shows, by group; the study's own among them."""
    measured = {name for result in study.results().values() for name in result.metrics if known(name)}
    wanted = {group: list(names) for group, names in _COLUMNS.items()}
    probes = sorted(name for name in measured if name.startswith("probe/"))
    # What CLIP and chance come to in a probe is shown where the probe is what was asked.
    asked = tuple(study.metrics)
    for name in [*asked, *(p for p in probes if not p.endswith(("_clip", "_chance")) or p.startswith(asked))]:
        group = _group(name)
        if name not in wanted.setdefault(group, []):
            wanted[group].append(name)
    shown = {group: [name for name in names if name in measured] for group, names in wanted.items()}
    first = sorted(shown, key=lambda group: not set(shown[group]) & set(asked))  # what was asked, then the rest
    return {group: shown[group] for group in first if shown[group]}


def _group(name: str) -> str:
    first, *rest = name.split("/")
    if first == "test":
        return rest[0]
    return {"model": "size", "valid": "validation"}.get(first, first)


def grid(study: StudyResults) -> Table:
    """One table for all datasets: those of one below those of another."""
    shown = [(group, name) for group, names in columns(study).items() for name in names]
    names = [name for _, name in shown]
    lines = []
    for group in study.groups:
        if len(study.groups) > 1:
            lines.append(Row(dataset_name(group), kind="group"))
        lines += [_line(cell, group, names, study) for cell in group.cells]
        lines += [_baseline(baseline, names) for baseline in group.baselines]
    heads = [Column(f"{metric(name).label}{unit(metric(name))}", group) for group, name in shown]
    return Table(factors(study), heads, lines, _legend(study, lines))


def _line(cell: CellResults, group: DatasetResults, names: list[str], study: StudyResults) -> Row:
    name = level(cell, study)
    if not cell.results:
        name += " (failed)"
    elif cell.failures:
        name += f" ({len(cell.results)} of {len(cell.results) + len(cell.failures)} seeds)"
    return Row(name, [_entry(cell, group, metric_name, study) for metric_name in names])


def _entry(cell: CellResults, group: DatasetResults, name: str, study: StudyResults) -> Cell:
    how, best = metric(name), group.best(name)
    text = with_half_width(group.interval(cell, name), how)
    if best is None or not cell.values(name):
        return Cell(text)
    is_best = how.show(cell.mean(name)) == how.show(best.mean(name))
    found = verdict(group, name) if name in study.metrics and study.seeds > 1 else None
    alike = found is not None and found.tests and cell in found.alike
    return Cell(text, is_best, ALIKE if alike else "")


def _baseline(baseline: Baseline, names: list[str]) -> Row:
    entries = [Cell(number(baseline.metrics.get(name, math.nan), metric(name))) for name in names]
    return Row(baseline.name, entries, "aside")


def holes(study: StudyResults) -> list[str]:
    """Which trials are missing, and why: one line for each cell and reason."""
    lines = []
    for cell in study.cells:
        for reason in dict.fromkeys(cell.failures.values()):
            seeds = [str(seed) for seed, why in cell.failures.items() if why == reason]
            which = f", seed {', '.join(seeds)}" if cell.results or len(cell.failures) > 1 else ""
            lines.append(f"{' · '.join(cell.levels.values()) or cell.name}{which}: {reason}")
    return lines


def _legend(study: StudyResults, lines: list[Row]) -> list[str]:
    if not study.results():
        return holes(study)
    notes = ["Bold: the best mean." + (" ± is half of the 95 % interval" if _has(lines, " ± ") else "")]
    if _has(lines, " ± "):
        over = "users and seeds; of costs and of BLEU-4 over the corpus, over seeds"
        notes[0] += f", over {over if study.seeds > 1 else 'users alone, for there is one seed'}."
    if any(entry.mark for line in lines for entry in line.entries):
        notes.append(f"{ALIKE} cannot be told from the best (adjusted p ≥ 0.05), which does not mean that it is equal.")
    return [*notes, *holes(study)]


def _has(lines: list[Row], text: str) -> bool:
    return any(text in entry.text for line in lines for entry in line.entries)
