"""The cost of a study: machine hours, time per stage, memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from vip5core.metrics import metric
from vip5core.trial.result import TrialRecord
from vip5platform.analysis.results import StudyResults
from vip5platform.console import describe_stages, duration
from vip5platform.report.blocks import Block, Bullets
from vip5platform.report.formatting import format_value, pluralize


def hours(study: StudyResults) -> float:
    """The CPU core hours, or GPU hours if trials had GPUs, of all trials."""
    record = study.record
    each = record.gpus or record.cpus
    total = 0.0
    for result in study.trial_results().values():
        total += result.metrics.get("cost/seconds", 0.0) * result.record.workers * each
    return total / 3600


def blocks(study: StudyResults) -> list[Block]:
    """Machine hours, time per trial, peak memory, stages of the last run, and where the trials ran."""
    results = list(study.trial_results().values())
    if not results:
        return []
    record = study.record
    spent, unit = hours(study), "GPU-hours" if record.gpus else "CPU-hours"
    planned = len(record.trials)
    trained = pluralize(planned, "trial")
    if planned != len(results):
        trained = f"{pluralize(len(results), 'training run')} for {trained}"
    amount, what = (record.gpus, "GPU") if record.gpus else (record.cpus, "CPU")
    share = f"{pluralize(record.workers, 'worker')} of {amount:g} {what}{'s' if amount > 1 else ''}"
    seconds = sorted(result.metrics["cost/seconds"] for result in results if "cost/seconds" in result.metrics)
    items = [("Machine time", f"{_short(spent)} {unit}: {trained}, each with {share}.")]
    if seconds:
        middle, longest = seconds[len(seconds) // 2], seconds[-1]
        items.append(("Time per trial", f"{duration(middle)} (median), {duration(longest)} (longest)."))
    peaks = [result.metrics.get("cost/peak_memory_mb", 0.0) for result in results]
    if max(peaks) > 0:
        measure = metric("cost/peak_memory_mb")
        items.append(("Peak memory", f"{format_value(max(peaks), measure)} {measure.unit}, highest of all workers."))
    if stages := describe_stages(record.seconds):
        total = duration(sum(record.seconds.values()))
        items.append(("Last run", f"{total}: {stages}; {_company(record.seconds)}; existing results were reused."))
    places = Counter(_place(result.record) for result in results)
    items.append(("Trained on", ", ".join(f"{place} ({pluralize(n, 'trial')})" for place, n in sorted(places.items()))))
    return [Bullets(items)]


def _place(record: TrialRecord) -> str:
    """The device, and the host if it is known."""
    return f"{record.device} of {record.host}" if record.host else record.device


def _company(seconds: Mapping[str, float]) -> str:
    """Which stages had the machine to themselves: the time of one that had not depends on its neighbour.

    >>> _company({"P5 stage": 27.0, "P5 stage + features": 13.0})
    'stages joined by + ran side by side, the others alone'
    >>> _company({"trials": 27.0})
    'each stage ran alone'
    """
    together = any(" + " in stage for stage in seconds)
    return "stages joined by + ran side by side, the others alone" if together else "each stage ran alone"


def _short(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"
