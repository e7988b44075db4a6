"""`--dry-run`: what a study would run and how long it may take."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from vip5core.home import Home
from vip5core.trial.result import TrialResult
from vip5platform.console import console, duration, say
from vip5platform.declarations import Choice, Search
from vip5platform.options import Options
from vip5platform.study.estimate import (
    estimate_seconds,
    estimate_stage_seconds,
    load_earlier_results,
    load_earlier_stages,
)
from vip5platform.study.inputs import PreparedInputs, find_inputs
from vip5platform.study.plan import PlannedTrial, SearchPlan


def show_plan(planned: Sequence[PlannedTrial], options: Options) -> None:
    """Print for each cell the finished and missing trials, and estimates from what was run on this machine before."""
    home = Home.at(options.home)
    found, earlier = find_inputs([trial.request for trial in planned], options, home), load_earlier_results(home)
    cells: dict[str, list[PlannedTrial]] = {}
    for trial in planned:
        cells.setdefault(trial.name, []).append(trial)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head, justify in (("cell", "left"), ("trials", "right"), ("finished", "right"), ("to train", "right")):
        table.add_column(head, justify=justify)  # type: ignore[arg-type]
    table.add_column("estimate", justify="right")
    seen: set[str] = set()
    total, unknown, left = 0.0, False, 0
    for name, trials in cells.items():
        todo = [trial for trial in trials if not _is_done(trial, found.get(trial.request), home, seen)]
        guesses = [_estimate_trial(trial, found.get(trial.request), earlier) for trial in todo]
        known = [guess for guess in guesses if guess is not None]
        unknown |= len(known) < len(guesses)
        total, left = total + sum(known), left + len(todo)
        shown = "" if not todo else duration(sum(known)) if len(known) == len(guesses) else "unknown"
        table.add_row(name, str(len(trials)), str(len(trials) - len(todo)), str(len(todo)), shown)
    console.print(table)
    _say_stages(found.values(), home)
    say(_summarize(left, total, unknown, options))
    if len(found) < len({trial.request for trial in planned}):
        say("A dataset or T5 is not prepared yet: that takes additional time, and its trials count as missing.")
    say("Nothing was run or written (--dry-run).")


def show_search_plan(search: Search, plan: SearchPlan, options: Options) -> None:
    """Print the search space, the budget and an estimate."""
    home = Home.at(options.home)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting")
    table.add_column("values")
    size = 1.0
    for key, values in search.space.items():
        if isinstance(values, Choice):
            shown, size = ", ".join(map(str, values.values)), size * len(values.values)
        else:
            shown, size = f"{values.low:g} to {values.high:g}{' (log scale)' if values.log else ''}", math.inf
        table.add_row(key, shown)
    console.print(table)
    inputs = find_inputs([plan.request], options, home).get(plan.request)
    guess = _estimate_trial(PlannedTrial({}, plan.request, plan.example), inputs, load_earlier_results(home))
    count = int(min(options.trials, size))
    space = f"{size:g} combinations" if math.isfinite(size) else "a continuous space"
    say(f"{options.sampler} over {space}; objectives: {', '.join(search.objectives)}")
    if inputs is not None:
        _say_stages([inputs], home)
    say(_summarize(count, (guess or 0.0) * count, guess is None, options))
    say("Nothing was run or written (--dry-run).")


def _is_done(trial: PlannedTrial, inputs: PreparedInputs | None, home: Home, seen: set[str]) -> bool:
    """Is there nothing to train for this trial? Of several identical trials only the first is trained."""
    if inputs is None or inputs.lacks_backbone:
        return False
    spec = inputs.trial(trial, home).spec
    again = spec.fingerprint in seen
    seen.add(spec.fingerprint)
    return spec.is_finished(home) or again


def _estimate_trial(trial: PlannedTrial, inputs: PreparedInputs | None, earlier: Sequence[TrialResult]) -> float | None:
    return estimate_seconds(trial.config, inputs.dataset.fingerprint, earlier) if inputs is not None else None


def _say_stages(inputs: Iterable[PreparedInputs], home: Home) -> None:
    """Print what has to be trained before the trials, one line for each P5 stage."""
    missing = {one.backbone: one.stage for one in inputs if one.lacks_backbone and one.stage is not None}
    if not missing:
        return
    from vip5core.trial.p5_stage import prompts_per_epoch  # late, because it imports PyTorch

    earlier = load_earlier_stages(home)
    for stage in missing.values():
        prompts, config = prompts_per_epoch(stage.dataset, stage.config), stage.config
        seconds = estimate_stage_seconds(stage, prompts, earlier)
        took = "no estimate, because no P5 stage of this T5 was run here" if seconds is None else duration(seconds)
        at_most = "at most " if config.patience is not None else ""
        say(f"{escape(stage.label)}: {prompts:,} prompts an epoch, {at_most}{config.epochs} epochs: {took}")


def _summarize(left: int, seconds: float, unknown: bool, options: Options) -> str:
    if not left:
        return "Nothing is left to train."
    if unknown:
        return f"{left} trials to train; no estimate, because no similar trial was run on this machine."
    if options.address:
        return f"{left} trials to train: {duration(seconds)} of trial time in total."
    at_once = max(1, min(left, os.cpu_count() or 1))
    return (
        f"{left} trials to train: {duration(seconds)} of trial time in total, about {duration(seconds / at_once)} "
        f"with {at_once} at a time."
    )
