"""The table: levels against task metrics, costs and sizes, best in bold, baselines below."""

from __future__ import annotations

import math

from vip5core.metrics.table import metric
from vip5platform.baselines import Baseline
from vip5platform.evidence import Cell, Evidence, Group
from vip5platform.report.blocks import Column, Entry, Grid, Line
from vip5platform.report.names import dataset_name, factors, known, level, number, unit, with_half_width
from vip5platform.report.verdict import verdict

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


def columns(evidence: Evidence) -> dict[str, list[str]]:
    """The metrics that some trial has and the table shows, by group; the study's own among them."""
    measured = {name for result in evidence.results().values() for name in result.metrics if known(name)}
    wanted = {group: list(names) for group, names in _COLUMNS.items()}
    probes = sorted(name for name in measured if name.startswith("probe/"))
    # What CLIP and chance come to in a probe is shown where the probe is what was asked.
    asked = tuple(evidence.metrics)
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


def grid(evidence: Evidence) -> Grid:
    """One table for all datasets: those of one below those of another."""
    shown = [(group, name) for group, names in columns(evidence).items() for name in names]
    names = [name for _, name in shown]
    lines = []
    for group in evidence.groups:
        if len(evidence.groups) > 1:
            lines.append(Line(dataset_name(group), kind="group"))
        lines += [_line(cell, group, names, evidence) for cell in group.cells]
        lines += [_baseline(baseline, names) for baseline in group.baselines]
    heads = [Column(f"{metric(name).label}{unit(metric(name))}", group) for group, name in shown]
    return Grid(factors(evidence), heads, lines, _legend(evidence, lines))


def _line(cell: Cell, group: Group, names: list[str], evidence: Evidence) -> Line:
    name = level(cell, evidence)
    if not cell.results:
        name += " (failed)"
    elif cell.failures:
        name += f" ({len(cell.results)} of {len(cell.results) + len(cell.failures)} seeds)"
    return Line(name, [_entry(cell, group, metric_name, evidence) for metric_name in names])


def _entry(cell: Cell, group: Group, name: str, evidence: Evidence) -> Entry:
    how, best = metric(name), group.best(name)
    text = with_half_width(group.interval(cell, name), how)
    if best is None or not cell.values(name):
        return Entry(text)
    is_best = how.show(cell.mean(name)) == how.show(best.mean(name))
    found = verdict(group, name) if name in evidence.metrics and evidence.seeds > 1 else None
    alike = found is not None and found.tests and cell in found.alike
    return Entry(text, is_best, ALIKE if alike else "")


def _baseline(baseline: Baseline, names: list[str]) -> Line:
    entries = [Entry(number(baseline.metrics.get(name, math.nan), metric(name))) for name in names]
    return Line(baseline.name, entries, "aside")


def holes(evidence: Evidence) -> list[str]:
    """Which trials are missing, and why: one line for each cell and reason."""
    lines = []
    for cell in evidence.cells:
        for reason in dict.fromkeys(cell.failures.values()):
            seeds = [str(seed) for seed, why in cell.failures.items() if why == reason]
            which = f", seed {', '.join(seeds)}" if cell.results or len(cell.failures) > 1 else ""
            lines.append(f"{' · '.join(cell.levels.values()) or cell.name}{which}: {reason}")
    return lines


def _legend(evidence: Evidence, lines: list[Line]) -> list[str]:
    if not evidence.results():
        return holes(evidence)
    notes = ["Bold: the best mean." + (" ± is half of the 95 % interval" if _has(lines, " ± ") else "")]
    if _has(lines, " ± "):
        over = "users and seeds; of costs and of BLEU-4 over the corpus, over seeds"
        notes[0] += f", over {over if evidence.seeds > 1 else 'users alone, for there is one seed'}."
    if any(entry.mark for line in lines for entry in line.entries):
        notes.append(f"{ALIKE} cannot be told from the best (adjusted p ≥ 0.05), which does not mean that it is equal.")
    return [*notes, *holes(evidence)]


def _has(lines: list[Line], text: str) -> bool:
    return any(text in entry.text for line in lines for entry in line.entries)
